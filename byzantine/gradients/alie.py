"""Sends the mean gradient less as many standard deviations as still look honest ("a little is enough")."""

from __future__ import annotations

import torch

from btard.byzantine.conspirator import Conspirator
from btard.byzantine.gradients.statistics import deviation, mean, most_deviations


class Alie(Conspirator):
    """g becomes mean - z_max std in every coordinate (Baruch, Baruch, Goldberg, arXiv 1902.06156).

    Mean and deviation are those of the colluders' true gradients, which stand for the honest ones.
    """

    name = "ALIE"

    def gradient(self, step: int, gradient: torch.Tensor) -> torch.Tensor:
        if not self.attacks(step):
            return gradient
        known = self.known_gradients(step, gradient)
        peers = len(self.roster.members) if self.roster is not None else len(self.colluders)
        return mean(known) - most_deviations(peers, len(self.colluders)) * deviation(known)
