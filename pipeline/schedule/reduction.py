"""What stages must agree on before a step: gradients of tied weights, and the norm of all gradients.

Sums of floats depend on their order, so each has one that every stage knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch


def tied_gradient(copies: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the gradient of a weight with copies: theirs added up in the order of stages, first stage first."""
    total = copies[0].clone()
    for copy in copies[1:]:
        total += copy
    return total


def gradient_norm(gradient: torch.Tensor) -> torch.Tensor:
    """Return the L2 norm of one gradient, a scalar of its dtype."""
    return torch.linalg.vector_norm(gradient)


def total_norm(norms: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return the L2 norm over all stages from that of each tensor.

    Args:
        norms: by the name in the whole model, each tied weight once, under its first name. They are taken in the order
        of
            their names: a norm of norms of stages would depend on the cut.
    """
    return torch.linalg.vector_norm(torch.stack([norms[name] for name in sorted(norms)]))


def clip_factor(total: torch.Tensor, most: float) -> torch.Tensor:
    """Return what every gradient is multiplied by, 1 at most; as `torch.nn.utils.clip_grad_norm_` has it."""
    return torch.clamp(most / (total + 1e-6), max=1.0)
