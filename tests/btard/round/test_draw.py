"""Draws: everyone draws alike, nobody is drawn for what it must not be, and chance is fair."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btard.hashing import digest
from btard.identity import PeerId
from btard.round.draw import (
    RELAYS,
    Audit,
    all_accomplices,
    draw_auditors,
    draw_audits,
    draw_witnessed,
    enough_auditors,
    how_many,
    ranking,
    relays_between,
    seat_audits,
    witness_of,
)
from tests.btard.round.swarm import keys

PEERS = tuple(key.peer_id for key in keys(12))
DRAWS = [digest(i.to_bytes(2)) for i in range(1000)]
Crowd = tuple[PeerId, ...]
randomness = st.binary(min_size=32, max_size=32)
crowds = st.integers(0, len(PEERS)).map(lambda count: PEERS[:count])


@given(randomness, crowds, st.randoms())
def test_a_ranking_does_not_depend_on_the_order_asked_in(r: bytes, peers: Crowd, shuffler: random.Random) -> None:
    shuffled = shuffler.sample(peers, len(peers))
    assert sorted(ranking(r, "owner", peers)) == sorted(peers)
    assert ranking(r, "owner", peers) == ranking(r, "owner", shuffled)


def test_rankings_for_different_purposes_and_randomness_differ() -> None:
    drawn = {tuple(ranking(r, purpose, PEERS)) for r in DRAWS[:10] for purpose in ("owner", "target", "validator")}
    assert len(drawn) == 30


@pytest.mark.parametrize("rate, mean", [(0.0, 0.0), (0.25, 0.25), (1.0, 1.0), (2.5, 2.5)])
def test_counts_have_the_given_mean_and_differ_by_at_most_one(rate: float, mean: float) -> None:
    counts = [how_many(r, "audits", rate) for r in DRAWS]
    assert sum(counts) / len(counts) == pytest.approx(mean, abs=0.06)
    assert max(counts) - min(counts) <= 1


@given(randomness, crowds, st.floats(0, 8), st.integers(0, 8))
def test_validators_are_never_targets_and_two_voters_always_work(
    r: bytes, peers: Crowd, rate: float, more: int
) -> None:
    audits = draw_audits(r, peers, peers, rate, more)
    validators, targets = [a.validator for a in audits], [a.target for a in audits]
    assert not set(validators) & set(targets)
    assert len(set(validators)) == len(set(targets)) == len(audits)
    assert validators == sorted(validators)
    assert len(audits) == 0 or len(peers) - len(validators) >= 2


@given(randomness, st.integers(0, 4))
def test_an_aborted_draw_adds_one_pair(r: bytes, extra: int) -> None:
    assert len(draw_audits(r, PEERS, PEERS, 1.0, extra)) == 1 + extra


@given(randomness, st.integers(0, 3))
def test_more_pairs_keep_the_targets_that_fewer_would_have(r: bytes, extra: int) -> None:
    few, many = draw_audits(r, PEERS, PEERS, 1.0, extra), draw_audits(r, PEERS, PEERS, 1.0, extra + 1)
    assert {audit.target for audit in few} < {audit.target for audit in many}


@given(randomness, st.floats(0, 8), st.sets(st.sampled_from(PEERS)), st.sets(st.sampled_from(PEERS)))
def test_no_audit_goes_with_its_validator(r: bytes, rate: float, gone: set[PeerId], newcomers: set[PeerId]) -> None:
    drawn = draw_audits(r, PEERS, PEERS, rate, 0)
    members, validators = set(PEERS) - gone, {audit.validator for audit in drawn}
    voters = (members - newcomers) | (validators - gone)
    seated = seat_audits(r, drawn, members, voters)
    assert seat_audits(r, drawn, set(PEERS), set(PEERS)) == drawn
    stay = {audit for audit in drawn if audit.validator not in gone}
    assert stay <= set(seated) and seated == tuple(sorted(seated))
    deputies = {audit.validator for audit in set(seated) - stay}
    free = voters - {peer for audit in drawn for peer in (audit.validator, audit.target)}
    assert deputies <= free and len(deputies) == len(seated) - len(stay)
    assert len({audit.target for audit in seated}) == len(seated)
    lost, room = len(drawn) - len(stay), len(voters) - 2 - len(stay)
    assert len(deputies) == min(lost, len(free), max(0, room)), "as many as there can be, and two voters work"


def test_deputies_are_drawn() -> None:
    drawn = (Audit(PEERS[0], PEERS[1]),)
    chosen = Counter(seat_audits(r, drawn, PEERS[1:], PEERS[1:])[0].validator for r in DRAWS)
    assert set(chosen) == set(PEERS[2:]) and max(chosen.values()) < 150
    assert seat_audits(DRAWS[0], drawn, PEERS[1:4], PEERS[1:4]) != ()
    assert seat_audits(DRAWS[0], drawn, PEERS[1:3], PEERS[1:3]) == (), "it lapses"


def test_only_voters_validate_and_newcomers_are_targets_too() -> None:
    voters, newcomers = PEERS[:8], PEERS[8:]
    audits = [audit for r in DRAWS for audit in draw_audits(r, voters, PEERS, 2.0, 0)]
    assert {audit.validator for audit in audits} == set(voters)
    assert {audit.target for audit in audits} == set(PEERS) > set(newcomers)


def test_everyone_is_audited_and_audits_equally_often() -> None:
    audits = [draw_audits(r, PEERS, PEERS, 1.0, 0)[0] for r in DRAWS]
    for drawn in (Counter(a.target for a in audits), Counter(a.validator for a in audits)):
        # 1000 / 12 = 83 with a standard deviation of 8.7
        assert all(48 < drawn[peer] < 118 for peer in PEERS)


@given(randomness, st.floats(0, 20))
def test_witnessed_owners_are_distinct_owners(r: bytes, rate: float) -> None:
    drawn = draw_witnessed(r, PEERS, rate)
    assert len(set(drawn)) == len(drawn) and set(drawn) <= set(PEERS)
    assert len(drawn) == min(len(PEERS), how_many(r, "witnesses", rate))


@given(randomness, st.sampled_from(PEERS))
def test_nobody_witnesses_its_own_part(r: bytes, owner: PeerId) -> None:
    assert witness_of(r, owner, PEERS) in set(PEERS) - {owner}


def test_a_lone_peer_has_no_witness() -> None:
    assert witness_of(DRAWS[0], PEERS[0], PEERS[:1]) is None


def test_every_owner_gets_another_witness_and_each_peer_its_turn() -> None:
    witnesses = Counter(witness_of(r, PEERS[0], PEERS) for r in DRAWS)
    assert set(witnesses) == set(PEERS[1:])
    assert len({witness_of(DRAWS[0], owner, PEERS) for owner in PEERS}) > 1


@given(randomness, st.permutations(PEERS))
def test_a_part_is_relayed_by_third_peers(attempt_id: bytes, peers: list[PeerId]) -> None:
    sender, receiver, *others = peers
    relays = relays_between(attempt_id, sender, receiver, peers)
    assert len(set(relays)) == RELAYS and set(relays) <= set(others)
    assert relays_between(attempt_id, sender, receiver, peers[:3]) == others[:1]


@pytest.mark.parametrize("voters", range(1, 70))
def test_enough_auditors_are_never_all_accomplices(voters: int) -> None:
    liars = (voters - 1) // 2
    beside_their_owner = max(0, liars - 1)
    assert enough_auditors(voters) > beside_their_owner or liars == 0
    assert enough_auditors(voters) == liars, "and no more than that takes"


@given(randomness, st.integers(2, 12), st.data())
def test_auditors_are_others_and_share_the_work(r: bytes, count: int, data: st.DataObject) -> None:
    voters, each = PEERS[:count], data.draw(st.integers(1, count - 1))
    auditors = draw_auditors(r, voters, frozenset(voters), each)
    for owner, peers in zip(voters, auditors, strict=True):
        assert len(set(peers)) == each and set(peers) <= set(voters) - {owner}
    assert set(Counter(peer for peers in auditors for peer in peers).values()) == {each}


def test_every_other_voter_is_as_likely_an_auditor() -> None:
    found = Counter(peer for r in DRAWS for peer in draw_auditors(r, PEERS[:1], PEERS, 3)[0])
    assert PEERS[0] not in found
    assert all(abs(found[peer] - len(DRAWS) * 3 / 11) < 70 for peer in PEERS[1:])


@pytest.mark.parametrize(("voters", "liars", "each"), [(8, 3, 1), (8, 3, 2), (12, 5, 1), (12, 5, 2), (12, 5, 5)])
def test_auditors_are_all_accomplices_as_chance_says(voters: int, liars: int, each: int) -> None:
    peers, bad = PEERS[:voters], set(PEERS[:liars])
    passed = sum(set(draw_auditors(r, peers[:1], peers, each)[0]) <= bad for r in DRAWS)
    chance = all_accomplices(voters, liars, each)
    assert abs(passed - len(DRAWS) * chance) <= 4 * (len(DRAWS) * chance * (1 - chance)) ** 0.5
    if each >= enough_auditors(voters):
        assert chance == passed == 0
