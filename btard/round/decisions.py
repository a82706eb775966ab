"""Every decision that a peer takes in a round, and its honest default."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from btard.hashing import Payload
from btard.identity import Envelope, IdentityKey, PeerId
from btard.round.messages.accusations import Charge, Opinion, Report
from btard.round.messages.bodies import Commit, Phase, Reveal, Scalars
from btard.round.messages.opening import Opening
from btard.round.roster import Roster
from btard.vocabulary import WireType


@dataclass(frozen=True)
class Outgoing:
    """Bytes on their way to one peer.

    Attributes:
        data: a control message, an encoded envelope if it is honest.
        delay: seconds to wait before it is sent.
    """

    data: bytes
    delay: float = 0.0


@dataclass(frozen=True)
class View:
    """What a peer knows of the attempt that it is in.

    Attributes:
        roster: of the step.
        me: this peer.
        members: of the attempt, ascending.
        owners: the owner of every part, in order.
        tau: the clipping radius of a part.
        column: the true (product, norm) of everyone's row of the own part, by sender; empty before it is measured, and
            for peers without a part.
        wire: what the numbers of parts and aggregates look like.
        longest: the longest norm of a part that a sender may send; infinite without such a rule.
        attempt: counts the attempts of the step from 0.
        validators: the mean number of validators that a step draws.
        randomness: r^t, 32 bytes, once all shares are revealed.
        targets: the target of each validator of the attempt.
    """

    roster: Roster
    me: PeerId
    members: tuple[PeerId, ...]
    owners: tuple[PeerId, ...]
    tau: float
    column: dict[PeerId, tuple[float, float]]
    wire: WireType
    longest: float = math.inf
    attempt: int = 0
    validators: float = 0.0
    randomness: bytes = b""
    targets: Mapping[PeerId, PeerId] = field(default_factory=dict)

    @property
    def my_part(self) -> int | None:
        """The number of the own part, None for a peer that owns none in this step."""
        return self.owners.index(self.me) if self.me in self.owners else None


class Decisions:
    """The honest decisions. `step` is the global step that the decision belongs to."""

    def attach(self, key: IdentityKey) -> None:
        """Called once, before anything else, with the peer's own key."""

    def vector(self, step: int, attempt: int, vector: torch.Tensor) -> torch.Tensor:
        """Return the vector to cut into parts and commit to in one attempt, float32 of shape (d,); honest is the one
        given, which is computed once a step. What is returned is not to be changed before the step ends.

        Where the run uses momentum, the peer's chain goes on from the vector given, whatever is returned here.
        """
        return vector

    def commit(self, step: int, commit: Commit, view: View) -> Commit | None:
        """Return the commitment to broadcast, or None to broadcast none."""
        return commit

    def seal(self, step: int, seal: bytes) -> bytes:
        """Return what to commit to as a validator of this step: the honest seal over what was recomputed, 32 bytes, or
        nothing. Called once an attempt."""
        return seal

    def opening(self, step: int, opening: Opening | None) -> Opening | None:
        """Return what to open, as a validator of the step before, of what was sealed then; None for nothing."""
        return opening

    def part(self, step: int, receiver: PeerId, payload: Payload) -> Payload | None:
        """Return the bytes of an own part to send to its owner, a witness or a relay, or None to send nothing."""
        return payload

    def part_digest(self, step: int, receiver: PeerId, digest: bytes) -> bytes:
        """Return the digest that the signed header of an own part announces."""
        return digest

    def aggregate(self, step: int, payload: Payload, view: View) -> Payload:
        """Return the bytes to publish as the aggregate of the own part."""
        return payload

    def aggregate_for(self, step: int, receiver: PeerId, payload: Payload) -> Payload | None:
        """Return the bytes of the published aggregate to send to one peer, or None to send nothing."""
        return payload

    def aggregate_digest(self, step: int, receiver: PeerId, announced: bytes) -> bytes:
        """Return the digest that the signed header of the published aggregate announces to one peer."""
        return announced

    def reveal(self, step: int, reveal: Reveal, view: View) -> Reveal | None:
        """Return the share of randomness to reveal, or None to reveal nothing."""
        return reveal

    def scalars(self, step: int, scalars: Scalars, view: View) -> Scalars | None:
        """Return the products, norms and doubts to broadcast, or None to broadcast nothing."""
        return scalars

    def charge(self, step: int, phase: Phase, honest: Charge | None, view: View) -> Charge | None:
        """Return the accusation to make on leaving this phase, `honest` being what was found, or None for none."""
        return honest

    def report(self, step: int, report: Report, view: View) -> Report:
        """Return what to say, once and to all, about a failed attempt; the members agree on what they have heard."""
        return report

    def opinion(self, step: int, charge: Charge, opinion: Opinion) -> Opinion:
        """Return the vote on a charge."""
        return opinion

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> Sequence[Outgoing] | None:
        """Return what to send to one peer in place of a control message; None, the default, sends it unchanged.

        Args:
            receiver: one of the peers that the message is for.
            envelope: the message.
            sign: makes another message of the same step, attempt and kind with another body.
        """
        return None
