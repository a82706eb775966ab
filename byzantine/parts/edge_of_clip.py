"""Sends a part that is too long in float32 and not in float64, where the run limits lengths by --clip."""

from __future__ import annotations

import dataclasses
import math

import torch

from btard.behaviour import View
from btard.byzantine.attacker import Attacker
from btard.byzantine.settings import BehaviourSettings
from btard.hashing import Payload, digest
from btard.identity import PeerId
from btard.round.messages.bodies import Commit
from btard.vectors.partition import dtype_of, to_wire
from btard.verification.projection import length_of
from btard.verification.scalars import length_excess
from btard.verification.thresholds import LENGTH

_TRIES = 20_000


class EdgeOfClip(Attacker):
    """An owner that measured otherwise than the court would accuse it falsely. Without --clip it does nothing."""

    name = "EDGE_OF_CLIP"

    def __init__(self, settings: BehaviourSettings, seed: bytes) -> None:
        super().__init__(settings, seed)
        self._sent: dict[PeerId, Payload] = {}
        self._length = 0

    def gradient(self, step: int, gradient: torch.Tensor) -> torch.Tensor:
        self._length = len(gradient)
        return gradient

    def commit(self, step: int, commit: Commit, view: View) -> Commit | None:
        """Commit to a row for one owner that is just short enough not to be accused of."""
        self._sent.clear()
        if not self.attacks(step) or not commit.parts or view.longest == math.inf:
            return commit
        owner = self.victim(step, view.owners)
        part = view.owners.index(owner)
        row = self._on_the_edge(step, self._length // len(view.owners) + (part < self._length % len(view.owners)), view)
        if row is None:
            return commit
        self._sent[owner] = to_wire(row, view.wire)
        parts = (*commit.parts[:part], digest(self._sent[owner]), *commit.parts[part + 1 :])
        return dataclasses.replace(commit, parts=parts)

    def part(self, step: int, receiver: PeerId, payload: Payload) -> Payload | None:
        return self._sent.get(receiver, payload)

    def _on_the_edge(self, step: int, count: int, view: View) -> torch.Tensor | None:
        """Return a row that float64 finds just short enough not to be accused of, and float32 too long, if there is
        one."""
        generator = self.generator(step)
        unit = length_excess(1.0, view.longest, count, view.wire)
        for _ in range(_TRIES if count else 0):
            row = torch.randn(count, generator=generator)
            row *= LENGTH.accuse / (unit * length_of(row))
            row = row.to(dtype_of(view.wire)).float()
            if unit * length_of(row) <= LENGTH.accuse < unit * float(torch.linalg.vector_norm(row)):
                return row
        return None
