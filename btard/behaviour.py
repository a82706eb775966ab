"""Every decision that a peer takes, and its honest default.

A peer asks its behaviour before each of them; a Byzantine peer overrides what it wants and inherits the rest. Nothing
else in the code knows whether a peer is honest.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import TypeVar

import torch

from btard.hashing import Payload
from btard.identity import PeerId
from btard.round.decisions import Decisions, Outgoing, View
from btard.round.messages.bodies import LeaveReason
from btard.round.roster import Roster

__all__ = ["Behaviour", "LeaveReason", "Outgoing", "View"]

B = TypeVar("B")


def kill_this_process() -> None:
    """End this process as a crash does: nothing is said, and nothing is cleaned up."""
    os.kill(os.getpid(), signal.SIGKILL)


class Behaviour(Decisions):
    """The honest behaviour: in a round (`Decisions`), in training, and toward peers that ask.

    `step` is the global step that the decision belongs to.

    Attributes:
        die: how the peer ends without a word; a simulation, which has many peers in one process, sets its own way.
    """

    name = "NONE"
    die: Callable[[], None] = staticmethod(kill_this_process)

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

    def shown_momentum(self, step: int, asker: PeerId, base: bytes | None) -> bytes | None:
        """Return the momentum of a step, 4 d bytes, for a peer that recomputes its vector, or that asks for
        one that does; or None to show none."""
        return base

    def shown_vector(self, step: int, asker: PeerId, vector: bytes | None) -> bytes | None:
        """Return the vector of a step, 4 d float32 bytes, for a peer that examines the failed attempts of that step, or
        that asks for it on behalf of one that does; or None to show none."""
        return vector

    def passed_on(self, step: int, asker: PeerId, target: PeerId, shown: bytes | None) -> bytes | None:
        """Return what to show a validator, or a judge, of what its target has shown this peer; None for nothing."""
        return shown

    def reported_loss(self, step: int, loss: float) -> float | None:
        """Return the loss to publish, or None to publish none."""
        return loss

    def served_state(self, state: Payload) -> Payload:
        """Return what to hand to a newcomer that asks for the training state: it comes in chunks."""
        return state

    def told_newcomer(self, question: str, answer: bytes | None) -> bytes | None:
        """Return the answer to a peer that wants in, None to refuse; `question` is manifest, roster, addresses or
        knock."""
        return answer

    def served_evidence(self, evidence: bytes | None) -> bytes | None:
        """Return the evidence file of a ban for a peer that asks for it, or None to show none."""
        return evidence

    def leaves(self, step: int, following: Roster) -> LeaveReason | None:
        """Whether the peer leaves after this step, and why; `following` is the roster of the next one."""
        return None
