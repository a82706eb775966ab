"""Rosters: one digest a membership, seeds that anyone can repeat, bans for ever, and strict reading."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btard.identity import Malformed, PeerId
from btard.round.draw import Audit
from btard.round.roster import MAX_FORMER, Absence, Roster, first_randomness, peer_set
from btard.vocabulary import MAX_PEERS

PEERS = [PeerId.from_public_key(bytes(30) + i.to_bytes(2, "big")) for i in range(MAX_PEERS + 1)]
FEW = PEERS[:8]
R = first_randomness(1, 0)
ROSTER = Roster(
    3,
    tuple(FEW[:4]),
    frozenset(FEW[5:7]),
    R,
    (Audit(FEW[0], FEW[2]), Audit(FEW[1], FEW[2])),
    ((FEW[3], 5),),
    (2, 3, 3),
    (FEW[7], FEW[4]),
    (Absence(FEW[4], 2, 1), Absence(FEW[7], 5, 3)),
)
groups = st.sets(st.sampled_from(FEW))


@given(st.integers(0, 2**62), groups, groups, st.binary(min_size=32, max_size=32))
def test_a_roster_goes_round(step: int, members: set[PeerId], banned: set[PeerId], randomness: bytes) -> None:
    audits = tuple(Audit(validator, FEW[0]) for validator in sorted(members & set(FEW[1:3])))
    probation = tuple((newcomer, step) for newcomer in sorted(members & set(FEW[3:5])))
    former = tuple(peer for peer in reversed(FEW) if peer not in members | banned)
    arrivals = (max(0, step - 19), step, step)
    absences = tuple(Absence(peer, 1 + place, step) for place, peer in enumerate(FEW[2:5]))
    roster = Roster(
        step, tuple(sorted(members)), frozenset(banned), randomness, audits, probation, arrivals, former, absences
    )
    again = Roster.unpack(roster.pack())
    assert again == roster and again.digest == roster.digest


def test_the_digest_names_every_field() -> None:
    others = [
        ROSTER,
        dataclasses.replace(ROSTER, step=4),
        dataclasses.replace(ROSTER, members=tuple(FEW[:3])),
        dataclasses.replace(ROSTER, members=tuple(FEW[:5])),
        dataclasses.replace(ROSTER, banned=frozenset(FEW[5:6])),
        dataclasses.replace(ROSTER, members=tuple(FEW[:4] + FEW[5:6]), banned=frozenset(FEW[6:7])),
        dataclasses.replace(ROSTER, randomness=first_randomness(2, 0)),
        dataclasses.replace(ROSTER, audits=ROSTER.audits[:1]),
        dataclasses.replace(ROSTER, audits=(Audit(FEW[0], FEW[1]), ROSTER.audits[1])),
        dataclasses.replace(ROSTER, probation=()),
        dataclasses.replace(ROSTER, probation=((FEW[3], 6),)),
        dataclasses.replace(ROSTER, arrivals=(2, 3)),
        dataclasses.replace(ROSTER, arrivals=(2, 2, 3)),
        dataclasses.replace(ROSTER, former=(FEW[4], FEW[7])),
        dataclasses.replace(ROSTER, former=(FEW[4],)),
        dataclasses.replace(ROSTER, absences=ROSTER.absences[:1]),
        dataclasses.replace(ROSTER, absences=(Absence(FEW[4], 3, 1), ROSTER.absences[1])),
        dataclasses.replace(ROSTER, absences=(Absence(FEW[4], 2, 2), ROSTER.absences[1])),
    ]
    assert len({roster.digest for roster in others}) == len(others)


def test_the_digest_does_not_depend_on_the_order_of_a_set() -> None:
    assert ROSTER.digest == dataclasses.replace(ROSTER, banned=frozenset(reversed(FEW[5:7]))).digest


def test_batch_seeds_differ_by_peer_and_by_step() -> None:
    following = ROSTER.successor(ROSTER.members, (), (), randomness=bytes(32))
    seeds = {roster.batch_seed(peer) for roster in (ROSTER, following) for peer in FEW}
    assert len(seeds) == 2 * len(FEW)
    assert {len(seed) for seed in seeds} == {32}
    assert ROSTER.batch_seed(FEW[0]) == dataclasses.replace(ROSTER, members=(), step=9).batch_seed(FEW[0])


def test_randomness_depends_on_seed_and_first_step() -> None:
    draws = {first_randomness(seed, step) for seed in (0, 1) for step in (0, 1)}
    assert len(draws) == 4


@given(groups, groups, groups)
def test_the_successor(members: set[PeerId], joined: set[PeerId], banned: set[PeerId]) -> None:
    following = ROSTER.successor(members, joined, banned, randomness=bytes(32))
    assert following.step == ROSTER.step + 1
    assert following.banned == ROSTER.banned | banned
    assert set(following.members) == (members | joined) - following.banned
    assert list(following.members) == sorted(set(following.members))
    assert following.randomness == bytes(32) and following.audits == ()


def test_a_banned_key_is_never_admitted_again() -> None:
    roster = ROSTER.successor(ROSTER.members, (), {FEW[0]}, randomness=bytes(32))
    for _ in range(3):
        roster = roster.successor(roster.members, {FEW[0]}, (), randomness=bytes(32))
        assert FEW[0] not in roster.members and FEW[0] in roster.banned


def raw(*peers: PeerId) -> bytes:
    return b"".join(peer.public_key for peer in peers)


@pytest.mark.parametrize(
    "position, value",
    [
        (0, -1),
        (0, 2**62 + 1),
        (0, None),
        (1, raw(FEW[1], FEW[0])),
        (1, raw(FEW[1], FEW[1])),
        (1, raw(FEW[0])[:-1]),
        (1, "text"),
        (1, raw(*PEERS)),
        (1, None),
        (2, raw(FEW[1], FEW[0])),
        (3, b"short"),
        (4, raw(FEW[1], FEW[0], FEW[0], FEW[1])),
        (4, raw(FEW[0], FEW[1], FEW[0], FEW[2])),
        (4, raw(FEW[0])),
        (4, raw(FEW[0]) + b"nobody"),
        (4, None),
        (5, [raw(FEW[1], FEW[0]), [4, 4]]),
        (5, [raw(FEW[0]), [-1]]),
        (5, [raw(FEW[0]), [2**62 + 1]]),
        (5, [raw(FEW[0]), []]),
        (5, [raw(FEW[0])]),
        (6, [3, 2]),
        (6, [3, 4]),
        (6, [-1]),
        (6, [2] * (MAX_PEERS + 1)),
        (6, None),
        (7, raw(FEW[4], FEW[4])),
        (7, raw(FEW[4])[1:]),
        (7, raw(FEW[5])),
        (7, raw(FEW[0])),
        (7, raw(*PEERS[8 : MAX_FORMER + 9])),
        (7, None),
        (8, [raw(FEW[1], FEW[0]), [1, 1], [1, 1]]),
        (8, [raw(FEW[0]), [0], [1]]),
        (8, [raw(FEW[0]), [33], [1]]),
        (8, [raw(FEW[0]), [1], [4]]),
        (8, [raw(FEW[0]), [1], [-1]]),
        (8, [raw(FEW[0]), [1, 1], [1]]),
        (8, [raw(FEW[0]), [1], []]),
        (8, [raw(FEW[0]), [1]]),
        (8, [raw(*PEERS[:25]), [1] * 25, [1] * 25]),
        (8, None),
    ],
)
def test_what_is_no_roster_is_refused(position: int, value: Any) -> None:
    fields = ROSTER.pack()
    assert Roster.unpack(fields) == ROSTER
    fields[position] = value
    with pytest.raises(Malformed):
        Roster.unpack(fields)


def test_arrivals_of_long_ago_are_refused() -> None:
    roster = dataclasses.replace(ROSTER, step=30, arrivals=(11, 30))
    assert Roster.unpack(roster.pack()) == roster
    with pytest.raises(Malformed):
        Roster.unpack(dataclasses.replace(roster, arrivals=(10, 30)).pack())


def test_a_returned_peer_on_probation_may_be_remembered() -> None:
    roster = dataclasses.replace(ROSTER, former=(FEW[3],))
    assert Roster.unpack(roster.pack()) == roster


@given(st.recursive(st.none() | st.integers() | st.binary(max_size=40), lambda inner: st.lists(inner, max_size=5)))
def test_junk_raises_only_malformed(value: Any) -> None:
    for read in (Roster.unpack, peer_set):
        with contextlib.suppress(Malformed):
            read(value)


def test_a_set_of_peers_may_be_as_large_as_a_roster() -> None:
    largest = PEERS[:MAX_PEERS]
    assert peer_set([bytes(peer) for peer in largest]) == tuple(largest)
    with pytest.raises(Malformed):
        peer_set([bytes(peer) for peer in PEERS])


def after(roster: Roster, *joined: PeerId, without: PeerId | None = None, steps: int = 3) -> Roster:
    """Return the roster of the step after, newcomers being on probation for so many steps."""
    members = [peer for peer in roster.members if peer != without]
    return roster.successor(members, joined, (), randomness=bytes(32), probation_steps=steps)


def test_a_newcomer_has_no_vote_before_its_probation_is_over() -> None:
    roster = after(Roster(10, tuple(FEW[:3]), frozenset(), R), FEW[3])
    assert roster.probation == ((FEW[3], 14),) and roster.newcomers == {FEW[3]}
    for step in (11, 12, 13):
        assert (roster.step, roster.voters) == (step, set(FEW[:3]))
        roster = after(roster)
    assert (roster.step, roster.voters, roster.probation) == (14, set(FEW[:4]), ())


def test_a_peer_that_comes_back_begins_again() -> None:
    roster = after(after(Roster(10, tuple(FEW[:3]), frozenset(), R), FEW[3]))
    gone = after(roster, without=FEW[3])
    assert FEW[3] not in gone.members and gone.probation == ()
    assert after(gone, FEW[3]).probation == ((FEW[3], 17),)
    assert after(roster, FEW[3]).probation == ((FEW[3], 14),), "it was there all the time"


def test_without_probation_newcomers_vote_at_once() -> None:
    assert after(Roster(10, tuple(FEW[:3]), frozenset(), R), FEW[3], steps=0).voters == set(FEW[:4])


def test_the_votes_of_newcomers_and_strangers_make_no_majority() -> None:
    roster = Roster(0, tuple(FEW[:6]), frozenset(), R, (), ((FEW[4], 9), (FEW[5], 9)))
    assert not roster.is_majority([FEW[0], FEW[1], *FEW[4:]])
    assert not roster.is_majority([FEW[0], FEW[0], FEW[0]])
    assert roster.is_majority(FEW[:3])


def test_a_validator_knows_its_target() -> None:
    assert ROSTER.validators == {FEW[0]: FEW[2], FEW[1]: FEW[2]}
