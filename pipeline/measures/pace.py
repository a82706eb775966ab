"""How long a trial's step would take among real stages: measured computing, true sizes of messages, a given link."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from btard.pipeline.caches import open_sender
from btard.pipeline.codecs.registry import make_codec
from btard.pipeline.measures.timeline import StageWork, StepShape
from btard.pipeline.stages.cost import measure_costs
from btard.pipeline.stages.model_stage import Cut
from btard.pipeline.stages.weights import draw_weights
from btard.pipeline.trial import Trial
from btard.transport.shaping import LinkConditions

FORWARD_SHARE = 1 / 3
"""Of a block's measured time, both ways together: going backward takes about twice as long as going forward."""

_MOST_CACHE_BYTES = 1 << 30


def message_bytes(codec: str, shape: Sequence[int]) -> int:
    """Return the bytes of a tensor of float32 by a codec, of samples that were seen before.

    Args:
        codec: as `make_codec` reads it.
        shape: dimension 0 being the samples.

    Raises:
        UserError: there is no such codec.
    """
    values = torch.randn(tuple(shape), generator=torch.Generator().manual_seed(3))
    samples = list(range(shape[0]))
    with TemporaryDirectory() as folder:
        sender = open_sender(make_codec(codec), tuple(shape[1:]), Path(folder), _MOST_CACHE_BYTES)
        sender.encode(samples, values, samples)
        size = len(sender.encode(samples, values, samples))
        sender.close()
    return size


def trial_step(trial: Trial, cut: Cut, sequence: int, link: LinkConditions) -> StepShape:
    """Return what decides how long a step of a trial takes; blocks are measured on this machine.

    Args:
        sequence: tokens of a sample.
        link: every stage's way out.
    """
    costs = measure_costs(cut.config, draw_weights(cut.config, trial.seed), sequence=sequence)
    work = []
    for stage in range(cut.stages):
        ends = costs.first * (stage == 0) + costs.last * (stage == cut.stages - 1)
        seconds = trial.micro_batch_size * (ends + sum(costs.blocks[block] for block in cut.split.span(stage)))
        work.append(StageWork(FORWARD_SHARE * seconds, (1 - FORWARD_SHARE) * seconds))
    shape = (trial.micro_batch_size, sequence, int(cut.config.hidden_size))
    forward, backward = (
        message_bytes(trial.plan.get(f"{way}_codec", "none"), shape) for way in ("forward", "backward")
    )
    return StepShape(trial.order, trial.micro_batches, work, forward, backward, link)
