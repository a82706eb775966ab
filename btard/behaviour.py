"""Every decision that a peer takes, and its honest default.

A peer asks its behaviour before each of them; a Byzantine peer overrides what it wants and inherits the rest. Nothing
else in the code knows whether a peer is honest.
"""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from btard.identity import Envelope, IdentityKey, PeerId
from btard.round.messages.accusations import Charge, Opinion
from btard.round.messages.bodies import Commit, LeaveReason, Phase, Reveal, Scalars
from btard.round.roster import Roster
from btard.transport.base import Payload
from btard.vocabulary import WireType

B = TypeVar("B")


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
    """

    roster: Roster
    me: PeerId
    members: tuple[PeerId, ...]
    owners: tuple[PeerId, ...]
    tau: float
    column: dict[PeerId, tuple[float, float]]
    wire: WireType
    longest: float = math.inf

    @property
    def my_part(self) -> int | None:
        """The number of the own part, None for a peer that owns none in this step."""
        return self.owners.index(self.me) if self.me in self.owners else None


def kill_this_process() -> None:
    """End this process as a crash does: nothing is said, and nothing is cleaned up."""
    os.kill(os.getpid(), signal.SIGKILL)


class Behaviour:
    """The honest behaviour. `step` is the global step that the decision belongs to.

    Attributes:
        die: how the peer ends without a word; a simulation, which has many peers in one process, sets its own way.
    """

    name = "NONE"
    die: Callable[[], None] = staticmethod(kill_this_process)

    def attach(self, key: IdentityKey) -> None:
        """Called once, before anything else, with the peer's own key."""

    def attacks(self, step: int) -> bool:
        """Whether the peer lies in this step: for logs, tables and figures of experiments; decided once a step."""
        return False

    def batch(self, step: int, batch: B, label_flipped: Callable[[B], B]) -> B:
        """Return the batch to compute on; `label_flipped` is the task's way to spoil one."""
        return batch

    def batch_seed(self, roster: Roster, seed: bytes) -> bytes:
        """Return the 32-byte seed of the batch to compute on; honest is the one given."""
        return seed

    def gradient(self, step: int, gradient: torch.Tensor) -> torch.Tensor:
        """Return the vector to send in place of the true gradient, float32 of shape (d,)."""
        return gradient

    def foretell(self, step: int, vector: torch.Tensor) -> None:
        """Called in simulations only, with the true vector of the step, before `gradient` is called of any peer.

        It is for attackers that wait for each other's vectors: in the one thread of a simulation nobody can wait.
        """

    def momentum(self, step: int, base: torch.Tensor) -> torch.Tensor:
        """Return the momentum to build the vector of this step on, and to commit to: float32 of shape (d,).

        Called only where the run uses momentum. `base` is what the peer submitted last, and not to be changed.
        """
        return base

    def shown_momentum(self, step: int, base: bytes | None) -> bytes | None:
        """Return the momentum of a step, 4 d bytes, for a peer that recomputes its vector, or None to show none."""
        return base

    def reported_loss(self, step: int, loss: float) -> float | None:
        """Return the loss to publish, or None to publish none."""
        return loss

    def commit(self, step: int, commit: Commit, view: View) -> Commit | None:
        """Return the commitment to broadcast, or None to broadcast none."""
        return commit

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

    def served_state(self, state: bytes) -> bytes:
        """Return the training state to hand to a newcomer that asks."""
        return state

    def told_newcomer(self, question: str, answer: bytes | None) -> bytes | None:
        """Return the answer to a peer that wants in, None to refuse; `question` is manifest, roster, addresses or
        knock."""
        return answer

    def served_evidence(self, evidence: bytes | None) -> bytes | None:
        """Return the evidence file of a ban for a peer that asks for it, or None to show none."""
        return evidence

    def leaves(self, step: int) -> LeaveReason | None:
        """Whether the peer leaves after this step, and why."""
        return None
