"""What each peer was told, as digests: two that were told different things by one author find it out, and show it."""

from __future__ import annotations

from collections.abc import Iterable

from btard.hashing import tagged_digest
from btard.identity import Envelope, MessageKind, PeerId
from btard.round.attempt.attempt import Attempt
from btard.round.messages.accusations import TOLD_SIZE
from btard.round.messages.attachments import ECHOED
from btard.round.messages.bodies import Commit

_KINDS = tuple(sorted(ECHOED))
_EACH = TOLD_SIZE // len(_KINDS)

Place = tuple[MessageKind, PeerId]


def _places(attempt: Attempt) -> list[Place]:
    return [(kind, peer) for peer in attempt.seats.members for kind in _KINDS]


def told_by_all(attempt: Attempt) -> bytes:
    """Return what this peer was told: of each member, ascending, 16 bytes of the digest of each message, or zeros."""
    envelopes = map(attempt.said.signed.get, _places(attempt))
    return b"".join(bytes(_EACH) if e is None else e.content_digest()[:_EACH] for e in envelopes)


def _entries(attempt: Attempt, told: bytes) -> dict[Place, bytes]:
    """Return what a list names, without its zeros."""
    cut = (told[at : at + _EACH] for at in range(0, len(told), _EACH))
    return {place: entry for place, entry in zip(_places(attempt), cut, strict=False) if any(entry)}


def differing(attempt: Attempt, told: bytes) -> list[Place]:
    """Return of which messages another was told a different version than this peer; `told` is the other's list."""
    own = _entries(attempt, told_by_all(attempt))
    return [place for place, entry in _entries(attempt, told).items() if own.get(place, entry) != entry]


def told_otherwise(attempt: Attempt, told: bytes, shown: Iterable[Envelope]) -> set[PeerId]:
    """Return the authors of messages, of those that somebody has shown, of which a list of what another peer was told
    names another version."""
    listed = _entries(attempt, told)
    versions = ((e.author, listed.get((e.kind, e.author)), e.content_digest()[:_EACH]) for e in shown)
    return {author for author, entry, version in versions if entry not in (None, version)}


def state_of(commit: Commit) -> bytes:
    """Return the digest of what a commitment says of the state, the membership, and what earlier failures led to."""
    return tagged_digest("btard standpoint", commit.parameters, commit.attempt_id, commit.decided)
