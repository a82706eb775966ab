"""Bugs in what a peer may sign that has lost its memory, or may have."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_KINDS = "tests/peer/test_kinds_of_memory.py"
_LOOP = "tests/peer/test_training.py"

MEMORY: tuple[Mutant, ...] = (
    Mutant(
        "a peer that was a step ahead of most begins that step again",
        "peer/keeping/progress.py",
        "begun = incarnation, roster.step + 1",
        "begun = incarnation, roster.step",
        f"{_KINDS}::test_one_a_step_ahead_of_most_begins_that_step_once[older]",
    ),
    Mutant(
        "an older copy of the disk is trusted",
        "peer/keeping/progress.py",
        "self.incarnation, self.step = incarnation, step\n\n",
        "self.incarnation, self.step, self.restarted = incarnation, step, False\n\n",
        f"{_KINDS}::test_any_memory_divides_nobody_at_any_event[court-4-2-older]",
    ),
    Mutant(
        "a key that is started without its folder is taken for a new one",
        "peer/keeping/progress.py",
        'be lost."""\n        self.restarted = True',
        'be lost."""',
        f"{_KINDS}::test_one_a_step_ahead_of_most_begins_that_step_once[deleted]",
    ),
    Mutant(
        "nobody asks whether the run had begun before an old key came",
        "peer/training.py",
        "            self.progress.finds_run_begun()",
        "            pass",
        f"{_LOOP}::test_an_old_key_without_a_folder_may_have_been_a_member",
    ),
    Mutant(
        "a step is on the disk once it is over",
        "peer/training.py",
        "            self.progress.begin(roster, state, self.entrance.incarnation)\n            started",
        "            started",
        f"{_LOOP}::test_a_step_is_on_the_disk_before_it_is_begun",
    ),
)
