"""What a stage computes: forward and backward passes of micro-batches, and its part of a step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from btard.pipeline.schedule.loss_scale import LossScale, all_finite, read_scale
from btard.pipeline.schedule.optimizer import OptimizerPlan
from btard.pipeline.schedule.reduction import clip_factor, gradient_norm, tied_gradient, total_norm
from btard.pipeline.schedule.state import (
    StageState,
    optimizer_from_bytes,
    optimizer_to_bytes,
    weights_from_bytes,
    weights_to_bytes,
)
from btard.pipeline.stages.model_stage import ModelStage, tied_names
from btard.tasks.base import Batch
from btard.vocabulary import Precision


@dataclass(slots=True)
class _Pending:
    batch: Batch
    given: torch.Tensor | None
    output: torch.Tensor | None


@dataclass(eq=False)
class StageWorker:
    """A stage that trains.

    Attributes:
        stage: the weights.
        plan: how they follow the gradients.
        checkpointing: whether a micro-batch's activations inside the stage are computed again when they are needed.
        steps: how many it has taken.
        scale: of losses, before the step; None where they are not scaled.
    """

    stage: ModelStage
    plan: OptimizerPlan
    checkpointing: bool = False
    steps: int = field(default=0, init=False)
    _pending: dict[int, _Pending] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._weights = self.stage.weights()
        self._optimizer = self.plan.build(self._weights)
        self.scale = LossScale(self.plan.first_exponent) if self.plan.scaled else None
        self._unscaled = False
        self._ties = tuple(tied_names(self.stage.cut).values())
        here = self.stage.number
        self._tied = [name for places in self._ties for stage, name in places if stage == here]
        self._counted_elsewhere = {name for places in self._ties for stage, name in places[1:] if stage == here}

    def forward(self, micro_batch: int, batch: Batch, given: torch.Tensor | None) -> torch.Tensor:
        """Return what the next stage is sent, or the loss of the micro-batch.

        Args:
            micro_batch: its number in the step.
            batch: its samples.
            given: what the stage before has sent; None for the first stage.
        """
        if given is not None:
            given = given.detach().requires_grad_(True)
        with torch.set_grad_enabled(not self.checkpointing):
            output = self._compute(batch, given)
        self._pending[micro_batch] = _Pending(batch, given, None if self.checkpointing else output)
        return output.detach()

    def backward(self, micro_batch: int, gradient: torch.Tensor) -> torch.Tensor | None:
        """Add a micro-batch's gradients to the weights', and return what the stage before is sent; None from the first.

        Args:
            micro_batch: its number, of one that went forward and not yet backward.
            gradient: of the step's loss, scaled, by what the stage has put out; of a loss, its weight among the
                micro-batches, which is scaled here.
        """
        pending = self._pending.pop(micro_batch)
        output = self._compute(pending.batch, pending.given) if pending.output is None else pending.output
        if self.stage.is_last and self.scale is not None:
            gradient = gradient * self.scale.factor
        output.backward(gradient)
        return None if pending.given is None else pending.given.grad

    def _compute(self, batch: Batch, given: torch.Tensor | None) -> torch.Tensor:
        """Return what the stage puts out, float32 whatever it computes in."""
        if self.plan.precision is Precision.FLOAT32:
            return self.stage(batch, given)
        kind = torch.float16 if self.plan.scaled else torch.bfloat16
        # Autocast casts a leaf once for all that use it, and would add up their gradients in few bits; inside a whole
        # model what a stage is given is none.
        inner = None if given is None else given.view_as(given)
        with torch.autocast(self._device, dtype=kind):
            return self.stage(batch, inner).float()

    @property
    def _device(self) -> str:
        return next(iter(self._weights.values())).device.type

    def _unscale(self) -> None:
        """Take the scale out of the gradients, once a step, when all passes are done.

        What is not finite becomes an infinity, which equals itself where bits are compared.
        """
        if self.scale is None or self._unscaled:
            return
        self._unscaled = True
        for weight in self._weights.values():
            if weight.grad is not None:
                weight.grad.mul_(1.0 / self.scale.factor)
                weight.grad.masked_fill_(~torch.isfinite(weight.grad), torch.inf)

    def discard(self) -> None:
        """Forget the micro-batches under way and all gradients."""
        self._pending.clear()
        self._unscaled = False
        self._optimizer.zero_grad(set_to_none=True)

    def tied_gradients(self) -> dict[str, torch.Tensor]:
        """Return the gradients of the weights that have copies, by their names here; zeros where none has come."""
        self._unscale()
        return {name: gradient_of(self._weights[name]) for name in self._tied}

    def set_tied(self, copies: Mapping[tuple[int, str], torch.Tensor]) -> None:
        """Give every copy the sum of all. A weight of which one copy is missing keeps its value in this step.

        Args:
            copies: the gradient of each, by stage and name.
        """
        self._unscale()
        for places in self._ties:
            for stage, name in places:
                if stage == self.stage.number:
                    known = all(place in copies for place in places)
                    self._weights[name].grad = tied_gradient([copies[place] for place in places]) if known else None

    def norms(self) -> dict[str, torch.Tensor]:
        """Return the norm of each gradient by its name; a weight with copies counts where it is first."""
        self._unscale()
        counted = [name for name in self._weights if name not in self._counted_elsewhere]
        return {name: gradient_norm(gradient_of(self._weights[name])) for name in counted}

    def step(self, norms: Mapping[str, torch.Tensor]) -> None:
        """Clip by the norms of all stages, change the weights, and begin anew; all skip a step that overflows."""
        if self.scale is not None and not all_finite(norms):
            self.freeze(norms)
            return
        if self.plan.max_grad_norm is not None:
            clip = clip_factor(total_norm(norms), self.plan.max_grad_norm)
            for weight in self._weights.values():
                if weight.grad is not None:
                    weight.grad.mul_(clip)
        factor = self.plan.schedule.factor(self.steps)
        for group in self._optimizer.param_groups:
            group["lr"] = self.plan.schedule.learning_rate * factor
        self._optimizer.step()
        self.freeze(norms)

    def state(self) -> StageState:
        """Return what is held between two steps."""
        weights = weights_to_bytes(dict(self.stage.part.state_dict()))
        scale = b"" if self.scale is None else self.scale.encode()
        return StageState(weights, optimizer_to_bytes(self.steps, list(self.moments().values())), scale)

    def load(self, state: StageState) -> None:
        """Take over what another holder of this stage held; raises Malformed."""
        weights = weights_from_bytes(self.stage.cut, self.stage.number, state.weights)
        shapes = [weight.shape for weight in self._weights.values()]
        steps, kept = optimizer_from_bytes(state.optimizer, shapes)
        scale = read_scale(state.scale, scaled=self.plan.scaled)
        self.restore(steps, weights, dict(zip(self._weights, kept, strict=True)), scale)

    def moments(self) -> dict[str, dict[str, torch.Tensor]]:
        """Return what the optimizer remembers of each weight, by the weight's name and its own."""
        kept = {name: self._optimizer.state.get(weight, {}) for name, weight in self._weights.items()}
        return {n: {kind: m for kind, m in of.items() if isinstance(m, torch.Tensor)} for n, of in kept.items()}

    def restore(
        self,
        steps: int,
        weights: Mapping[str, torch.Tensor],
        moments: Mapping[str, Mapping[str, torch.Tensor]],
        scale: LossScale | None,
    ) -> None:
        """Go on from these steps, weights, moments and scale; micro-batches under way are forgotten."""
        self.discard()
        self.steps, self.scale = steps, scale
        tensors = self.stage.part.state_dict()
        with torch.no_grad():
            for name, weight in weights.items():
                tensors[name].copy_(weight)
        self._optimizer.state.clear()
        for name, kept in moments.items():
            if kept:
                self._optimizer.state[self._weights[name]] = {key: tensor.clone() for key, tensor in kept.items()}

    def freeze(self, norms: Mapping[str, torch.Tensor]) -> None:
        """End a step without a change of the weights; the loss scale follows from the norms of those that learn."""
        if self.scale is not None and norms:
            self.scale = self.scale.after(all_finite(norms), self.plan.growth_steps)
        self.discard()
        self.steps += 1


def gradient_of(weight: torch.nn.Parameter) -> torch.Tensor:
    """Return what has been summed for a weight so far; zeros where no pass has used it."""
    return torch.zeros_like(weight) if weight.grad is None else weight.grad
