"""Pledges: which failed attempts count, and whose word is taken for what a peer has signed in them."""

from __future__ import annotations

import dataclasses

from btard.hashing import digest
from btard.identity import Envelope, IdentityKey, MessageKind, PeerId
from btard.identity.codec import encode
from btard.round.attempt.attempt import Attempt
from btard.round.attempt.pledges import NO_PLEDGES, Pledges, pledges_of
from btard.round.attempt.seats import Seats
from btard.round.draw import Audit
from btard.round.messages.bodies import Commit
from btard.round.roster import Roster, first_randomness
from tests.btard.round.swarm import RULES, keys

KEYS = keys(5)
PEERS = tuple(key.peer_id for key in KEYS)
TARGET = PEERS[1]
ROSTER = Roster(3, PEERS, frozenset(), first_randomness(0, 3), (Audit(PEERS[4], PEERS[0]),))
LIE = tuple(digest(bytes([part])) for part in range(4))
TRUTH = tuple(digest(bytes([9, part])) for part in range(4))


def attempt(number: int, members: tuple[PeerId, ...] = PEERS) -> Attempt:
    return Attempt(Seats(RULES, ROSTER, number, members, PEERS[0]))


def commit(about: Attempt, parts: tuple[bytes, ...] = TRUTH, key: IdentityKey = KEYS[1]) -> Envelope:
    body = Commit(about.seats.attempt_id, bytes(32), bytes(32), parts, bytes(32), b"", ()).encode()
    number = about.seats.number
    return Envelope.sign(key, run=RULES.run, step=ROSTER.step, attempt=number, kind=MessageKind.COMMIT, body=body)


def shown(*envelopes: Envelope) -> bytes:
    return Pledges({}, envelopes).encode()


FAILED = attempt(0)


def pledges(*parts: tuple[bytes, ...]) -> Pledges:
    """What is held of the target, which committed to these in the failed attempt."""
    failed = attempt(0)
    for each in parts:
        failed.file(commit(failed, each))
    return pledges_of([failed], TARGET)


def test_what_was_committed_to_is_kept_once() -> None:
    first, second = attempt(0), attempt(1)
    for failed in (first, second):
        failed.file(commit(failed))
    kept = pledges_of([first, second], TARGET)
    assert len(kept.commits) == 2 and kept.heard(TARGET, ()).vectors == (TRUTH,)
    assert kept.owed == {first.seats.attempt_id: 4, second.seats.attempt_id: 4}


def test_peers_that_submit_nothing_owe_nothing() -> None:
    others = attempt(1, tuple(peer for peer in PEERS if peer != TARGET))
    assert pledges_of([others], TARGET) == NO_PLEDGES
    assert pledges_of([FAILED], PEERS[4]) == NO_PLEDGES, "a validator"
    assert pledges_of([], TARGET) == NO_PLEDGES


def test_what_others_were_told_counts_as_well() -> None:
    lie = shown(commit(FAILED, LIE))
    assert pledges(TRUTH).heard(TARGET, [lie, lie]).vectors == (TRUTH, LIE)
    assert pledges().heard(TARGET, [lie]).vectors == (LIE,)


def test_what_a_peer_was_told_it_can_show_to_judges() -> None:
    told = pledges().heard(TARGET, [shown(commit(FAILED, LIE))])
    assert pledges(TRUTH).heard(TARGET, [told.encode()]).vectors == (TRUTH, LIE)


def test_no_more_is_kept_than_contradicts_itself() -> None:
    third = tuple(reversed(LIE))
    heard = pledges(TRUTH).heard(TARGET, [shown(commit(FAILED, LIE)), shown(commit(FAILED, third))])
    assert heard.vectors == (TRUTH, LIE) and heard.contradictory
    assert not pledges(TRUTH).contradictory and not pledges().contradictory
    assert len(heard.encode()) < heard.most_bytes


def test_nobody_can_put_words_into_a_target_s_mouth() -> None:
    forged = dataclasses.replace(commit(FAILED, LIE, KEYS[2]), author=TARGET)
    other = commit(attempt(1), LIE)
    foreign = dataclasses.replace(commit(FAILED, LIE), kind=MessageKind.VOTE)
    for told in (
        shown(forged),
        shown(commit(FAILED, LIE, KEYS[2])),
        shown(other),
        shown(foreign),
        shown(commit(FAILED, LIE[:3])),
        shown(*[commit(FAILED, LIE)] * 3),
        encode([b"none"]),
        encode([1]),
        encode([commit(FAILED, LIE).encode(), b""]),
        b"",
        b"\xff",
    ):
        assert pledges(TRUTH).heard(TARGET, [told]).vectors == (TRUTH,)


def test_one_bad_answer_hides_no_other() -> None:
    assert pledges().heard(TARGET, [b"", shown(commit(FAILED, LIE)), b"\xff"]).vectors == (LIE,)


def test_honest_answers_are_within_the_bound() -> None:
    kept = pledges(TRUTH)
    assert len(kept.encode()) < kept.most_bytes
    assert kept.heard(TARGET, [bytes(kept.most_bytes + 1)]).vectors == (TRUTH,)
