"""Bugs in how newcomers find a run and are admitted."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

ADMISSION = "tests/btard/round/test_admission.py"

DOOR: tuple[Mutant, ...] = (
    Mutant(
        "new keys come in without limit",
        "btard/round/admission.py",
        "min(room - len(returning), places(roster, len(stay)))",
        "room - len(returning)",
        f"{ADMISSION}::test_the_quota_holds_whoever_comes_leaves_or_is_banned",
    ),
    Mutant(
        "new keys that have come in make places for others",
        "btard/round/admission.py",
        "quota(members - recent)",
        "quota(members)",
        f"{ADMISSION}::test_places_that_are_taken_make_no_others",
    ),
    Mutant(
        "the new keys of the last steps are forgotten",
        "btard/round/roster.py",
        "if first > step - ADMISSION_WINDOW)",
        "if False)",
        f"{ADMISSION}::test_the_next_place_is_free_after_twenty_steps",
    ),
    Mutant(
        "who returns takes the place of a newcomer",
        "btard/round/admission.py",
        "    former = set(roster.former)\n",
        "    former: set[PeerId] = set()\n",
        f"{ADMISSION}::test_who_returns_takes_no_place",
    ),
    Mutant(
        "who has left on probation comes back without counting",
        "btard/round/roster.py",
        "sorted(self.voters - voters)",
        "sorted(set(self.members) - voters)",
        f"{ADMISSION}::test_who_leaves_on_probation_is_new_again",
    ),
    Mutant(
        "the memory of who has left grows without bound",
        "btard/round/roster.py",
        "not in all_banned)[-MAX_FORMER:]",
        "not in all_banned)",
        f"{ADMISSION}::test_the_memory_of_former_voters_is_bounded",
    ),
    Mutant(
        "who is banned on its second probation is still remembered as one who may return",
        "btard/round/roster.py",
        "if peer not in voters and peer not in all_banned)",
        "if peer not in voters)",
        f"{ADMISSION}::test_who_is_banned_later_is_forgotten",
    ),
    Mutant(
        "the lowest of the keys that wait come in",
        "btard/round/admission.py",
        'order = ranking(randomness, "admission", ',
        "order = list(",
        f"{ADMISSION}::test_nobody_can_choose_who_is_drawn",
    ),
    Mutant(
        "of a crowd the lowest keys are named",
        "btard/round/admission.py",
        'ranking(roster.randomness, "doorstep", sorted(waiting))',
        "sorted(waiting)",
        f"{ADMISSION}::test_a_crowd_keeps_a_newcomer_out_of_some_commitments_only",
    ),
    Mutant(
        "keys that were made to rank first are named first",
        "btard/round/admission.py",
        "*order(roster, new & self._before), *order(roster, new - self._before)",
        "*order(roster, new)",
        f"{ADMISSION}::test_a_key_made_to_rank_first_is_too_late",
    ),
    Mutant(
        "those who return take all names",
        "btard/round/admission.py",
        "MAX_CANDIDATES - min(len(back), MAX_CANDIDATES // 2)",
        "MAX_CANDIDATES - min(len(back), MAX_CANDIDATES)",
        f"{ADMISSION}::test_neither_those_who_return_nor_newcomers_fill_all_names",
    ),
)
