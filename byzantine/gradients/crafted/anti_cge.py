"""Against rules that keep the shortest vectors (comparative gradient elimination): the longest that is still kept."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from btard.byzantine.gradients.attack import GradientAttack, Knowledge
from btard.errors import UserError


@dataclass
class AntiCge(GradientAttack):
    """-rho S / ||S||: S is the sum of the k - f shortest known vectors, rho just below the length of the next one.

    A rule that keeps the n - f shortest of all keeps these and the attackers'. Where more attack than the rule allows
    for, nothing fits: NaN.

    Attributes:
        legacy: whether the shortest counts twice in S, as in the published code.
    """

    legacy: bool = False

    def vectors(self, knowledge: Knowledge) -> torch.Tensor:
        """Return (d,) for all attackers.

        Raises:
            UserError: the rule allows for no liar, or for as many as there are known vectors.
        """
        known, declared = knowledge.known, knowledge.declared
        if knowledge.attackers > declared:
            return torch.full_like(known[0], float("nan"))
        if not 0 < declared < len(known):
            raise UserError(
                f"the attack anticge needs a rule that allows for 1 to {len(known) - 1} liars beside {len(known)} "
                f"honest workers, this one allows for {declared}"
            )
        lengths = torch.linalg.vector_norm(known, dim=1)
        order = lengths.argsort(stable=True)
        kept = len(known) - declared
        total = known[order[:kept]].sum(0)
        if self.legacy:
            total = total + known[order[0]]
        limit = torch.nextafter(lengths[order[kept]], torch.zeros((), device=known.device))
        size = total.norm()
        return -(limit / size) * total if size > 0 else torch.zeros_like(total)
