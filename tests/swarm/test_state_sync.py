"""Believing a swarm: heads count by majority of a trusted roster."""

from __future__ import annotations

import dataclasses

from btard.hashing import digest
from btard.swarm.questions import MAX_HEAD, Head, Question, Want
from btard.swarm.state_sync import ask_heads, newest_roster, state_digest
from btard.transport.libp2p import FetchError
from tests.peer.helpers import PEERS, ROSTER, TableTransport

STATE, LIE = digest(b"state"), digest(b"lie")
NEXT = ROSTER.successor(PEERS[:5], (), (), randomness=digest(b"r"))
FALSE = dataclasses.replace(NEXT, members=PEERS[3:], step=99)
HERE, THERE, LYING = Head(ROSTER, STATE, ()), Head(NEXT, STATE, ()), Head(FALSE, LIE, ())


def heads(*given: Head | None) -> dict:  # type: ignore[type-arg]
    return {peer: head for peer, head in zip(PEERS, given, strict=False) if head is not None}


async def test_heads_of_those_that_answer_and_only_of_those() -> None:
    answers = {
        PEERS[0]: HERE.encode(),
        PEERS[1]: b"garbage",
        PEERS[2]: FetchError("the peer is busy"),
        PEERS[3]: HERE.encode() + bytes(MAX_HEAD),
        PEERS[5]: HERE.encode(),
    }
    transport = TableTransport(answers)
    assert await ask_heads(transport, PEERS, timeout_seconds=1.0) == {PEERS[0]: HERE}  # type: ignore[arg-type]
    assert {limit for _, _, limit in transport.asked} == {MAX_HEAD}
    assert {peer for peer, _, _ in transport.asked} == set(PEERS[:5]), "nobody asks itself"
    assert {Question.decode(request).want for _, request, _ in transport.asked} == {Want.HEAD}


def test_a_roster_is_believed_with_most_trusted_peers_in_it() -> None:
    assert newest_roster(ROSTER, heads(THERE, THERE, THERE, HERE, HERE)) == NEXT
    assert newest_roster(ROSTER, heads(HERE, HERE, HERE)) == ROSTER
    assert newest_roster(ROSTER, heads(HERE, HERE)) is None
    assert newest_roster(ROSTER, {}) is None


def test_peers_that_wait_stand_nowhere_and_hold_what_they_keep() -> None:
    waiting = Head(ROSTER, STATE, ((2, LIE),), waits=True)
    assert newest_roster(ROSTER, heads(HERE, HERE, waiting)) is None
    assert state_digest(ROSTER, heads(HERE, HERE, waiting), 5) is None
    assert state_digest(ROSTER, heads(waiting, waiting, waiting), 2) == LIE


def test_a_minority_cannot_invent_a_roster_however_new() -> None:
    assert newest_roster(ROSTER, heads(LYING, LYING, HERE, HERE, HERE)) == ROSTER
    assert newest_roster(ROSTER, heads(LYING, LYING, HERE, HERE)) is None


def test_strangers_have_no_vote() -> None:
    trusted = dataclasses.replace(ROSTER, members=PEERS[:3])
    assert newest_roster(trusted, heads(HERE, None, None, THERE, THERE, THERE)) is None
    assert state_digest(trusted, heads(HERE, None, None, HERE, HERE, HERE), 5) is None


def test_half_is_not_most() -> None:
    trusted = dataclasses.replace(ROSTER, members=PEERS[:4])
    assert newest_roster(trusted, heads(HERE, HERE, THERE, THERE)) is None
    assert state_digest(trusted, heads(HERE, HERE), 5) is None


def test_the_digest_of_a_state_needs_a_majority_for_that_step() -> None:
    other = dataclasses.replace(HERE, state=LIE)
    assert state_digest(ROSTER, heads(HERE, HERE, HERE, other, other), 5) == STATE
    assert state_digest(ROSTER, heads(HERE, HERE, other, other), 5) is None
    assert state_digest(ROSTER, heads(HERE, HERE, HERE), 6) is None


def test_snapshots_vote_for_their_step() -> None:
    kept = dataclasses.replace(THERE, snapshots=((5, STATE), (2, LIE)))
    assert state_digest(ROSTER, heads(kept, kept, HERE), 5) == STATE
    assert state_digest(ROSTER, heads(kept, kept, HERE), 2) is None
    twice = dataclasses.replace(HERE, snapshots=((5, LIE),))
    assert state_digest(ROSTER, heads(twice, twice, twice), 5) == STATE, "one peer has one vote"
