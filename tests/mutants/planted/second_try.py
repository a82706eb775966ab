"""Bugs by which an attempt that fails is a second try: a target is examined on less than it has signed."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_EXAMINATION = "btard/round/work/examination.py"
_PLEDGES = "btard/round/attempt/pledges.py"
_LOOKED_AT = "tests/btard/round/work/test_examination.py"
_SECOND = "tests/btard/round/test_second_try.py"
_SIGNED = "tests/btard/round/attempt/test_pledges.py"
_EXECUTOR = "tests/btard/test_executor.py"

SECOND_TRY = (
    Mutant(
        "a failed attempt is forgotten",
        "btard/round/step.py",
        "self.settled[number] = settlement",
        "pass",
        f"{_SECOND}::test_however_the_attempt_is_made_to_fail[share]",
    ),
    Mutant(
        "an attempt that failed before anything was drawn counts",
        "btard/round/session.py",
        "if one.resolution is not None and one.resolution.redraw]",
        "if one.resolution is not None]",
        f"{_SECOND}::test_a_failure_before_any_draw_does_not_count",
    ),
    Mutant(
        "judges go by what they were told themselves",
        "btard/executor.py",
        "pledges.heard(target, told)\n        signed",
        "pledges.heard(target, ())\n        signed",
        f"{_SECOND}::test_a_lie_told_to_one_validator_turns_against_its_author",
    ),
    Mutant(
        "a lie in a failed attempt is unseen where machines are alike",
        "btard/executor.py",
        "            return (CAUGHT,)",
        "            return ()",
        f"{_EXECUTOR}::test_another_vector_in_a_failed_attempt_is_guilty",
    ),
    Mutant(
        "a vector that is not shown is innocent",
        _EXAMINATION,
        "is_pledged(pledged, shown, rules):\n        return UNSEEN",
        "is_pledged(pledged, shown, rules):\n        return Finding(Opinion.INNOCENT, False, 0.0)",
        f"{_SECOND}::test_a_lie_that_is_not_shown_costs_the_place[0.0-nothing]",
    ),
    Mutant(
        "a vector is believed that its author has not committed to",
        _EXAMINATION,
        "rules.aggregation)[1] == hashes for hashes in pledged)",
        'rules.aggregation)[1] != b"" for hashes in pledged)',
        f"{_LOOKED_AT}::test_one_vector_has_to_explain_all_attempts",
    ),
    Mutant(
        "a vector of NaN is at no distance",
        _EXAMINATION,
        "    distance = off if math.isfinite(off) else math.inf",
        "    distance = off if math.isfinite(off) else 0.0",
        f"{_LOOKED_AT}::test_shown_numbers_that_are_none_are_a_lie",
    ),
    Mutant(
        "what is withheld hides what is proven",
        _EXAMINATION,
        "        withheld=not accuse and any(",
        "        withheld=any(",
        f"{_LOOKED_AT}::test_the_worst_of_several_findings_decides",
    ),
    Mutant(
        "anybody may say what a target has signed",
        _PLEDGES,
        " and e.is_genuine())",
        ")",
        f"{_SIGNED}::test_nobody_can_put_words_into_a_target_s_mouth",
    ),
    Mutant(
        "a commitment of one peer counts as another's",
        _PLEDGES,
        "if (e.kind, e.author) == (MessageKind.COMMIT, target)]",
        "if e.kind is MessageKind.COMMIT]",
        f"{_SIGNED}::test_nobody_can_put_words_into_a_target_s_mouth",
    ),
    Mutant(
        "a vector of an attempt that others do not know of counts",
        "btard/round/session.py",
        "for number, one in machine.settled.items() if number < result.attempt)",
        "for number, one in machine.settled.items())",
        f"{_SECOND}::test_attempts_after_the_one_that_finished_do_not_count",
    ),
    Mutant(
        "a vector is shown before its step is over",
        "peer/serving.py",
        "over = self._head is not None and step < self._head.roster.step",
        "over = self._head is not None and step <= self._head.roster.step",
        "tests/peer/test_serving.py::test_a_vector_is_shown_once_its_step_is_over",
    ),
    Mutant(
        "a vector is shown to anybody",
        "peer/serving.py",
        "        if sender not in self._head.roster.members:",
        "        if sender not in self._head.roster.members and question.want is not Want.VECTOR:",
        "tests/peer/test_serving.py::test_only_members_get_what_has_to_be_made",
    ),
    Mutant(
        "a peer forgets what it sent in the step before",
        "btard/vectors/momentum.py",
        "_Submission(step, base, promised, vector))[-_KEPT:]",
        "_Submission(step, base, promised, vector))[-1:]",
        "tests/btard/vectors/test_momentum.py::test_the_vectors_of_the_last_three_steps_are_kept",
    ),
    Mutant(
        "that a vector is withheld is heard only where the run has momentum",
        "btard/round/failure/standing.py",
        "(rules.momentum > 0 or rules.validation is Validation.TOLERANT)",
        "rules.momentum > 0",
        f"{_SECOND}::test_a_lie_that_is_not_shown_costs_the_place[0.0-nothing]",
    ),
)
