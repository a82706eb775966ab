"""Bugs by which a peer pays for what another has kept from it, or from all."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_RESOLVE = "btard/round/failure/resolve.py"
_EXHIBITS = "btard/exhibits.py"
_SWARM = "tests/byzantine/test_withholding.py"
_SHOWN = "tests/btard/test_exhibits.py"

WITHHOLDING = (
    Mutant(
        "a validator that denies what it is shown pays nothing",
        _RESOLVE,
        "    if misled and not charge.kind.about_last_step:",
        "    if charge.kind is ChargeKind.WITHHELD or (misled and not charge.kind.about_last_step):",
        f"{_SWARM}::test_a_validator_that_denies_what_it_is_shown_is_out",
    ),
    Mutant(
        "a target that shows nothing keeps its place",
        _RESOLVE,
        "        if charge.kind is ChargeKind.WITHHELD:",
        "        if charge.kind is ChargeKind.NO_OPENING:",
        f"{_SWARM}::test_a_target_that_shows_nothing_is_out_and_nobody_else",
    ),
    Mutant(
        "a validator lets nobody else ask its target",
        "btard/round/step.py",
        "(asks := self._course.commit.ask_others(target, finding)):",
        "(asks := []):",
        f"{_SWARM}::test_a_target_that_shows_it_to_one_has_shown_it_to_all",
    ),
    Mutant(
        "anybody may have a target asked",
        _EXHIBITS,
        "if machine.attempt.seats.validators.get(asker) != target:",
        "if False:",
        f"{_SHOWN}::test_a_target_is_asked_for_its_own_validator_alone",
    ),
    Mutant(
        "what a judge was not asked for is withheld",
        _EXHIBITS,
        "            if data is None:\n                return Opinion.INNOCENT",
        "            if data is None:\n                return Opinion.GUILTY",
        f"{_SHOWN}::test_what_a_validator_lets_nobody_ask_for_is_not_withheld",
    ),
    Mutant(
        "a judge believes whatever vector it was shown",
        _EXHIBITS,
        "        if shown is None:\n            return False",
        "        if shown is not None:\n            return True",
        f"{_SHOWN}::test_a_vector_has_to_be_that_of_all_failed_attempts",
    ),
    Mutant(
        "what is shown for a validator is not passed on",
        "btard/executor.py",
        "return self._behaviour.passed_on(step, asker, target, shown)",
        "return None",
        f"{_SHOWN}::test_what_is_shown_for_a_validator_is_passed_on",
    ),
    Mutant(
        "a validator pays for the time that its target takes",
        "btard/round/delivery/waiting.py",
        "found[asker] = found.get(asker, 0.0) - (min(now, until) - since)",
        "found[asker] = found.get(asker, 0.0)",
        "tests/btard/round/delivery/test_waiting.py::test_a_target_pays_for_the_time_that_its_validator_waits",
    ),
    Mutant(
        "two vectors in one step are one that has to be shown",
        "btard/executor.py",
        " or pledges.contradictory:",
        ":",
        "tests/btard/test_executor.py::test_two_vectors_in_one_step_are_a_lie_whatever_is_shown",
    ),
    Mutant(
        "judges do not hear what a validator was told",
        "btard/round/session.py",
        "            self.legacy.pledges[answer.target] = answer.pledges",
        "            pass",
        "tests/btard/round/test_second_try.py::test_a_validator_shows_judges_what_it_was_told",
    ),
    Mutant(
        "an owner is blamed for a number that nobody has told it",
        "btard/round/failure/court/court.py",
        "return Opinion.UNSURE if unheard and found is Opinion.GUILTY else found",
        "return found",
        "tests/byzantine/test_framing.py::test_an_accomplice_that_accuses_at_once_pays_itself",
    ),
    Mutant(
        "an accuser keeps the numbers of a sum to itself",
        "btard/round/failure/court/hearing.py",
        "        return [Send(seats.others, shared.encode())]",
        "        return []",
        "tests/byzantine/test_framing.py::test_all_that_find_a_sum_off_give_all_its_numbers",
    ),
)
