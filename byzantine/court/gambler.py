"""Lies in the first attempt at a step, and has the attempt fail if the draw is against it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from btard.behaviour import LeaveReason, Outgoing, View
from btard.byzantine.court.shielding_validator import ShieldingValidator
from btard.byzantine.gradients.blunt.sign_flip import SCALE
from btard.byzantine.settings import Escape
from btard.identity import Envelope, MessageKind, PeerId
from btard.round.draw import draw_audits
from btard.round.messages.accusations import Charge, ChargeKind
from btard.round.messages.bodies import Leave, Phase, Scalars


class Gambler(ShieldingValidator):
    """From REVEAL on everybody knows who will be examined. All colluders lie together; if an honest validator is drawn
    for one of them, the first of them voids the attempt, and in the next attempts all send the truth."""

    name = "GAMBLER"
    _leaving = False

    def gradient(self, step: int, gradient: torch.Tensor) -> torch.Tensor:
        return gradient

    def vector(self, step: int, attempt: int, vector: torch.Tensor) -> torch.Tensor:
        return -SCALE * vector if attempt == 0 and self.attacks(step) else vector

    def charge(self, step: int, phase: Phase, honest: Charge | None, view: View) -> Charge | None:
        """Charge an owner with an aggregate that nobody has reason to look at, so that no judge can tell."""
        others = [(owner, part) for part, owner in enumerate(view.owners) if owner not in self.colluders]
        if phase is Phase.MEASURE and others and self._refuses(step, Escape.CHARGE, view):
            return Charge(ChargeKind.WRONG_AGGREGATE, *others[view.attempt % len(others)])
        return super().charge(step, phase, honest, view)

    def scalars(self, step: int, scalars: Scalars, view: View) -> Scalars | None:
        self._leaving = self._refuses(step, Escape.GOODBYE, view)
        return None if self._refuses(step, Escape.SILENCE, view) else scalars

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> Sequence[Outgoing] | None:
        """Say goodbye where scalars are due."""
        if envelope.kind is not MessageKind.SCALARS or not self._leaving:
            return None
        goodbye = Leave(LeaveReason.SHUTDOWN).encode()
        leave = Envelope.sign(self.key, run=envelope.run, step=envelope.step, kind=MessageKind.LEAVE, body=goodbye)
        return [Outgoing(leave.encode())]

    def _refuses(self, step: int, escape: Escape, view: View) -> bool:
        """Whether this peer is the one to void an attempt, in this way: an honest validator is drawn for a colluder."""
        voters = view.roster.voters
        submitters = [peer for peer in view.members if peer not in view.targets]
        liars = self.colluders.intersection(submitters)
        first = min(liars, default=None)
        if self.settings.escape is not escape or view.attempt >= self.settings.gambles or self.me != first:
            return False
        known = [peer for peer in view.members if peer in voters]
        audits = draw_audits(view.randomness, known, submitters, view.validators, view.attempt)
        return self.attacks(step) and any(a.target in liars and a.validator not in self.colluders for a in audits)
