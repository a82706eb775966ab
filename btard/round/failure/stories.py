"""What each peer was told, as digests: two that were told different things by one author find it out, and show it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from btard.hashing import tagged_digest
from btard.identity import Envelope, MessageKind, PeerId
from btard.round.attempt.attempt import Attempt
from btard.round.messages.accusations import TOLD_SIZE
from btard.round.messages.bodies import Commit

_KINDS = (MessageKind.COMMIT, MessageKind.AGGREGATE, MessageKind.REVEAL, MessageKind.SCALARS)
"""Broadcasts that decide what peers compute."""

_EACH = TOLD_SIZE // len(_KINDS)


def told_by_all(attempt: Attempt) -> bytes:
    """Return what this peer was told: of each member, ascending, 16 bytes of the digest of each message, or zeros."""
    signed = attempt.said.signed
    places = ((kind, peer) for peer in attempt.seats.members for kind in _KINDS)
    envelopes = (signed.get(place) for place in places)
    return b"".join(bytes(_EACH) if e is None else e.content_digest()[:_EACH] for e in envelopes)


def differing(attempt: Attempt, told: bytes) -> Iterator[tuple[MessageKind, PeerId]]:
    """Yield of which messages another was told a different version than this peer; `told` is the other's list."""
    own = told_by_all(attempt)
    places = [(kind, peer) for peer in attempt.seats.members for kind in _KINDS]
    for number, place in enumerate(places):
        mine, other = (text[number * _EACH :][:_EACH] for text in (own, told))
        if mine != other and any(mine) and any(other):
            yield place


def told_otherwise(attempt: Attempt, told: bytes, shown: Iterable[Envelope]) -> set[PeerId]:
    """Return the authors of messages, of those that somebody has shown, of which a list of what another peer was told
    names another version."""
    places = [(kind, peer) for peer in attempt.seats.members for kind in _KINDS]
    listed = {place: told[number * _EACH :][:_EACH] for number, place in enumerate(places)}
    found = set()
    for envelope in shown:
        entry = listed.get((envelope.kind, envelope.author), b"")
        if any(entry) and entry != envelope.content_digest()[:_EACH]:
            found.add(envelope.author)
    return found


def state_of(commit: Commit) -> bytes:
    """Return the digest of what a commitment says of the state, the membership, and what earlier failures led to."""
    return tagged_digest("btard standpoint", commit.parameters, commit.attempt_id, commit.decided)
