"""Who takes part in a step, who never may again, and the public randomness that seeds everyone's batch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from btard.hashing import DIGEST_SIZE, tagged_digest
from btard.identity import PeerId
from btard.identity.codec import Malformed, Reader, as_bytes, as_fields, as_int, as_list, ascending
from btard.identity.peer_id import PEER_ID_SIZE
from btard.round.draw import Audit

MAX_PEERS = 1024


@dataclass(frozen=True)
class Roster:
    """The agreed membership of one step.

    Attributes:
        step: the global step.
        members: ascending by id.
        banned: keys that may never be members again.
        randomness: 32 bytes, r^{t-1} of the paper.
        audits: who sits this step out to check whom, ascending by validator.
        probation: (newcomer, first step in which it counts), ascending: its gradients are checked, but not used, and it
            has no vote.
    """

    step: int
    members: tuple[PeerId, ...]
    banned: frozenset[PeerId]
    randomness: bytes
    audits: tuple[Audit, ...] = ()
    probation: tuple[tuple[PeerId, int], ...] = ()

    @cached_property
    def digest(self) -> bytes:
        """32 bytes that name this roster."""
        return tagged_digest(
            "btard roster",
            self.step.to_bytes(8, "big"),
            self.randomness,
            b"".join(self.members),
            b"".join(sorted(self.banned)),
            b"".join(audit.validator + audit.target for audit in self.audits),
            b"".join(peer + until.to_bytes(8, "big") for peer, until in self.probation),
        )

    @cached_property
    def newcomers(self) -> frozenset[PeerId]:
        """The members on probation."""
        return frozenset(peer for peer, _ in self.probation)

    @cached_property
    def voters(self) -> frozenset[PeerId]:
        """The members whose word counts."""
        return frozenset(self.members) - self.newcomers

    @cached_property
    def validators(self) -> dict[PeerId, PeerId]:
        """The target of each validator."""
        return {audit.validator: audit.target for audit in self.audits}

    def is_majority(self, peers: Iterable[PeerId]) -> bool:
        """Whether these peers are more than half of the members that have a vote."""
        return 2 * len(self.voters.intersection(peers)) > len(self.voters)

    def batch_seed(self, peer: PeerId) -> bytes:
        """Return the 32-byte public seed of a peer's batch in this step: xi_i = H(r^{t-1} || i), paper section 3."""
        return tagged_digest("btard batch", self.randomness, peer)

    def successor(
        self,
        members: Iterable[PeerId],
        joined: Iterable[PeerId],
        banned: Iterable[PeerId],
        *,
        randomness: bytes,
        audits: tuple[Audit, ...] = (),
        probation_steps: int = 0,
    ) -> Roster:
        """Return the roster of the next step: who finished this one, who is admitted, less who is banned."""
        step = self.step + 1
        all_banned = self.banned | frozenset(banned)
        stayed = set(members)
        fresh = set(joined) - stayed if probation_steps else set()
        following = tuple(sorted((stayed | set(joined)) - all_banned))
        until = {peer: first for peer, first in self.probation if peer in stayed and first > step}
        until |= dict.fromkeys(fresh, step + probation_steps)
        probation = tuple((peer, until[peer]) for peer in following if peer in until)
        return Roster(step, following, all_banned, randomness, audits, probation)

    def pack(self) -> list[object]:
        """Return the fields for the codec."""
        banned = [bytes(p) for p in sorted(self.banned)]
        audits = [[bytes(audit.validator), bytes(audit.target)] for audit in self.audits]
        probation = [[bytes(peer), until] for peer, until in self.probation]
        return [self.step, [bytes(p) for p in self.members], banned, self.randomness, audits, probation]

    @classmethod
    def unpack(cls, value: object) -> Roster:
        """Read `pack`'s fields; raises Malformed."""
        step, members, banned, randomness, audits, probation = as_fields(value, 6)
        pairs = [as_fields(item, 2) for item in as_list(audits, most=MAX_PEERS)]
        validators = peer_set([validator for validator, _ in pairs])
        targets = [peer_id(target) for _, target in pairs]
        trials = [as_fields(item, 2) for item in as_list(probation, most=MAX_PEERS)]
        newcomers = peer_set([newcomer for newcomer, _ in trials])
        return cls(
            as_int(step, 0, 2**62),
            peer_set(members),
            frozenset(peer_set(banned)),
            as_bytes(randomness, DIGEST_SIZE),
            tuple(Audit(v, t) for v, t in zip(validators, targets, strict=True)),
            tuple((p, as_int(until, 0, 2**62)) for p, (_, until) in zip(newcomers, trials, strict=True)),
        )


def first_randomness(seed: int, step: int) -> bytes:
    """Return r of the first roster of a run that starts at `step`."""
    return tagged_digest("btard first randomness", seed.to_bytes(8, "big"), step.to_bytes(8, "big"))


def peer_id(value: object) -> PeerId:
    """Read a peer id; raises Malformed."""
    try:
        return PeerId.of(as_bytes(value))
    except ValueError as error:
        raise Malformed(str(error)) from None


def peer_set(value: object) -> tuple[PeerId, ...]:
    """Read a strictly ascending list of at most MAX_PEERS peer ids; raises Malformed."""
    peers = tuple(peer_id(item) for item in as_list(value, most=MAX_PEERS))
    if not ascending(peers):
        raise Malformed("peer ids are not ascending")
    return peers


def read_peer(fields: Reader) -> PeerId:
    """Read a peer id; raises Malformed."""
    return peer_id(fields.blob(PEER_ID_SIZE))


def read_peers(fields: Reader, *, most: int = MAX_PEERS) -> tuple[PeerId, ...]:
    """Read a strictly ascending list of at most `most` peer ids; raises Malformed."""
    try:
        peers = tuple(map(PeerId.of, fields.blobs(PEER_ID_SIZE, most=most)))
    except ValueError as error:
        raise Malformed(str(error)) from None
    if not ascending(peers):
        raise Malformed("peer ids are not ascending")
    return peers
