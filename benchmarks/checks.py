"""What checks cost: processor time of a step without them, with duplicates, and with drawn ones.

`python -m benchmarks.checks` trains GPT-2 of 256 channels in four stages of two blocks each, all in this process. The
last row follows from those above it: at a share of 1 every stage's step is computed again.
"""

from __future__ import annotations

import time

import torch
from transformers import GPT2Config

from btard.pipeline.choices import CheckMode, OptimizerKind
from btard.pipeline.machine.assembly import assemble
from btard.pipeline.machine.memory import run_stages
from btard.pipeline.machine.plan import PipelinePlan
from btard.pipeline.schedule.optimizer import OptimizerPlan
from btard.pipeline.stages.model_stage import Cut
from btard.pipeline.stages.split import Split
from btard.pipeline.stages.weights import draw_weights
from btard.tasks.base import Batch, Schedule

STEPS, MICRO_BATCHES, SAMPLES, SEQUENCE, VOCABULARY = 3, 4, 8, 128, 512
SPLIT = Split((2, 2, 2, 2))
CONFIG = GPT2Config(
    vocab_size=VOCABULARY,
    n_positions=SEQUENCE,
    n_embd=256,
    n_layer=8,
    n_head=4,
    attn_pdrop=0,
    embd_pdrop=0,
    resid_pdrop=0,
)


def batches(step: int) -> list[Batch]:
    """Return the micro-batches of a step."""
    draw = torch.Generator().manual_seed(step)
    tokens = torch.randint(VOCABULARY, (MICRO_BATCHES, SAMPLES, SEQUENCE), generator=draw)
    return [Batch({"input_ids": each, "labels": each.clone()}, SAMPLES) for each in tokens]


def seconds_a_step(**plan: object) -> float:
    """Return the processor time of a step of all stages, without that of the first one."""
    optimizer = OptimizerPlan(OptimizerKind.ADAMW, Schedule(1e-3, 1, 100))
    machines = assemble(Cut(CONFIG, SPLIT), draw_weights(CONFIG, 1), optimizer, batches, **plan)
    run_stages(machines, 1)
    start = time.process_time()
    ended = run_stages(machines, STEPS, first=1)
    taken = time.process_time() - start
    assert all(len(stage.reports) == STEPS for stage in ended), [stage.stalled for stage in ended]
    return taken / STEPS


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    plain = seconds_a_step(checked=False)
    rows = {
        "none": plain,
        "live, no stage drawn": seconds_a_step(share=0.0),
        "drawn, no stage drawn": (idle := seconds_a_step(mode=CheckMode.DRAWN, share=0.0)),
        "drawn, every stage drawn": (full := seconds_a_step(mode=CheckMode.DRAWN, share=1.0)),
    }
    share = float(PipelinePlan.__dataclass_fields__["share"].default)
    rows[f"drawn, at a share of {share}"] = idle + share * (full - idle)
    for name, seconds in rows.items():
        print(f"{name:28} {seconds:7.3f} s a step  {100 * (seconds / plain - 1):+7.1f} %")


if __name__ == "__main__":
    main()
