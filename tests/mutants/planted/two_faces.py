"""Bugs by which an honest peer pays for what it looks at, as it was told another thing or is not the only one."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

TWO_FACES = (
    Mutant(
        "a row that contradicts its author's commitment is only broken",
        "btard/round/attempt/attempt.py",
        "if kind is _PART and sender == author and digest == announced:",
        "if False:",
        "tests/btard/round/attempt/test_attempt.py::test_a_row_asked_for_convicts_an_author_of_two_faces",
    ),
    Mutant(
        "what a row that is checked contradicts is no proof",
        "btard/round/failure/stopping.py",
        "if phase <= Phase.CHECK and (attempt.alarm",
        "if phase <= Phase.GATHER and (attempt.alarm",
        "tests/lab/stress/test_replays.py::test_it_holds_now",
    ),
    Mutant(
        "a judge that looks at a row forgets what else is charged about it",
        "btard/round/failure/court/court.py",
        "            if accuser in self._opinions:",
        "            if accuser in self._opinions or item in self._looking:",
        "tests/btard/round/failure/court/test_court.py::test_two_charges_about_one_part_are_both_judged",
    ),
)
