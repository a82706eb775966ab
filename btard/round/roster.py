"""Who takes part in a step, who never may again, and the public randomness that seeds everyone's batch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from btard.hashing import DIGEST_SIZE, tagged_digest
from btard.identity import PeerId
from btard.identity.codec import Malformed, as_bytes, as_fields, as_int, as_list, ascending

MAX_PEERS = 1024


@dataclass(frozen=True)
class Roster:
    """The agreed membership of one step.

    Attributes:
        step: the global step.
        members: ascending by id; the position of a peer is also the part that it owns.
        banned: keys that may never be members again.
        randomness: 32 bytes, r^{t-1} of the paper.
    """

    step: int
    members: tuple[PeerId, ...]
    banned: frozenset[PeerId]
    randomness: bytes

    @cached_property
    def digest(self) -> bytes:
        """32 bytes that name this roster."""
        return tagged_digest(
            "btard roster",
            self.step.to_bytes(8, "big"),
            self.randomness,
            b"".join(self.members),
            b"".join(sorted(self.banned)),
        )

    def batch_seed(self, peer: PeerId) -> bytes:
        """Return the 32-byte public seed of a peer's batch in this step: xi_i = H(r^{t-1} || i), paper section 3."""
        return tagged_digest("btard batch", self.randomness, peer)

    def successor(self, members: Iterable[PeerId], joined: Iterable[PeerId], banned: Iterable[PeerId]) -> Roster:
        """Return the roster of the next step: who finished this one, who is admitted, less who is banned."""
        all_banned = self.banned | frozenset(banned)
        following = tuple(sorted((set(members) | set(joined)) - all_banned))
        return Roster(self.step + 1, following, all_banned, next_randomness(self.randomness))

    def pack(self) -> list[object]:
        """Return the fields for the codec."""
        banned = [bytes(p) for p in sorted(self.banned)]
        return [self.step, [bytes(p) for p in self.members], banned, self.randomness]

    @classmethod
    def unpack(cls, value: object) -> Roster:
        """Read `pack`'s fields; raises Malformed."""
        step, members, banned, randomness = as_fields(value, 4)
        return cls(
            as_int(step, 0, 2**62), peer_set(members), frozenset(peer_set(banned)), as_bytes(randomness, DIGEST_SIZE)
        )


def next_randomness(randomness: bytes) -> bytes:
    """Return r^t from r^{t-1} by hashing: public and equal for all, but predictable.

    Multi-party randomness takes this function's place; until then an attacker knows future seeds, but not the others'
    gradients before committing to its own.
    """
    return tagged_digest("btard randomness", randomness)


def first_randomness(seed: int, step: int) -> bytes:
    """Return r of the first roster of a run that starts at `step`."""
    return tagged_digest("btard first randomness", seed.to_bytes(8, "big"), step.to_bytes(8, "big"))


def peer_set(value: object) -> tuple[PeerId, ...]:
    """Read a strictly ascending list of at most MAX_PEERS peer ids; raises Malformed."""
    try:
        peers = tuple(PeerId(as_bytes(item)) for item in as_list(value, most=MAX_PEERS))
    except ValueError as error:
        raise Malformed(str(error)) from None
    if not ascending(peers):
        raise Malformed("peer ids are not ascending")
    return peers
