"""Checks nobody: as a validator it recomputes nothing and makes its opening up, as a judge it votes for innocence."""

from __future__ import annotations

import torch

from btard.behaviour import View
from btard.byzantine.attacker import Attacker
from btard.hashing import tagged_digest
from btard.round.messages.accusations import Charge, Opinion
from btard.round.messages.bodies import Phase
from btard.round.messages.opening import Opening
from btard.verification.openings import BLOCKS


class LazyValidator(Attacker):
    """Its numbers are no worse than any other that are made without the target's vector: of the right size at best."""

    name = "LAZY_VALIDATOR"

    def seal(self, step: int, seal: bytes) -> bytes:
        return tagged_digest("btard lazy seal", self.seed, bytes([step % 256])) if self.attacks(step) else seal

    def opening(self, step: int, opening: Opening | None) -> Opening | None:
        if not self.attacks(step - 1):
            return opening
        numbers = torch.randn(BLOCKS, generator=self.generator(step)).tolist()
        return Opening(tagged_digest("btard lazy salt", self.seed), tuple(numbers))

    def charge(self, step: int, phase: Phase, honest: Charge | None, view: View) -> Charge | None:
        return None if phase is Phase.COMMIT and self.attacks(step) else honest

    def opinion(self, step: int, charge: Charge, opinion: Opinion) -> Opinion:
        return Opinion.INNOCENT if self.attacks(step) else opinion
