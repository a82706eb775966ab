"""Bugs in what peers submit, and in how they examine what others have submitted."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_EXECUTOR = "tests/btard/test_executor.py"
_ROUND = "tests/btard/round"

EXECUTOR = (
    Mutant(
        "a validator accuses of what it has found once",
        "btard/executor.py",
        "if finding.accuse or finding.withheld:",
        "if False:",
        f"{_EXECUTOR}::test_only_what_is_found_twice_is_said[not found again]",
    ),
    Mutant(
        "a momentum is believed that is not what its author submitted last",
        "btard/executor.py",
        "                raise Withheld\n        return",
        "                pass\n        return",
        f"{_EXECUTOR}::test_a_shown_momentum_must_continue_what_was_submitted[something else]",
    ),
    Mutant(
        "a momentum is believed that its author has not committed to",
        "btard/executor.py",
        "return await self._run(partial(digest, data)) == promised",
        "return True",
        f"{_EXECUTOR}::test_a_momentum_that_is_not_the_promised_one_is_withheld[zeros]",
    ),
    Mutant(
        "the chain of momentum leaves out what a behaviour builds on",
        "btard/trainer.py",
        "base = None if base is None else behaviour.momentum(step, base)",
        "base = base",
        f"{_EXECUTOR}::test_a_behaviour_may_choose_the_seed_the_base_and_the_vector",
    ),
    Mutant(
        "the own vector is forgotten when an attempt fails",
        "btard/round/step.py",
        "                self.own.gradient = answer",
        "                pass",
        f"{_ROUND}/test_step_alarms.py::test_a_vector_is_computed_once_for_all_attempts_of_a_step[before]",
    ),
    Mutant(
        "a vector of another step is sent",
        "btard/round/work/answers.py",
        "return self.step == step",
        "return True",
        f"{_ROUND}/test_session.py::test_answers_to_another_attempt_are_ignored",
    ),
    Mutant(
        "a peer begins a step that it has begun before",
        "btard/round/admission.py",
        "last_begun < roster.step",
        "last_begun <= roster.step",
        f"{_ROUND}/test_admission.py::test_a_step_is_begun_by_members_and_once",
    ),
)
