"""A run in three stages of which one lies, and the proof that its stages find."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from btard.identity import IdentityKey
from btard.pipeline.defence.attacks import MessageLie
from btard.pipeline.defence.behaviours import Persistent
from btard.pipeline.live.build import StageBuilder, cut_of, numbers_of
from btard.pipeline.machine.memory import run_stages
from btard.pipeline.machine.plan import StageBanned
from btard.pipeline.seats.seating import DRAWN, Seating
from btard.swarm.manifest import RunManifest
from btard.swarm.pipeline_terms import PipelineTerms
from btard.tasks.registry import load_task
from tests.coordinator.swarm import manifest
from tests.coordinator.test_pipeline_terms import TERMS

KEYS = [IdentityKey.from_seed(bytes([number + 1]) * 32) for number in range(4)]
LIAR = 1


@cache
def run_of_three(**changes: Any) -> RunManifest:
    task = load_task("gpt", "tiny")
    terms = PipelineTerms(**{**TERMS, "blocks": (1, 1, 1)})
    numbers = numbers_of(cut_of(terms, task))
    fields = {"pipeline": terms.model_dump(), "dimension": numbers, "fingerprint": task.fingerprint, "peers": 3}
    return manifest(**{"task": "gpt", "total_steps": 10, "batch_size": 2, **fields, **changes})


@cache
def builder_of(**changes: Any) -> StageBuilder:
    return StageBuilder(run_of_three(**changes), load_task("gpt", "tiny"))


def seating(number: int = 1, *seats: int) -> Seating:
    peers = tuple(KEYS[seat].peer_id for seat in seats or range(3))
    return Seating(run_of_three().run, number, 0, peers, (DRAWN,) * 3)


@cache
def ban_of(number: int = 1) -> StageBanned:
    """Return what the stages find of the liar in the first steps of a seating."""
    torch.set_num_threads(1)
    honest, lying = (
        builder_of(),
        StageBuilder(run_of_three(), load_task("gpt", "tiny"), behaviour=Persistent(forward=MessageLie.REVERSE)),
    )
    machines = []
    for stage in range(3):
        builder = lying if stage == LIAR else honest
        states = dict.fromkeys(builder.held_by(stage))
        machines.append(builder.machine(seating(number), KEYS[stage], stage, states))
    (ban,) = run_stages(machines, 3)[0].bans
    return ban
