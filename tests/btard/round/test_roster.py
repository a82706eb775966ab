"""Rosters: one digest a membership, seeds that anyone can repeat, bans for ever, and strict reading."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btard.identity import Malformed, PeerId
from btard.round.roster import MAX_PEERS, Roster, first_randomness, next_randomness, peer_set

PEERS = [PeerId.from_public_key(bytes(30) + i.to_bytes(2, "big")) for i in range(MAX_PEERS + 1)]
FEW = PEERS[:8]
R = first_randomness(1, 0)
ROSTER = Roster(3, tuple(FEW[:4]), frozenset(FEW[5:7]), R)
groups = st.sets(st.sampled_from(FEW))


@given(st.integers(0, 2**62), groups, groups, st.binary(min_size=32, max_size=32))
def test_a_roster_goes_round(step: int, members: set[PeerId], banned: set[PeerId], randomness: bytes) -> None:
    roster = Roster(step, tuple(sorted(members)), frozenset(banned), randomness)
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
        dataclasses.replace(ROSTER, randomness=next_randomness(R)),
    ]
    assert len({roster.digest for roster in others}) == len(others)


def test_the_digest_does_not_depend_on_the_order_of_a_set() -> None:
    assert ROSTER.digest == dataclasses.replace(ROSTER, banned=frozenset(reversed(FEW[5:7]))).digest


def test_batch_seeds_differ_by_peer_and_by_step() -> None:
    following = ROSTER.successor(ROSTER.members, (), ())
    seeds = {roster.batch_seed(peer) for roster in (ROSTER, following) for peer in FEW}
    assert len(seeds) == 2 * len(FEW)
    assert {len(seed) for seed in seeds} == {32}
    assert ROSTER.batch_seed(FEW[0]) == dataclasses.replace(ROSTER, members=(), step=9).batch_seed(FEW[0])


def test_randomness_depends_on_seed_and_first_step() -> None:
    draws = {first_randomness(seed, step) for seed in (0, 1) for step in (0, 1)} | {next_randomness(R)}
    assert len(draws) == 5


@given(groups, groups, groups)
def test_the_successor(members: set[PeerId], joined: set[PeerId], banned: set[PeerId]) -> None:
    following = ROSTER.successor(members, joined, banned)
    assert following.step == ROSTER.step + 1
    assert following.banned == ROSTER.banned | banned
    assert set(following.members) == (members | joined) - following.banned
    assert list(following.members) == sorted(set(following.members))
    assert following.randomness == next_randomness(ROSTER.randomness)


def test_a_banned_key_is_never_admitted_again() -> None:
    roster = ROSTER.successor(ROSTER.members, (), {FEW[0]})
    for _ in range(3):
        roster = roster.successor(roster.members, {FEW[0]}, ())
        assert FEW[0] not in roster.members and FEW[0] in roster.banned


@pytest.mark.parametrize(
    "position, value",
    [
        (0, -1),
        (0, 2**62 + 1),
        (0, None),
        (1, [bytes(FEW[1]), bytes(FEW[0])]),
        (1, [bytes(FEW[1])] * 2),
        (1, [bytes(38)]),
        (1, ["text"]),
        (1, [bytes(peer) for peer in PEERS]),
        (1, None),
        (2, [bytes(FEW[1]), bytes(FEW[0])]),
        (3, b"short"),
    ],
)
def test_what_is_no_roster_is_refused(position: int, value: Any) -> None:
    fields = ROSTER.pack()
    fields[position] = value
    with pytest.raises(Malformed):
        Roster.unpack(fields)


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
