"""A stage's whole state as bytes: weights, what its optimizer remembers, how many steps it has taken, loss scale."""

from __future__ import annotations

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from btard.errors import UserError
from btard.hashing import Payload
from btard.pipeline.schedule.loss_scale import MOST_EXPONENT, LossScale
from btard.pipeline.schedule.worker import StageWorker

_STEPS, _SCALE, _WEIGHT = "steps", "scale", "weight "
_MOMENTS = frozenset({"step", "exp_avg", "exp_avg_sq", "momentum_buffer"})
"""What optimizers of stages remember of a weight."""


class KeptWorker(StageWorker):
    """A stage that trains, and whose state can be taken out and put back, bit for bit."""

    def state_bytes(self) -> bytes:
        """Return the state between two steps; equal states have equal bytes."""
        tensors = {_STEPS: torch.tensor(self.steps, dtype=torch.int64)}
        if self.scale is not None:
            tensors[_SCALE] = torch.tensor([self.scale.exponent, self.scale.good_steps], dtype=torch.int64)
        for name, weight in self.stage.weights().items():
            tensors[_WEIGHT + name] = weight.detach()
        for name, moments in self.moments().items():
            tensors |= {f"{kind} {name}": moment for kind, moment in moments.items()}
        return save({name: tensor.contiguous().clone() for name, tensor in tensors.items()})

    def load_bytes(self, data: Payload) -> None:
        """Go on from a state; micro-batches under way are forgotten.

        Raises:
            UserError: it is the state of another stage, or none.
        """
        tensors, held = _tensors(data), self.stage.weights()
        weights = {name: tensors.pop(_WEIGHT + name, None) for name in held}
        steps = tensors.pop(_STEPS, None)
        if steps is None or steps.dtype != torch.int64 or steps.shape != () or int(steps) < 0:
            raise UserError("the state of a stage does not say how many steps it has taken")
        scale = _scale(tensors.pop(_SCALE, None), scaled=self.plan.scaled)
        known = {name: _check(name, weights[name], weight) for name, weight in held.items()}
        moments: dict[str, dict[str, torch.Tensor]] = {}
        for place, tensor in tensors.items():
            kind, _, name = place.partition(" ")
            if kind not in _MOMENTS or name not in held:
                raise UserError(f"the state of a stage has {place[:100]!r}, which the stage does not have")
            if kind != "step" or tensor.shape != ():
                _check(name, tensor, held[name])
            moments.setdefault(name, {})[kind] = tensor
        self.restore(int(steps), known, moments, scale)


def _scale(told: torch.Tensor | None, *, scaled: bool) -> LossScale | None:
    if told is None and not scaled:
        return None
    if told is None or not scaled or told.dtype != torch.int64 or told.shape != (2,) or int(told.min()) < 0:
        raise UserError("the state of a stage is of another precision, or does not say its loss scale")
    exponent, good_steps = map(int, told)
    if exponent > MOST_EXPONENT:
        raise UserError("the state of a stage has a loss scale beyond any")
    return LossScale(exponent, good_steps)


def weights_of(data: Payload) -> dict[str, torch.Tensor]:
    """Return the weights in a state by their names; raises UserError where there is no state."""
    return {n.removeprefix(_WEIGHT): tensor for n, tensor in _tensors(data).items() if n.startswith(_WEIGHT)}


def _tensors(data: Payload) -> dict[str, torch.Tensor]:
    try:
        return load(bytes(data))
    except SafetensorError as error:
        raise UserError(f"the state of a stage cannot be read: {error}") from None


def _check(name: str, tensor: torch.Tensor | None, weight: torch.Tensor) -> torch.Tensor:
    if tensor is None or tensor.dtype != torch.float32 or tensor.shape != weight.shape:
        raise UserError(f"the state of a stage has no {name} of the right shape")
    return tensor
