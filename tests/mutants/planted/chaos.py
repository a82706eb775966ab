"""Bugs in how accidents are measured, and in how those that they hit come back."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

CHAOS, TESTS = "deploy/chaos", "tests/deploy/chaos"

CHAOS_BUGS: tuple[Mutant, ...] = (
    Mutant(
        "a storm may consist of one accident",
        f"{CHAOS}/storm.py",
        "self._bag = chance.sample(list(Accident), len(Accident))",
        "self._bag = [chance.choice(list(Accident))]",
        f"{TESTS}/test_storm.py::test_in_a_storm_each_accident_comes_once_before_any_again",
    ),
    Mutant(
        "states of different lives of a run are compared",
        f"{CHAOS}/programs.py",
        "self.states[self.incarnation, event.step] = event.state",
        "self.states[0, event.step] = event.state",
        f"{TESTS}/test_storm.py::test_states_that_differ_are_told_by_incarnation",
    ),
    Mutant(
        "steps that a storm has cost are not missed",
        f"{CHAOS}/storm.py",
        "if weather.lost > _MOST_LOST:",
        "if False:",
        f"{TESTS}/test_storm.py::test_steps_that_were_lost_are_told",
    ),
    Mutant(
        "memory that grows in a storm is not missed",
        f"{CHAOS}/storm.py",
        "if grown > _MOST_GROWN:",
        "if False:",
        f"{TESTS}/test_storm.py::test_memory_that_grows_is_told",
    ),
    Mutant(
        "sockets that a swarm leaves are not looked for",
        f"{CHAOS}/storm.py",
        'temporary.glob("*")',
        'temporary.glob("")',
        f"{TESTS}/test_storm.py::test_what_a_swarm_leaves_is_found",
    ),
    Mutant(
        "a swarm that stands for ever has not stood",
        f"{CHAOS}/standstill.py",
        "*(when for when in ends if when >= since), until]",
        "*(when for when in ends if when >= since)]",
        f"{TESTS}/test_standstill.py::test_a_step_that_has_not_ended_lasts_until_the_end[ends2-4]",
    ),
    Mutant(
        "a restarted peer skips the step that lets it in again",
        "peer/keeping/progress.py",
        "        if not self.restarted:\n",
        "        if not self.restarted or new:\n",
        "tests/peer/test_lost_memory.py::test_one_that_comes_back_late_loses_its_place_once[9]",
    ),
)
