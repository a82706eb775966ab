"""The same training by the whole BTARD protocol: simulated peers that commit, aggregate, check each other and ban."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any

import torch

from btard.aggregation import CenteredClip
from btard.errors import UserError
from btard.lab.simulation.peer import Event, LabPeer
from btard.lab.simulation.settings import SimulateSettings
from btard.lab.simulation.simulation import Simulation
from btard.lab.simulation.workload import Workload, cached
from btard.lab.training.aggregation import Combined, Combiner
from btard.lab.training.attackers.crew import MakeAttack, installed_attack
from btard.lab.training.attackers.protocol_attackers import Colluders, spoiling_draws
from btard.lab.training.optimizer import SharedMoves
from btard.lab.training.settings import ExperimentSettings
from btard.lab.training.step import BanNote, StepResult
from btard.lab.training.workers.gradients import OneByOne, clipped, penalised
from btard.lab.training.workers.problem import Problem
from btard.lab.training.workers.samplers import seed_of
from btard.round.actions import Finished
from btard.tasks.base import Task
from btard.tasks.randomness import SeededDraws, seeded_torch
from btard.tensors import bytes_of
from btard.vocabulary import NO_ATTACK

_DRAWN_PER_PEER = 16
"""Public seeds that are remembered for each peer: those of the steps that validators may still look back at."""


class ProtocolTraining:
    """Simulated peers of the protocol that train an experiment's task. Momentum is mu m + (1 - mu) g, as in a swarm.

    Attributes:
        problem: task and model; its parameters are those of the newest step that an honest peer has finished.
        step: how many steps are done.
        points: samples of honest vectors so far.
        batched: always False.
        simulation: the swarm.
    """

    batched = False

    def __init__(
        self,
        settings: ExperimentSettings,
        origin_seed: int,
        make_attack: MakeAttack = installed_attack,
        task: Task | None = None,
    ) -> None:
        """Raises UserError where task, rule, attack or another name is unknown, or they do not fit each other."""
        self.settings = settings
        self.problem = Problem(settings, origin_seed, task)
        combiner = Combiner(settings, len(self.problem.parameters))
        self.colluders = Colluders(settings, make_attack, lambda rows: combiner.combine(rows, settings.f).value)
        self.step = self.points = 0
        self._origin_seed = origin_seed
        self._drawn: dict[bytes, int] = {}
        self._losses: dict[bytes, float] = {}
        self._backward = OneByOne(self.problem)
        rule = combiner.rule
        self._moves = SharedMoves(self.problem, settings)
        workload = Workload(
            start=self.problem.parameters.clone(),
            gradient=cached(lambda seed, parameters: self._gradient(seed, parameters, spoiled=False)),
            spoiled=cached(lambda seed, parameters: self._gradient(seed, parameters, spoiled=True)),
            learning_rate=settings.learning_rate,
            move=self._moves,
            tau=rule.tau if isinstance(rule, CenteredClip) else CenteredClip().tau,
        )
        simulated = SimulateSettings(
            peers=settings.workers,
            byzantine=settings.attackers,
            attack=[NO_ATTACK],
            cut=[],
            seed=settings.seed,
            rule=settings.rule,
            momentum=settings.momentum,
            validators=settings.validators,
        )
        self.simulation = Simulation(
            simulated,
            workload=workload,
            make_honest=self.colluders.member,
            make_attacker=lambda _settings, number, _turn, _meeting: self.colluders.member(number),
        )
        for peer in self.simulation.peers:
            peer.last_step = sys.maxsize  # a swarm does not know when its owner stops asking for steps
        self.simulation.listeners.append(self)
        self._roster = self.simulation.genesis
        self._result: StepResult | None = None
        self._told = 0
        self._bytes = (0, 0)

    def _gradient(self, seed: bytes, parameters: torch.Tensor, *, spoiled: bool) -> torch.Tensor:
        """Return the gradient of a public seed at parameters (d,), as every peer computes it."""
        problem, public = self.problem, seed
        seed = self._drawn_from(public)
        batch = problem.task.batch(seed, self.settings.batch_size)
        attack = self.colluders.spoils
        if spoiled and attack is not None:
            batch = attack.spoiled(batch, problem.task.label_flipped, spoiling_draws(seed))
        problem.parameters.copy_(parameters)
        alone = {name: tensor[None] for name, tensor in batch.to(problem.device).tensors.items()}
        torch_seed = SeededDraws(seed).torch_seed("dropout")
        with seeded_torch(torch_seed, problem.device):
            found = self._backward.gradients(None, alone, [torch_seed])
        settings = self.settings
        found = clipped(penalised(found, problem.parameters, settings.l1, settings.l2), settings.gradient_clip)
        if not spoiled:
            self._losses[public] = float(found.losses[0])
        return torch.cat([values[0] for _, values in found.pieces]).cpu()

    def _drawn_from(self, public: bytes) -> bytes:
        """Return the seed of the samples and dropout of a public seed: in a fork, its own seed has a say in those that
        are new to it, while validators still repeat older ones as they were."""
        seed = self._drawn.setdefault(public, self.settings.seed)
        if len(self._drawn) > _DRAWN_PER_PEER * self.settings.workers:
            del self._drawn[next(iter(self._drawn))]
        return public if seed == self._origin_seed else seed_of("fork", seed, int.from_bytes(public[:8], "big"))

    def advance(self) -> StepResult:
        """Let the swarm go on until an honest peer has finished one more step.

        Raises:
            UserError: no honest peer can go on.
        """
        self._result = None
        self.simulation.go_on(done=lambda: self._result is not None)
        if self._result is None:
            stops = self.simulation.chronicle.stops
            raise UserError(f"the swarm has halted in step {self.step}: {stops[-1][2] if stops else 'nobody goes on'}")
        result = self._result
        self.step += 1
        parameters = self.simulation.chronicle.parameters
        assert parameters is not None
        self.problem.parameters.copy_(parameters)
        return result

    def happened(self, peer: LabPeer, event: Event) -> None:
        """See `Listener`."""

    def moved(self, peer: LabPeer, result: Finished) -> None:
        """Note what came of a step, when the first honest peer has finished it; see `Listener`."""
        if not peer.honest or result.step != self.step or self._result is not None:
            return
        settings, before = self.settings, self._roster
        submit = self.colluders.submitters(before)
        honest = settings.workers - settings.attackers
        peers = {number: peer_id for peer_id, number in self.colluders.peers.items()}
        liars = [
            number for gang in self.colluders.gangs for number in self.colluders.attacking(gang, result.step, submit)
        ]
        losses = [self._losses.get(before.batch_seed(peers[n]), math.nan) for n in submit if n < honest]
        self._losses.clear()
        self.points += settings.batch_size * (len(submit) - len(liars))
        self._roster = result.roster
        sent, received = self._traffic()
        self._result = StepResult(
            loss=sum(losses) / len(losses) if losses else math.nan,
            rate=settings.rate(result.step),
            combined=Combined(torch.empty(0), 0.0, 0),
            attacking=liars,
            bans=self._new_bans(),
            members=len(submit),
            study=None,
            sent=sent,
            received=received,
        )

    def _new_bans(self) -> list[BanNote]:
        bans = self.simulation.chronicle.bans[self._told :]
        self._told += len(bans)
        return [BanNote(ban.peer.number, ban.offence.name, ban.peer.honest) for ban in bans]

    def _traffic(self) -> tuple[float, float]:
        """Return the bytes that an honest peer has sent and received since the last step, control messages included."""
        total = self.simulation.traffic
        now = (total.control_sent + total.parts_sent, total.control_received + total.parts_received)
        peers = len(self.simulation.honest)
        sent, received = ((new - old) / peers for new, old in zip(now, self._bytes, strict=True))
        self._bytes = now
        return sent, received

    def state(self) -> dict[str, Any]:
        """Return all that a resumed run needs, to go on bit by bit; it shares memory with this one."""
        beside = (self._losses, self._roster, self._told, self._bytes, self._moves.state(), self._drawn)
        swarm = self.simulation.state((beside, self.colluders.knowledge()))
        return {
            "step": self.step,
            "points": self.points,
            "parameters": self.problem.parameters,
            "swarm": torch.frombuffer(bytearray(swarm), dtype=torch.uint8),
            "gangs": self.colluders.state(),
        }

    def restore(self, state: Mapping[str, Any], *, crew: bool = True) -> None:
        """Take over what `state` has returned, what attackers remember included if so asked.

        Raises:
            UserError: the state cannot be read.
        """
        self.step, self.points = state["step"], state["points"]
        self.problem.parameters.copy_(state["parameters"])
        beside, told = self.simulation.restore(bytes(bytes_of(state["swarm"])))
        self._losses, self._roster, self._told, self._bytes, moves, self._drawn = beside
        self._moves.restore(moves)
        self.colluders.restore_knowledge(told)
        if crew:
            self.colluders.restore(state["gangs"])
