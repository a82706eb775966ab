"""LAMB as the ALBERT experiments use it, on top of the `pytorch_optimizer` package."""

from collections.abc import Callable
from typing import Any

import torch
from pytorch_optimizer import Lamb
from torch import nn

from btard.tasks.base import decay_groups

_DIAGNOSTICS = ("weight_norm", "adam_norm", "trust_ratio")


class ExperimentLamb(Lamb):
    """`pytorch_optimizer.Lamb` with the experiments' clamp.

    The package fixes the largest weight norm in the trust ratio to 10 as a class attribute. It also stores three
    diagnostic values in the optimizer's state; they decide nothing, so they are dropped and neither travel nor count in
    a digest.
    """

    clamp: float = 10_000.0

    @torch.no_grad()
    def step(self, closure: Callable[[], torch.Tensor] | None = None) -> Any:
        loss = super().step(closure)
        for state in self.state.values():
            for key in _DIAGNOSTICS:
                state.pop(key, None)
        return loss


def build_lamb(model: nn.Module, learning_rate: float) -> ExperimentLamb:
    """LAMB over the model's parameters: eps 1e-6, weight decay 0.01 but none on biases and normalisation weights.

    For each tensor w with moments m and v: u = m / (sqrt(v) + eps) + decay * w, then
    w -= rate * min(||w||, clamp) / (||u|| + eps) * u. The moments are not corrected for their start at zero: the trust
    ratio takes the length of u out again.
    """
    optimizer = ExperimentLamb(
        decay_groups(model.named_parameters(), weight_decay=0.01),
        lr=learning_rate,
        betas=(0.9, 0.999),
        eps=1e-6,
        # The decay belongs inside the trust ratio; the package's default takes it off the weights beforehand.
        weight_decouple=False,
        # Despite its name this switches the package's correction (division by 1 - beta1^t) off.
        adam_debias=True,
        # One code path for every device.
        foreach=False,
    )
    for group in optimizer.param_groups:
        # The package adds the count at the first step; a state has the same entries before and after.
        group["step"] = 0
    return optimizer
