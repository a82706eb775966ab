"""Admission: few new keys in 20 steps, whatever comes and goes; a returning key is not new; nobody chooses a key."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from btard.hashing import tagged_digest
from btard.identity import PeerId
from btard.round.admission import Doorstep, admit, may_begin, places, quota
from btard.round.messages.bodies import MAX_CANDIDATES
from btard.round.roster import ABSENCE_HALVED_AFTER, ADMISSION_WINDOW, MAX_FORMER, Absence, Roster, first_randomness
from btard.vocabulary import MAX_PEERS

PEERS = sorted(PeerId.from_public_key(tagged_digest("test peer", number.to_bytes(4, "big"))) for number in range(3000))
R = first_randomness(1, 0)
PROBATION = 20


def draw(number: int) -> bytes:
    return tagged_digest("test draw", number.to_bytes(8, "big"))


def genesis(members: int, step: int = 0) -> Roster:
    return Roster(step, tuple(PEERS[:members]), frozenset(), R)


def following(
    roster: Roster,
    named: set[PeerId] | None = None,
    *,
    lost: set[PeerId] | None = None,
    banned: set[PeerId] | None = None,
    probation: int = PROBATION,
    randomness: bytes | None = None,
) -> Roster:
    """Return the roster of the next step, as the members that finish this one work it out."""
    stay = [peer for peer in roster.members if peer not in (lost or set()) | (banned or set())]
    r = draw(roster.step) if randomness is None else randomness
    joined = admit(roster, stay, (named or set()) - (banned or set()), r)
    return roster.successor(stay, joined, banned or (), randomness=r, probation_steps=probation)


def later(roster: Roster, steps: int, probation: int = PROBATION) -> Roster:
    for _ in range(steps):
        roster = following(roster, probation=probation)
    return roster


@pytest.mark.parametrize("members, most", [(1, 1), (8, 1), (39, 1), (40, 2), (64, 3), (256, 12), (1024, 51)])
def test_the_quota_is_one_or_five_percent(members: int, most: int) -> None:
    assert quota(members) == most
    roster = following(genesis(members), set(PEERS[1100:1200]))
    assert len(roster.members) == min(members + most, MAX_PEERS)


def test_the_next_place_is_free_after_twenty_steps() -> None:
    crowd = set(PEERS[100:400])
    roster, entered = genesis(8), []
    for _ in range(3 * ADMISSION_WINDOW):
        before, roster = roster, following(roster, crowd)
        entered += [roster.step] * len(set(roster.members) - set(before.members))
    assert entered == [1, 21, 41]


def test_places_that_are_taken_make_no_others() -> None:
    roster = genesis(59)
    for _ in range(ADMISSION_WINDOW):
        roster = following(roster, set(PEERS[100:400]), probation=0)
    assert len(roster.members) == 59 + 2, "5 % of 61 are three"


def test_a_full_roster_admits_nobody() -> None:
    full = replace(genesis(MAX_PEERS), former=tuple(PEERS[2000:2004]))
    assert following(full, set(PEERS[1990:2010])).members == full.members
    nearly = replace(full, members=tuple(PEERS[: MAX_PEERS - 2]))
    assert set(following(nearly, set(PEERS[1990:2010])).members) - set(nearly.members) < set(full.former)


peers = st.sets(st.sampled_from(PEERS[:48]), max_size=12)
events = st.lists(st.tuples(st.integers(0, 9), peers, peers, peers), min_size=1, max_size=40)


@given(st.integers(1, 45), st.sampled_from([0, 3, 20, 50]), events)
@settings(max_examples=150)
def test_the_quota_holds_when_peers_come_leave_or_are_banned(
    members: int, probation: int, happened: list[tuple[int, set[PeerId], set[PeerId], set[PeerId]]]
) -> None:
    def run() -> list[Roster]:
        rosters = [genesis(members)]
        for quiet, named, lost, banned in happened:
            for _ in range(quiet):
                rosters.append(following(rosters[-1], probation=probation))
            # At least one member stays, as in any attempt that finishes; only members are banned.
            there = sorted(rosters[-1].members)[1:]
            gone, out = lost.intersection(there), set(sorted(banned.intersection(there))[:2])
            rosters.append(following(rosters[-1], named, lost=gone, banned=out, probation=probation))
        return rosters

    rosters = run()
    voted, new = set(rosters[0].members), []
    for before, after in itertools.pairwise(rosters):
        joined = set(after.members) - set(before.members)
        assert joined.isdisjoint(before.banned)
        fresh = joined - voted
        new += [after.step] * len(fresh)
        recent = sum(step > after.step - 20 for step in new)
        assert not fresh or recent <= max(1, len(before.members) // 20)
        voted |= after.voters
        assert set(after.former) == voted - after.voters - after.banned, "only former voters are remembered"
        assert len(set(after.former)) == len(after.former)
        again = Roster.unpack(after.pack())
        assert (again, again.digest) == (after, after.digest)
    assert [roster.digest for roster in run()] == [roster.digest for roster in rosters], "it replays"


def test_a_returning_peer_takes_no_place() -> None:
    gone = set(PEERS[2:5])
    roster = later(following(genesis(8), lost=gone), 3)
    assert roster.former == tuple(sorted(gone))
    back = following(roster, gone | set(PEERS[100:110]))
    assert gone < set(back.members) and gone < back.newcomers and len(back.members) == 9
    assert back.arrivals == (back.step,)
    voting = later(back, PROBATION)
    assert gone < voting.voters and voting.former == ()


def test_a_peer_cut_off_again_after_its_return_is_remembered() -> None:
    gone = {PEERS[2]}
    roster = following(following(genesis(8), lost=gone), gone)
    roster = following(later(roster, 2), lost=gone)
    assert roster.former == (PEERS[2],)
    assert PEERS[2] in following(roster, gone | set(PEERS[100:110])).members


def test_a_peer_that_leaves_on_probation_is_new_again() -> None:
    crowd = set(PEERS[100:103])
    roster = following(genesis(8), crowd)
    (first,) = set(roster.members) - set(genesis(8).members)
    roster = following(later(roster, 5), lost={first})
    assert roster.former == () and roster.arrivals == (1,)
    assert following(roster, crowd).members == genesis(8).members
    assert len(following(later(roster, 12), crowd).members) == 8, "its place is taken for twenty steps all the same"
    assert len(following(later(roster, 13), crowd).members) == 9


def test_a_key_that_was_never_admitted_cannot_return() -> None:
    roster = following(genesis(8), lost={PEERS[2]}, banned={PEERS[3]})
    assert roster.former == (PEERS[2],)
    crowd = set(PEERS[100:160])
    assert len(set(following(roster, crowd | {PEERS[3]}).members) & crowd) == 1


def test_a_former_member_that_is_banned_is_forgotten() -> None:
    roster = following(following(genesis(8), lost={PEERS[2]}), {PEERS[2]})
    assert roster.former == (PEERS[2],)
    roster = following(roster, banned={PEERS[2]})
    assert roster.former == () and PEERS[2] not in following(roster, {PEERS[2]}).members


def test_the_memory_of_former_voters_is_bounded() -> None:
    roster = genesis(400)
    roster = following(roster, lost=set(PEERS[:1]))
    roster = following(roster, lost=set(PEERS[1 : MAX_FORMER + 1]))
    assert roster.former == tuple(PEERS[1 : MAX_FORMER + 1]), "the one that left first is forgotten"
    back = following(roster, set(PEERS[: MAX_FORMER + 1]))
    assert len(back.members) == 400 and back.arrivals == (back.step,), "and counts as new"


def test_nobody_can_choose_who_is_drawn() -> None:
    waiting = PEERS[100:110]
    drawn: Counter[PeerId] = Counter()
    for number in range(1000):
        (winner,) = admit(genesis(8), PEERS[:8], waiting, draw(number))
        drawn[winner] += 1
    assert set(drawn) == set(waiting)
    assert all(60 < count < 145 for count in drawn.values()), "four and a half standard deviations about 100"


def test_the_same_names_in_any_order_admit_the_same() -> None:
    names = PEERS[100:140]
    assert admit(genesis(8), PEERS[:8], names, R) == admit(genesis(8), PEERS[7::-1], reversed(names), R)


def named_after_waiting(door: Doorstep, roster: Roster, waiting: list[PeerId]) -> tuple[PeerId, ...]:
    """Return the keys that a door names which has seen the same wait in the step before."""
    door.names(replace(roster, step=roster.step - 1), waiting)
    return door.names(roster, waiting)


def test_only_peers_that_still_wait_are_named() -> None:
    door, roster = Doorstep(), genesis(8, step=5)
    assert door.names(roster, PEERS[100:102]) == tuple(PEERS[100:102])
    assert door.names(replace(roster, step=6), PEERS[101:103]) == tuple(PEERS[101:103])


def test_peers_that_waited_longer_are_named_first() -> None:
    door, roster = Doorstep(), genesis(8, step=5)
    patient, fresh = set(PEERS[100:120]), set(PEERS[120:1000])
    door.names(roster, patient)
    for _ in range(2):
        names = set(door.names(replace(roster, step=6), patient | fresh))
        assert patient < names and len(names) == MAX_CANDIDATES, "asked twice in a step"
    assert not patient < set(door.names(replace(roster, step=7), patient | fresh))


def test_members_and_banned_keys_are_not_named() -> None:
    roster = replace(genesis(8, step=5), banned=frozenset(PEERS[100:101]))
    assert named_after_waiting(Doorstep(), roster, [*PEERS[:8], *PEERS[100:102]]) == (PEERS[101],)


def test_all_doors_name_the_same_of_a_crowd() -> None:
    roster, crowd = genesis(8, step=5), PEERS[100:1100]
    names = [named_after_waiting(Doorstep(), roster, order) for order in (crowd, crowd[::-1])]
    assert names[0] == names[1] and len(names[0]) == MAX_CANDIDATES and list(names[0]) == sorted(names[0])


def test_a_crowd_keeps_a_newcomer_out_of_some_commitments_only() -> None:
    newcomer, crowd = PEERS[100], PEERS[101:740]
    door, roster, named = Doorstep(), genesis(8), 0
    for _ in range(200):
        roster = replace(roster, step=roster.step + 1, randomness=draw(roster.step))
        named += newcomer in door.names(roster, [newcomer, *crowd])
    assert 5 < named < 40, "one time in ten"


def test_a_key_made_to_rank_first_is_too_late() -> None:
    door, roster, waiting = Doorstep(), genesis(8, step=5), PEERS[100:180]
    door.names(roster, waiting)
    following_step = replace(roster, step=6, randomness=draw(7))
    # An attacker that knows the step's randomness finds keys that rank before those that wait.
    best = Doorstep()
    chosen = named_after_waiting(best, following_step, PEERS[200:2900])
    assert set(door.names(following_step, [*waiting, *chosen])) < set(waiting)


def test_new_keys_are_named_only_while_there_is_a_place() -> None:
    roster = following(genesis(8), {PEERS[100]})
    for _ in range(ADMISSION_WINDOW - 1):
        assert places(roster, 9) == 0
        assert named_after_waiting(Doorstep(), roster, PEERS[101:105]) == ()
        roster = following(roster)
    assert places(roster, 9) == 1
    assert named_after_waiting(Doorstep(), roster, PEERS[101:105]) == tuple(PEERS[101:105])


def test_a_returning_peer_is_named_at_once() -> None:
    roster = following(genesis(200), lost=set(PEERS[:100]))
    assert Doorstep().names(roster, PEERS[:50]) == tuple(PEERS[:50])
    assert len(Doorstep().names(roster, PEERS[:100])) == MAX_CANDIDATES


def test_neither_returning_peers_nor_newcomers_fill_all_names() -> None:
    roster = following(genesis(200), lost=set(PEERS[:100]))
    back, fresh = PEERS[:100], PEERS[1000:1100]
    names = named_after_waiting(Doorstep(), replace(roster, step=9), [*back, *fresh])
    assert len(names) == MAX_CANDIDATES and len(set(names) & set(back)) == MAX_CANDIDATES // 2
    few = named_after_waiting(Doorstep(), replace(roster, step=9), [*back, *fresh[:3]])
    assert len(few) == MAX_CANDIDATES and set(fresh[:3]) < set(few)
    few = named_after_waiting(Doorstep(), replace(roster, step=9), [*back[:3], *fresh])
    assert len(few) == MAX_CANDIDATES and set(back[:3]) < set(few)


def test_a_step_is_begun_by_members_and_once() -> None:
    roster = genesis(3, step=7)
    assert [may_begin(roster, PEERS[0], last) for last in (-1, 6, 7, 8)] == [True, True, False, False]
    assert not may_begin(roster, PEERS[3], -1)


MEMBER, OTHER = genesis(8).members[:2]


def lose(roster: Roster, peer: PeerId) -> tuple[Roster, int]:
    """Let a member lose its place, and knock in every step; return the roster that it is back in, and after how many
    steps that is."""
    roster = following(roster, lost={peer}, probation=0)
    for steps in range(1, 1000):
        roster = following(roster, named={peer}, probation=0)
        if peer in roster.members:
            return roster, steps
    raise AssertionError("it never came back")


def test_a_few_absences_are_free_and_each_more_costs_double() -> None:
    roster, waits = genesis(8), list[int]()
    for _ in range(8):
        roster, steps = lose(roster, MEMBER)
        waits.append(steps)
    assert waits == [1, 1, 1, 4, 8, 16, 32, 64]


def test_half_of_all_absences_are_forgotten_in_time() -> None:
    roster = genesis(8)
    for _ in range(6):
        roster, _ = lose(roster, MEMBER)
    assert roster.absences[0].left(roster.step) == 6
    roster = later(roster, ABSENCE_HALVED_AFTER)
    assert roster.absences[0].left(roster.step) == 3
    assert lose(roster, MEMBER)[1] == 4, "the three that are left, and this one"
    roster = following(later(roster, 3 * ABSENCE_HALVED_AFTER), lost={OTHER})
    assert [absence.peer for absence in roster.absences] == [OTHER], "those that count no more are dropped"


def test_a_peer_that_has_to_wait_is_not_named_either() -> None:
    roster = genesis(8)
    for _ in range(4):
        roster, _ = lose(roster, MEMBER)
    gone = following(roster, lost={MEMBER}, probation=0)
    assert Doorstep().names(gone, [MEMBER]) == ()
    assert Doorstep().names(later(gone, 8, probation=0), [MEMBER]) == (MEMBER,)


def test_a_banned_peer_is_absent_no_more() -> None:
    roster, _ = lose(genesis(8), MEMBER)
    assert following(roster, banned={MEMBER}).absences == ()


@pytest.mark.parametrize("steps, most", [(20, 5), (100, 8), (1000, 24), (10000, 203)])
def test_one_key_makes_few_attempts_fail_in_a_run(steps: int, most: int) -> None:
    """It is silent as soon as it is back."""
    absence, step, failed = Absence(MEMBER, 1, 0), 0, 1
    while (step := max(step + 2, absence.back_in + 1)) < steps:
        absence, failed = Absence(MEMBER, absence.left(step) + 1, step), failed + 1
    assert failed == most
