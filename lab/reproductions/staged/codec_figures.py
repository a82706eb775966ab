"""What codecs do to a micro-batch of GPT2-XL: how far they are off, how many bytes are left, what a step takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import torch

from btard.lab.reproductions.staged.codec_run import BoundaryCodecs
from btard.pipeline.caches import BoundaryReceiver, BoundarySender, CachesDiffer, open_receiver, open_sender
from btard.pipeline.codecs.quantiser import LevelGrid, Quantiser
from btard.pipeline.codecs.registry import make_codec
from btard.pipeline.measures.pace import message_bytes
from btard.pipeline.measures.timeline import StageWork, StepShape, simulate_step, work_for
from btard.pipeline.schedule.order import PipelineOrder
from btard.transport.shaping import PRESETS, LinkConditions

SHAPE = (1, 1024, 1600)
"""Of a micro-batch of GPT2-XL: sample, tokens, hidden size."""

STAGES, MICRO_BATCHES = 8, 32
PUBLISHED_SEQUENCES = 3.8
"""A second, uncompressed over 10 Gbps: an assumption, by which computing times are set."""

RAW = BoundaryCodecs()
COMPRESSED = BoundaryCodecs(forward="delta:bits=4", backward="fixpoint:bits=8")
THREE_AND_SIX = BoundaryCodecs(forward="delta:bits=3", backward="fixpoint:bits=6")
FIRST_VISIT = BoundaryCodecs(forward="fp16", backward="fixpoint:bits=8")
"""What `COMPRESSED` sends in the first epoch."""

SETTINGS = {
    "uncompressed": RAW,
    "first epoch: float16, 8 bits back": FIRST_VISIT,
    "4 bits forward, 8 back": COMPRESSED,
    "3 bits forward, 6 back": THREE_AND_SIX,
}


def error_frame() -> pd.DataFrame:
    """Return the relative L2 error of normal values by bits, for each grid and rounding, and the ratio of sizes."""
    values = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))
    rows = []
    for bits in range(1, 9):
        row: dict[str, float] = {"bits": bits}
        for grid in LevelGrid:
            quantiser = Quantiser(bits, grid=grid)
            row[f"{grid}, nearest"] = _off(quantiser.decode(quantiser.encode(values), SHAPE), values)
        symmetric = Quantiser(bits)
        coded = symmetric.encode(values, [1])
        row["symmetric, stochastic"] = _off(symmetric.decode(coded, SHAPE), values)
        rows.append({**row, "times smaller": 4 * values.numel() / len(coded)})
    return pd.DataFrame(rows)


def visits_frame(visits: int = 6, bits: int = 4) -> pd.DataFrame:
    """Return the relative error of an activation that stays the same, by visit, from a cache that holds zeros."""
    values = torch.randn((1, 64, 256), generator=torch.Generator().manual_seed(2))
    codec = make_codec(f"delta:bits={bits}")
    rows = []
    with TemporaryDirectory() as folder:
        sender = open_sender(codec, values.shape[1:], Path(folder), 1 << 20)
        receiver = open_receiver(codec, values.shape[1:], Path(folder), 1 << 20)
        _crossed(sender, receiver, torch.zeros_like(values), 0)
        for visit in range(1, visits + 1):
            rows.append({"visit": visit, "error": _off(_crossed(sender, receiver, values, visit), values)})
    return pd.DataFrame(rows)


def published_step(codecs: BoundaryCodecs, link: str, work: StageWork, micro_batches: int = MICRO_BATCHES) -> StepShape:
    """Return a step of the published setting: 8 stages, GPipe, micro-batches of one sequence."""
    forward, backward = message_bytes(codecs.forward, SHAPE), message_bytes(codecs.backward, SHAPE)
    return StepShape(PipelineOrder.GPIPE, micro_batches, [work] * STAGES, forward, backward, LinkConditions.parse(link))


def published_work() -> StageWork:
    """Return how long stages compute if uncompressed 10 Gbps gives `PUBLISHED_SEQUENCES`; backward twice forward."""
    step = published_step(RAW, "10gbit", StageWork(0.0, 0.0))
    return work_for(MICRO_BATCHES / PUBLISHED_SEQUENCES, step)


def throughput_frame() -> pd.DataFrame:
    """Return sequences a second by link and codecs, on the virtual clock, and the share of time without computing."""
    work = published_work()
    rows = []
    for name, codecs in SETTINGS.items():
        step = published_step(codecs, PRESETS[0], work)
        for link in PRESETS:
            conditions = LinkConditions.parse(link)
            found = simulate_step(replace(step, link=conditions))
            rows.append(
                {
                    "codecs": name,
                    "link": link,
                    "Mbit": 8 * conditions.rate / 1e6,
                    "sequences": MICRO_BATCHES / found.seconds,
                    "bubble": found.bubble,
                }
            )
    return pd.DataFrame(rows)


def _crossed(sender: BoundarySender, receiver: BoundaryReceiver, values: torch.Tensor, step: int) -> torch.Tensor:
    """Return what arrives of one sample."""
    arrived = receiver.decode(sender.encode([0], values, [step]), [0], values.shape)
    assert not isinstance(arrived, CachesDiffer)
    sender.commit()
    receiver.commit()
    return arrived


def _off(found: torch.Tensor, values: torch.Tensor) -> float:
    return float((found - values).norm() / values.norm())
