"""Runs of small pipelines in which some stages lie, drawn from a seed, and what must hold in all of them."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch

from btard.identity import IdentityKey, PeerId
from btard.pipeline.choices import CheckMode, OptimizerKind
from btard.pipeline.defence.attacks import MessageLie
from btard.pipeline.defence.behaviour import StageBehaviour
from btard.pipeline.defence.behaviours import (
    Framer,
    LyingChecker,
    LyingJudge,
    Persistent,
    SilentFriend,
    WrongHash,
    WrongNorms,
)
from btard.pipeline.justice.evidence import StageEvidence
from btard.pipeline.machine.assembly import assemble, stage_key
from btard.pipeline.machine.memory import SimulatedStage, run_stages
from btard.pipeline.schedule.optimizer import OptimizerPlan
from btard.pipeline.schedule.order import PipelineOrder
from btard.pipeline.stages.model_stage import Cut
from btard.pipeline.stages.split import Split
from btard.tasks.base import Batch, Schedule
from btard.transport.virtual import NetworkConditions
from tests.pipeline.tiny import tiny_batch, tiny_config, tiny_state

STAGES, STEPS, SAMPLES = 5, 4, 1
PLAN = OptimizerPlan(OptimizerKind.ADAMW, Schedule(1e-2, 1, 50), max_grad_norm=0.05)
CUT = Cut(tiny_config("gpt2", blocks=STAGES), Split((1,) * STAGES))
STATE = tiny_state(CUT.config)


@dataclass(frozen=True)
class Scenario:
    """A run.

    Attributes:
        seed: that it was drawn from.
        liars: how some stages lie.
        certain: those of them that must be banned within three steps.
        mode: how stages check.
        forward_codec: of activations.
        order: how passes alternate.
        conditions: of the network.
    """

    seed: int
    liars: dict[int, StageBehaviour]
    certain: frozenset[int]
    mode: CheckMode
    forward_codec: str
    order: PipelineOrder
    conditions: NetworkConditions

    @classmethod
    def draw(cls, seed: int) -> Scenario:
        """Return the scenario of a seed, the same each time."""
        chance = random.Random(seed)
        mode = chance.choice(list(CheckMode))
        liars: dict[int, StageBehaviour] = {}
        certain: set[int] = set()
        for _ in range(chance.choice((0, 1, 1, 1, 2))):
            stage = chance.randrange(STAGES)
            if stage in liars:
                continue
            behaviour, sure = lie(chance, mode, stage, seed)
            liars[stage] = behaviour
            if sure:
                certain.add(stage)
        if len(liars) == 2 and chance.random() < 0.4:
            # Friends keep silent about each other, so nothing is certain any more, but that nobody honest is banned.
            liars = {stage: SilentFriend(frozenset(liars), liars[stage]) for stage in liars}
            certain = set()
        if len(liars) > 1:
            certain = set()  # one may keep the other from its step
        return cls(
            seed,
            liars,
            frozenset(certain),
            mode,
            chance.choice(("none", "fp16", "delta:bits=4", "delta_lowbits:bits=3,cache_bits=8", "fixpoint:bits=6")),
            chance.choice(list(PipelineOrder)),
            NetworkConditions(delay=(0.001, chance.choice((0.002, 0.3))), loss=chance.choice((0.0, 0.0, 0.01, 0.05))),
        )


def lie(chance: random.Random, mode: CheckMode, stage: int, seed: int) -> tuple[StageBehaviour, bool]:
    """Return how a stage lies, and whether it is certain to be found out by itself."""
    middle, inner = 1 <= stage <= STAGES - 2, stage >= 2
    kinds = ["checker", "judge", "framer", "hash", "norms", "forward", "backward", "forward", "backward"]
    message, salt = chance.choice(list(MessageLie)), bytes([seed % 256]) * 32
    match chance.choice(kinds):
        case "forward":
            return Persistent(forward=message, seed=salt), stage < STAGES - 1
        case "backward":
            return Persistent(backward=message, seed=salt), stage > 0
        case "checker":
            return LyingChecker(), mode is CheckMode.LIVE and inner
        case "judge":
            return LyingJudge(), False  # it needs a dispute of others
        case "framer":
            return Framer(), mode is CheckMode.LIVE and stage < STAGES - 2
        case "norms":
            return WrongNorms(), True
        case _:
            return WrongHash(), mode is CheckMode.LIVE and middle


def batches(step: int) -> list[Batch]:
    """Return two micro-batches, of four that come again."""
    return [tiny_batch("gpt2", (2 * step + number) % 4, samples=SAMPLES) for number in range(2)]


def samples(step: int) -> list[list[int]]:
    """Return the ids of their samples."""
    return [[(2 * step + number) % 4] for number in range(2)]


def run(scenario: Scenario) -> list[SimulatedStage]:
    """Run a scenario: honest peers take the seats of those that were banned."""
    machines = assemble(
        CUT,
        STATE,
        PLAN,
        batches,
        order=scenario.order,
        attackers=scenario.liars,
        seed=scenario.seed % 256,
        mode=scenario.mode,
        share=1.0,
        samples=samples,
        forward_codec=scenario.forward_codec,
        backward_codec="fixpoint:bits=8",
        retry_seconds=2.0,
        cache_bytes=1 << 16,
    )

    def fill(seat: int, last: PeerId) -> tuple[IdentityKey, StageBehaviour]:
        return stage_key(scenario.seed % 256, seat, incarnation=1), StageBehaviour()

    return run_stages(machines, STEPS, seed=scenario.seed, conditions=scenario.conditions, fill=fill)


def problems(scenario: Scenario, stages: list[SimulatedStage]) -> list[str]:
    """Return what does not hold, in words."""
    found = []
    for stage in stages:
        for ban in stage.bans:
            evidence = StageEvidence.from_json(ban.evidence)
            evidence.check()
            if ban.stage not in scenario.liars or ban.peer != stage_key(scenario.seed % 256, ban.stage).peer_id:
                found.append(f"stage {ban.stage} was banned, which is honest: {evidence.offence}")
    honest = [stage for number, stage in enumerate(stages) if number not in scenario.liars]
    for liar in scenario.certain:
        for stage in honest:
            if not any(ban.stage == liar and ban.step < 3 for ban in stage.bans):
                told = stage.stalled.waiting if stage.stalled else [report.accused for report in stage.reports]
                found.append(f"stage {liar} goes on at stage {stage.machine.number}: {told}")
    if not scenario.liars:
        found += [f"an honest run stalls: {stage.stalled.waiting}" for stage in stages if stage.stalled]
        found += [f"a false alarm: {r.accused}" for stage in stages for r in stage.reports if r.accused]
    return found


if __name__ == "__main__":
    import sys

    torch.set_num_threads(1)
    for number in range(int(sys.argv[1]), int(sys.argv[2])):
        drawn = Scenario.draw(number)
        wrong = problems(drawn, run(drawn))
        if wrong:
            print(number, drawn.mode, drawn.liars, drawn.forward_codec, drawn.conditions.loss, wrong[:3])
    print("done")
