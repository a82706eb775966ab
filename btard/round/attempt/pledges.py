"""What a peer has committed to in the failed attempts of a step: short, and all that examining them takes.

A liar may tell two members two things, and an attempt that fails compares nothing. So a peer that examines it asks the
others what they hold: what one honest peer was told under the target's signature, all judges hear of.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from btard.identity import Envelope, Malformed, MessageKind, PeerId
from btard.identity.codec import as_bytes, as_list, decode, encode
from btard.round.attempt.attempt import Attempt
from btard.round.messages.bodies import Commit

_FRAME, _HASH = 4096, 34
"""Bytes of a commitment beside the hashes, and of each of these; honest ones have fewer."""

_VERSIONS = 2
"""Commitments of one attempt that are kept, and shown: no vector fits two different ones."""

Hashes = tuple[bytes, ...]
"""Of all parts of one vector."""


@dataclass(frozen=True)
class Pledges:
    """What one peer had to commit to in attempts that failed.

    Attributes:
        owed: how many parts its vector had, by the id of each attempt.
        commits: its signed commitments, as far as they are held here.
    """

    owed: Mapping[bytes, int] = field(default_factory=dict)
    commits: tuple[Envelope, ...] = ()

    @property
    def most_bytes(self) -> int:
        """What a member shows of them is no longer."""
        return _FRAME + _VERSIONS * sum(_FRAME + _HASH * parts for parts in self.owed.values())

    def encode(self) -> bytes:
        """Return the commitments for a member that asks."""
        return encode([envelope.encode() for envelope in self.commits])

    @property
    def vectors(self) -> tuple[Hashes, ...]:
        """The vectors that were committed to, each once."""
        read = (envelope.read(Commit) for envelope in self.commits)
        return tuple(dict.fromkeys(c.parts for c in read if self.owed.get(c.attempt_id) == len(c.parts)))

    @property
    def contradictory(self) -> bool:
        """Whether they are certainly not all of one vector: an honest peer sends one in all attempts."""
        vectors = self.vectors
        return len({len(hashes) for hashes in vectors}) < len(vectors)

    def heard(self, target: PeerId, shown: Iterable[bytes]) -> Pledges:
        """Return these and what others show of the target's: judges are shown all that a charge rests on.

        Args:
            shown: the bytes that others show; what is not genuine, or of other attempts, counts as not shown.
        """
        kept: dict[bytes, dict[Hashes, Envelope]] = {}
        for envelope in (*self.commits, *self._read(target, shown)):
            commit = envelope.read(Commit)
            versions = kept.setdefault(commit.attempt_id, {})
            if self.owed.get(commit.attempt_id) == len(commit.parts) and len(versions) < _VERSIONS:
                versions.setdefault(commit.parts, envelope)
        return Pledges(self.owed, tuple(envelope for versions in kept.values() for envelope in versions.values()))

    def _read(self, target: PeerId, shown: Iterable[bytes]) -> Iterator[Envelope]:
        for data in shown:
            try:
                items = as_list(decode(data, limit=self.most_bytes), most=_VERSIONS * len(self.owed))
                envelopes = [Envelope.parse(as_bytes(item, most=self.most_bytes)) for item in items]
                fitting = [e for e in envelopes if (e.kind, e.author) == (MessageKind.COMMIT, target)]
                yield from (e for e in fitting if e.read(Commit).attempt_id in self.owed and e.is_genuine())
            except Malformed:
                continue


NO_PLEDGES = Pledges()
"""Of a peer that was in no failed attempt that counts."""


def pledges_of(failed: Iterable[Attempt], target: PeerId) -> Pledges:
    """Return what a peer had to commit to in failed attempts."""
    owing = [attempt for attempt in failed if target in attempt.seats.submitting]
    holding = [attempt.said for attempt in owing if target in attempt.said.commits]
    return Pledges(
        {attempt.seats.attempt_id: attempt.seats.partition.count for attempt in owing},
        tuple(said.signed[MessageKind.COMMIT, target] for said in holding),
    )
