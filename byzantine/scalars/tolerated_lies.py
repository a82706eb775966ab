"""Publishes products that are each off by a little less than an owner accuses of: together they make a wrong sum."""

from __future__ import annotations

import dataclasses

import torch

from btard.behaviour import View
from btard.byzantine.conspirator import Conspirator
from btard.identity import PeerId
from btard.round.messages.accusations import Charge, ChargeKind
from btard.round.messages.bodies import Phase, Scalars
from btard.verification.scalars import measure_tolerance, norm_tolerance
from btard.verification.thresholds import SCALARS

_JUST_BELOW = 0.97
_FAR = 1e4
"""Times the length of the gradient: a row far beyond tau has the largest tolerance."""


class ToleratedLies(Conspirator):
    """All colluders lie alike about the parts of honest owners, and then charge these with the sum."""

    name = "TOLERATED_LIES"

    def gradient(self, step: int, gradient: torch.Tensor) -> torch.Tensor:
        """Move far away, half of the colluders one way and half the other, so that the aggregate stays."""
        if not self.attacks(step):
            return gradient
        # Two opposite rows pull the aggregate nowhere, and stay far from it; an odd one out would.
        computing = sorted(self._computing() | {self.me})
        turn = computing.index(self.me)
        if turn == len(computing) - 1 and turn % 2 == 0:
            return gradient
        draw = torch.Generator().manual_seed(self.settings.direction_seed + step)
        direction = torch.randn(len(gradient), generator=draw)
        return gradient + (-1) ** turn * _FAR * gradient.norm() * direction / direction.norm()

    def scalars(self, step: int, scalars: Scalars, view: View) -> Scalars | None:
        """Publish numbers about honest owners' parts that are off by just less than what is accused."""
        if not self.attacks(step):
            return scalars
        off = _JUST_BELOW * SCALARS.accuse
        products, norms = list(scalars.products), list(scalars.norms)
        for part, _ in self._victims(view):
            products[part] += off * measure_tolerance(norms[part], view.tau)
            norms[part] -= off * norm_tolerance(norms[part])
        return dataclasses.replace(scalars, products=tuple(products), norms=tuple(norms))

    def charge(self, step: int, phase: Phase, honest: Charge | None, view: View) -> Charge | None:
        """Charge an honest owner with the sum of what the colluders published; never charge a colluder."""
        victims = self._victims(view)
        if phase is not Phase.CHECK or not self.attacks(step) or not victims:
            return None if honest is not None and honest.accused in self.colluders else honest
        part, owner = victims[sorted(self.colluders).index(self.me) % len(victims)]
        return Charge(ChargeKind.WRONG_SUM, owner, part)

    def _victims(self, view: View) -> list[tuple[int, PeerId]]:
        return [(part, owner) for part, owner in enumerate(view.owners) if owner not in self.colluders]
