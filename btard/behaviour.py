"""Every decision that a peer takes, and its honest default.

A peer asks its behaviour before each of them; a Byzantine peer overrides what it wants and inherits the rest. Nothing
else in the code knows whether a peer is honest.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TypeVar

import torch

from btard.identity import PeerId
from btard.transport.base import Payload

B = TypeVar("B")


class LeaveReason(StrEnum):
    """Why a peer leaves the roster by its own signed word."""

    SHUTDOWN = "shutdown"
    LOTTERY = "lottery"


class Behaviour:
    """The honest behaviour. `step` is the global step that the decision belongs to."""

    name = "NONE"

    def attacks(self, step: int) -> bool:
        """Whether the peer lies in this step: for logs, tables and figures of experiments; decided once a step."""
        return False

    def batch(self, step: int, batch: B, label_flipped: Callable[[B], B]) -> B:
        """Return the batch to compute on; `label_flipped` is the task's way to spoil one."""
        return batch

    def gradient(self, step: int, gradient: torch.Tensor) -> torch.Tensor:
        """Return the vector to send in place of the true gradient, float32 of shape (d,)."""
        return gradient

    def reported_loss(self, step: int, loss: float) -> float | None:
        """Return the loss to publish, or None to publish none."""
        return loss

    def commitments(self, step: int, digests: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Return the digests to commit to, one 32-byte digest per part, in roster order."""
        return digests

    def part(self, step: int, receiver: PeerId, payload: Payload) -> Payload | None:
        """Return the bytes of the part to send to its owner, or None to send nothing."""
        return payload

    def aggregate(self, step: int, payload: Payload) -> Payload:
        """Return the bytes to publish as the aggregate of the own part."""
        return payload

    def served_state(self, state: bytes) -> bytes:
        """Return the training state to hand to a newcomer that asks."""
        return state

    def leaves(self, step: int) -> LeaveReason | None:
        """Whether the peer leaves after this step, and why."""
        return None
