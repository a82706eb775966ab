"""Settling a failed attempt: which signed messages convict their author, and which do not."""

from __future__ import annotations

import random

import pytest

from btard.behaviour import LeaveReason
from btard.identity import MessageKind
from btard.round.evidence.evidence import Offence
from btard.round.failure.resolve import convict
from btard.round.messages.accusations import Vote
from btard.round.messages.bodies import Aggregate, Commit, Digest, PartHeader, Reveal
from btard.round.randomness import share_commitment
from tests.btard.round.settlement import (
    ATTEMPT,
    FILL,
    PEERS,
    REACTION,
    D,
    E,
    commit,
    leave,
    part,
    report,
    scalars,
    signed,
)


@pytest.mark.parametrize(
    "kind, one, other",
    [
        (MessageKind.COMMIT, commit(2).body, commit(2, E, D, D, D, D).body),
        (MessageKind.PART, PartHeader(1, D).encode(), PartHeader(1, E).encode()),
        (MessageKind.AGGREGATE, Aggregate(D).encode(), Aggregate(E).encode()),
        (MessageKind.REVEAL, Reveal(D, D).encode(), Reveal(D, E).encode()),
        (MessageKind.SCALARS, scalars(), scalars(0.5, 0.0, 0.0, 0.0, 0.0)),
        (MessageKind.DIGEST, Digest(D, D, D, D).encode(), Digest(D, D, D, E).encode()),
        (MessageKind.REPORT, report().encode(), REACTION.encode()),
        (MessageKind.VOTE, Vote(D, ()).encode(), Vote(E, ()).encode()),
    ],
)
def test_two_messages_of_one_kind_convict(kind: MessageKind, one: bytes, other: bytes) -> None:
    pair = [signed(2, kind, one), signed(2, kind, other)]
    (ban,) = convict(ATTEMPT, pair)
    assert (ban.peer, ban.offence) == (PEERS[2], Offence.EQUIVOCATION)
    assert set(ban.envelopes) == set(pair)
    assert convict(ATTEMPT, [pair[0], pair[0]]) == convict(ATTEMPT, pair[:1]) == ()


@pytest.mark.parametrize(
    "kind, body",
    [
        (MessageKind.COMMIT, Commit(ATTEMPT.seats.attempt_id, D, D, (D, D), D, b"", ()).encode()),
        (MessageKind.COMMIT, Commit(ATTEMPT.seats.attempt_id, D, D, FILL, D, D, ()).encode()),
        (MessageKind.COMMIT, b"no commit"),
        (MessageKind.AGGREGATE, b"no aggregate"),
        (MessageKind.REVEAL, b"no reveal"),
        (MessageKind.SCALARS, b"no scalars"),
        (MessageKind.SCALARS, scalars(0.0)),
        (MessageKind.SCALARS, scalars(float("nan"), 0.0, 0.0, 0.0, 0.0)),
        (MessageKind.DIGEST, b"no digest"),
    ],
)
def test_a_signed_message_of_a_wrong_form_convicts(kind: MessageKind, body: bytes) -> None:
    (ban,) = convict(ATTEMPT, [signed(2, kind, body), commit(3)])
    assert (ban.peer, ban.offence) == (PEERS[2], Offence.MALFORMED)


def test_a_share_that_is_not_the_one_committed_to_convicts() -> None:
    sealed = share_commitment(PEERS[2], ATTEMPT.seats.attempt_id, D, E)
    promise = signed(2, MessageKind.COMMIT, Commit(ATTEMPT.seats.attempt_id, D, D, (D,) * 5, sealed, b"", ()).encode())
    true, false = (signed(2, MessageKind.REVEAL, Reveal(share, E).encode()) for share in (D, E))
    assert convict(ATTEMPT, [promise, true]) == ()
    (ban,) = convict(ATTEMPT, [promise, false])
    assert (ban.peer, ban.offence, ban.envelopes) == (PEERS[2], Offence.FALSE_REVEAL, (promise, false))


def test_parts_for_two_owners_do_not_contradict_each_other() -> None:
    assert convict(ATTEMPT, [part(2, 0, D), part(2, 1, E), commit(2, D, E, D, D, D)]) == ()


def test_a_part_header_that_breaks_its_commitment_convicts() -> None:
    evidence = [commit(2, D, E, D, D, D), part(2, 1, D)]
    (ban,) = convict(ATTEMPT, [*evidence, commit(3), part(3, 0, D)])
    assert (ban.peer, ban.offence) == (PEERS[2], Offence.PART_MISMATCH)
    assert ban.envelopes == tuple(evidence)


def test_a_part_counts_only_against_its_authors_commitment() -> None:
    assert convict(ATTEMPT, [commit(2), part(3, 0, E)]) == ()


def test_a_part_beyond_the_commitment_convicts_nobody() -> None:
    assert convict(ATTEMPT, [commit(2), part(2, 5, E)]) == ()


def test_each_peer_gets_one_verdict_in_roster_order() -> None:
    proofs = [commit(4), commit(4, E), leave(1, LeaveReason.LOTTERY), commit(2), part(2, 0, E), part(2, 0, D)]
    verdicts = convict(ATTEMPT, proofs)
    assert [ban.peer for ban in verdicts] == [PEERS[1], PEERS[2], PEERS[4]]
    for seed in range(5):
        random.Random(seed).shuffle(proofs)
        assert convict(ATTEMPT, proofs) == verdicts
