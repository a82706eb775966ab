"""How long each block of a model takes on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

import torch
from transformers import PretrainedConfig

from btard.pipeline.stages.family import family_of
from btard.pipeline.stages.model_stage import ActivationCheck, Cut, ModelStage
from btard.pipeline.stages.split import Split
from btard.tasks.base import Batch


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds of a forward and a backward pass.

    Attributes:
        first: of the embeddings.
        blocks: of each block.
        last: of the head and the loss.
    """

    first: float
    blocks: tuple[float, ...]
    last: float

    def split(self, stages: int) -> Split:
        """Return the split whose slowest stage is the fastest.

        Raises:
            UserError: there are more stages than blocks.
        """
        return Split.by_cost(self.blocks, stages, first=self.first, last=self.last)


def measure_costs(
    config: PretrainedConfig,
    state: Mapping[str, torch.Tensor],
    *,
    sequence: int,
    repeats: int = 5,
    clock: Callable[[], float] = time.perf_counter,
) -> Costs:
    """Measure a model's parts on one sample of zeros; the median of some repeats, after one that does not count.

    Args:
        config: of the model.
        state: all weights.
        sequence: tokens of the sample, if the model takes as many.
        repeats: how often each part is measured.
        clock: seconds.
    """
    family = family_of(config)
    whole = ModelStage(Cut(config, Split((family.depth(config),)), ActivationCheck.TOLERANT), 0, state)
    most = getattr(config, "max_position_embeddings", sequence)  # BLOOM has no table of positions
    model, tokens = whole.part, torch.zeros((1, min(sequence, most)), dtype=torch.long)
    classifies = not family.head
    batch = Batch({"input_ids": tokens, "labels": tokens[:, 0] if classifies else tokens}, 1)
    hidden = family.embed(model, batch).detach()

    def seconds(part: Callable[[torch.Tensor], torch.Tensor]) -> float:
        found = []
        for _ in range(repeats + 1):
            given = hidden.clone().requires_grad_(True)
            start = clock()
            part(given).sum().backward()
            found.append(clock() - start)
        return median(found[1:])

    def block(number: int) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda given: family.apply(model, number, given, family.context(model, given, batch))

    return Costs(
        first=seconds(lambda _: family.embed(model, batch)),
        blocks=tuple(seconds(block(number)) for number in range(family.depth(config))),
        last=seconds(lambda given: family.loss(model, given, batch)),
    )
