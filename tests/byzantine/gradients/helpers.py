"""What the tests of attacks share: seeded knowledge, small enough for slow oracles."""

from __future__ import annotations

import torch

from btard.byzantine.gradients.attack import Aggregate, Knowledge

HONEST = 7
ATTACKERS = 3
D = 20


def rows(seed: int = 0, count: int = HONEST, size: int = D) -> torch.Tensor:
    return 0.5 + torch.randn(count, size, generator=torch.Generator().manual_seed(seed))


def knowing(
    known: torch.Tensor | None = None,
    *,
    step: int = 0,
    seed: int = 0,
    attackers: int = ATTACKERS,
    aggregate: Aggregate | None = None,
) -> Knowledge:
    known = rows(step) if known is None else known
    return Knowledge(
        step=step,
        known=known,
        workers=len(known) + attackers,
        attackers=attackers,
        declared=attackers,
        generator=torch.Generator().manual_seed(seed),
        parameters=torch.zeros(known.shape[1]),
        aggregate=aggregate,
    )


def averaging(known: torch.Tensor, attackers: int = ATTACKERS) -> Aggregate:
    """Return what the mean makes of the known vectors and those of attackers."""
    return lambda sent: torch.cat([known, sent.expand(attackers, -1)]).mean(0)
