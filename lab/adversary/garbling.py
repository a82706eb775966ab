"""What a colluder says instead: messages of the right form that an honest peer would not have signed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeVar

from btard.hashing import Payload, digest
from btard.identity import Envelope, IdentityKey, MessageKind
from btard.round.messages.accusations import Opinion, Report, Vote
from btard.round.messages.bodies import Aggregate, Commit, Digest, PartHeader, Reveal, Scalars

_OPPOSITE = {
    Opinion.GUILTY: Opinion.INNOCENT,
    Opinion.INNOCENT: Opinion.GUILTY,
    Opinion.UNSURE: Opinion.GUILTY,
}


def opposite(opinion: Opinion) -> Opinion:
    """Return another opinion: guilty for what is undecided."""
    return _OPPOSITE[opinion]


def _commit(body: bytes) -> bytes:
    """Another hash of the last part, or of the share where there are no parts."""
    commit = Commit.decode(body)
    if not commit.parts:
        return dataclasses.replace(commit, share=digest(commit.share)).encode()
    return dataclasses.replace(commit, parts=(*commit.parts[:-1], digest(commit.parts[-1]))).encode()


def _reveal(body: bytes) -> bytes:
    reveal = Reveal.decode(body)
    return dataclasses.replace(reveal, share=digest(reveal.share)).encode()


def _scalars(body: bytes) -> bytes:
    """The first product with the other sign."""
    scalars = Scalars.decode(body)
    return dataclasses.replace(scalars, products=(-scalars.products[0], *scalars.products[1:])).encode()


def _digest(body: bytes) -> bytes:
    said = Digest.decode(body)
    return dataclasses.replace(said, transcript=digest(said.transcript)).encode()


def _report(body: bytes) -> bytes:
    """A report without complaints, charge and testimony."""
    return dataclasses.replace(Report.decode(body), complaints=(), charge=None, late=()).encode()


def _vote(body: bytes) -> bytes:
    """Opinions turned round."""
    vote = Vote.decode(body)
    ballots = tuple(dataclasses.replace(ballot, opinion=opposite(ballot.opinion)) for ballot in vote.ballots)
    return dataclasses.replace(vote, ballots=ballots).encode()


_OTHER: dict[MessageKind, Callable[[bytes], bytes]] = {
    MessageKind.COMMIT: _commit,
    MessageKind.REVEAL: _reveal,
    MessageKind.SCALARS: _scalars,
    MessageKind.DIGEST: _digest,
    MessageKind.REPORT: _report,
    MessageKind.VOTE: _vote,
}


M = TypeVar("M", Commit, Reveal, Scalars, Report)


def other(word: MessageKind, message: M) -> M:
    """Return what is told to everybody instead of a broadcast."""
    return type(message).decode(_OTHER[word](message.encode()))


def garbled(key: IdentityKey, envelope: Envelope, payload: Payload | None) -> tuple[Envelope, Payload | None]:
    """Return another message of the same step, attempt and kind: another body, or another payload under a header that
    fits it. Messages that say nothing of their own, such as requests, stay as they are."""
    if payload is not None and len(payload):
        payload = bytes(byte ^ 1 for byte in payload[:4]) + bytes(payload[4:])
        if envelope.kind is MessageKind.PART:
            return signed_like(
                key, envelope, PartHeader(envelope.read(PartHeader).part, digest(payload)).encode()
            ), payload
        return signed_like(key, envelope, Aggregate(digest(payload)).encode()), payload
    change = _OTHER.get(envelope.kind)
    return (envelope if change is None else signed_like(key, envelope, change(envelope.body))), payload


def signed_like(key: IdentityKey, envelope: Envelope, body: bytes, kind: MessageKind | None = None) -> Envelope:
    """Return a signed message of the same run, step and attempt, and of the same kind unless another is given."""
    return Envelope.sign(
        key, run=envelope.run, step=envelope.step, attempt=envelope.attempt, kind=kind or envelope.kind, body=body
    )
