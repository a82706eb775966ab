"""All stages of several pipelines in one process, which train one model by the averages of their replicas."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from btard.behaviour import Behaviour
from btard.errors import UserError
from btard.hashing import tagged_digest
from btard.identity import IdentityKey, PeerId
from btard.identity.envelope import RUN_ID_SIZE
from btard.pipeline.justice.facts import PlanFacts
from btard.pipeline.machine.plan import PipelinePlan
from btard.pipeline.replicas.gradients import gradient_numbers
from btard.pipeline.replicas.machine import ReplicaMachine
from btard.pipeline.replicas.record import ReplicaStep
from btard.pipeline.replicas.rules import AveragingRules, replica_rules, round_nonce
from btard.pipeline.replicas.simulated.group import ReplicaGroup, RoundOutcome
from btard.pipeline.replicas.simulated.stage import ReplicaStage
from btard.pipeline.replicas.trainer import KEPT_STEPS, StageTrainer
from btard.pipeline.schedule.optimizer import OptimizerPlan
from btard.pipeline.schedule.worker import StageWorker
from btard.pipeline.stages.model_stage import Cut, ModelStage
from btard.round.actions import Verdict
from btard.transport.virtual import Network, NetworkConditions
from btard.vocabulary import SEEDS

Seat = tuple[int, int]
"""A replica, and a stage of its pipeline."""


@dataclass(frozen=True)
class ReplicaBan:
    """A replica that has lied about its gradient.

    Attributes:
        step: in which the others have banned it.
        replica, stage: its seat.
        verdict: with the evidence, for `btard verdict`.
    """

    step: int
    replica: int
    stage: int
    verdict: Verdict


@dataclass(frozen=True)
class AveragedStep:
    """A step of all pipelines.

    Attributes:
        loss: the mean over all micro-batches of all pipelines that have come through.
        bans: in it.
        submitted: by stage, the replicas whose gradients are in its average.
        silent: pipelines that stood still; the others have gone on without them.
    """

    loss: float
    bans: tuple[ReplicaBan, ...]
    submitted: tuple[tuple[int, ...], ...]
    silent: tuple[int, ...] = ()


class Pipelines:
    """Several pipelines.

    Attributes:
        machines: by replica, all stages.
        stages: the same in their network.
        network: of all stages.
        groups: by stage, its replicas.
    """

    def __init__(
        self,
        cut: Cut,
        state: Mapping[str, torch.Tensor],
        optimizer: OptimizerPlan,
        plans: Sequence[PipelinePlan],
        averaging: AveragingRules,
        *,
        seed: int = 0,
        conditions: NetworkConditions | None = None,
        behaviours: Mapping[Seat, Behaviour] | None = None,
    ) -> None:
        """Build all stages.

        Args:
            cut: the model and its stages.
            state: all weights.
            optimizer: of all stages.
            plans: of each pipeline; its name, its peers and what checks its stages are chosen here.
            averaging: how replicas average.
            seed: of keys, names and networks.
            conditions: of all links.
            behaviours: of replicas that lie when gradients are averaged.
        """
        self._cut, self._optimizer, self._seed = cut, optimizer, seed
        conditions, lies = conditions or NetworkConditions(), behaviours or {}
        self._incarnations: dict[Seat, int] = {}
        self._known: dict[int, list[ReplicaStep]] = {}
        self.machines: list[list[ReplicaMachine]] = []
        self.stages: list[list[ReplicaStage]] = []
        self.network = Network(seed, conditions)
        for plan in plans:
            self._add_pipeline(plan, state, len(plans))
        self._facts = [PlanFacts.of(machines[0].plan, cut, optimizer) for machines in self.machines]
        self.groups: list[ReplicaGroup] = []
        for stage in range(cut.stages):
            numbers = gradient_numbers(self.machines[0][stage].worker)
            nonce = round_nonce(seed.to_bytes(8, "big"), stage)
            rules = replica_rules(nonce, numbers, len(plans), averaging)
            group = ReplicaGroup(stage, rules, (seed * cut.stages + stage) % SEEDS, conditions)
            for replica in range(len(plans)):
                seat = (replica, stage)
                group.seat(replica, self._key(seat), self._trainer(seat), lies.get(seat, Behaviour()))
            self.groups.append(group)

    def _add_pipeline(self, plan: PipelinePlan, state: Mapping[str, torch.Tensor], replicas: int) -> None:
        cut, replica = self._cut, len(self.machines)
        keys = [self._key((replica, stage)) for stage in range(cut.stages)]
        workers = [StageWorker(ModelStage(cut, stage, state), self._optimizer) for stage in range(cut.stages)]
        name = tagged_digest("btard pipeline among replicas", self._seed.to_bytes(8, "big"), replica.to_bytes(2, "big"))
        plan = replace(
            plan,
            run=name[:RUN_ID_SIZE],
            roster=tuple(key.peer_id for key in keys),
            first_states=tuple(worker.state().digest for worker in workers),
            checked=False,
            recorded=True,
        )
        machines = [
            ReplicaMachine(plan, key, worker, lambda step: self._known.get(step, ()), replicas)
            for key, worker in zip(keys, workers, strict=True)
        ]
        stages = [ReplicaStage(self.network, machine, -1) for machine in machines]
        self.network.peers |= {stage.peer_id: stage for stage in stages}
        self.machines.append(machines)
        self.stages.append(stages)

    @property
    def equal(self) -> bool:
        """Whether all replicas of each stage hold the same state, to the bit."""
        held = [[machine.worker.state().digest for machine in machines] for machines in self.machines]
        return all(one == held[0] for one in held)

    @property
    def sent_bytes(self) -> int:
        """What the replicas have sent each other, to average and to agree on rows."""
        peers = [peer for group in self.groups for peer in group.peers.values()]
        rows = sum(stage.row_bytes for stages in self.stages for stage in stages)
        return rows + sum(peer.traffic.control_sent + peer.traffic.parts_sent for peer in peers)

    def step(self, step: int) -> AveragedStep:
        """Train one step. A pipeline that stands still is left out, and other peers take its seats for the next one.

        Raises:
            UserError: half of the pipelines stand still, or the replicas of a stage cannot go on.
        """
        self._note(step)
        for stages in self.stages:
            for stage in stages:
                stage.last_step, stage.stalled = step, None
                stage.begin(step)
        mute = self._run(step, lambda stage: stage.machine.own_gradient is not None)
        rounds = [self._average(group, step, mute) for group in self.groups]
        for stages in [stages for replica, stages in enumerate(self.stages) if replica not in mute]:
            for stage, found in zip(stages, rounds, strict=True):
                stage.perform(stage.machine.average(self.network.now, found.average))
        silent = self._run(step, lambda stage: bool(stage.reports) and stage.reports[-1].step == step)
        bans = []
        for group, found in zip(self.groups, rounds, strict=True):
            group.stepped(silent)
            seats = {peer.peer_id: replica for replica, peer in group.peers.items()}
            bans += [ReplicaBan(step, seats[verdict.peer], group.stage, verdict) for verdict in found.bans]
        for group, found in zip(self.groups, rounds, strict=True):
            # Which stage of a pipeline was silent the others cannot tell, so it loses all its seats.
            for replica in sorted({*found.lost, *silent}):
                donor = next(n for n in group.peers if n not in found.lost and n not in silent)
                self._fill((replica, group.stage), donor)
        losses = [stages[-1].reports[-1].loss or 0.0 for n, stages in enumerate(self.stages) if n not in silent]
        submitted = tuple(found.submitted for found in rounds)
        return AveragedStep(sum(losses) / len(losses), tuple(bans), submitted, tuple(sorted(silent)))

    def _run(self, step: int, over: Callable[[ReplicaStage], bool]) -> frozenset[int]:
        """Let all pipelines go on until this holds for all stages of each, or it stands still; return those that do.

        Raises:
            UserError: no more than half of them are left.
        """

        def stands(stages: Sequence[ReplicaStage]) -> bool:
            return any(stage.stalled is not None for stage in stages)

        self.network.run(done=lambda: all(stands(stages) or all(map(over, stages)) for stages in self.stages))
        silent = frozenset(n for n, stages in enumerate(self.stages) if stands(stages) or not all(map(over, stages)))
        if 2 * len(silent) >= len(self.stages):
            replica = min(silent)
            stage = next(
                (stage for stage in self.stages[replica] if stage.stalled is not None), self.stages[replica][0]
            )
            reason = f" waits for {stage.stalled.waiting}" if stage.stalled is not None else ""
            raise UserError(
                f"{len(silent)} of {len(self.stages)} pipelines stand still in step {step}: stage "
                f"{stage.machine.number} of pipeline {replica}{reason}"
            )
        return silent

    def _average(self, group: ReplicaGroup, step: int, silent: Collection[int]) -> RoundOutcome:
        for replica, peer in group.peers.items():
            if replica in silent:
                continue
            machine, trainer = self.machines[replica][group.stage], peer.trainer
            assert isinstance(trainer, StageTrainer) and machine.own_gradient is not None
            trainer.submit(step, machine.own_gradient, machine.record().encode())
        return group.average(step, silent)

    def _note(self, step: int) -> None:
        """Keep what all know of the step of each pipeline, for those that examine a replica later."""
        self._known[step] = []
        for facts, machines in zip(self._facts, self.machines, strict=True):
            plan = machines[0].plan
            self._known[step].append(ReplicaStep(facts, step, plan.batches(step), plan.ids(step)))
        self._known.pop(step - KEPT_STEPS, None)

    def _find(self, peer: PeerId, step: int) -> ReplicaStep | None:
        return next((known for known in self._known.get(step, ()) if peer in known.facts.roster), None)

    def _key(self, seat: Seat) -> IdentityKey:
        numbers = [number.to_bytes(2, "big") for number in (*seat, self._incarnations.get(seat, 0))]
        return IdentityKey.from_seed(tagged_digest("btard pipeline replica", self._seed.to_bytes(8, "big"), *numbers))

    def _trainer(self, seat: Seat) -> StageTrainer:
        replica, stage = seat
        return StageTrainer(self.machines[replica][stage].worker, self._find)

    def _fill(self, seat: Seat, donor: int) -> None:
        """Give a seat that has lost its peer to another one, which takes the state over from the replica `donor`."""
        replica, stage = seat
        self._incarnations[seat] = self._incarnations.get(seat, 0) + 1
        key, machines, simulated = self._key(seat), self.machines[replica], self.stages[replica][stage]
        machines[stage].worker.load(self.machines[donor][stage].worker.state())
        machines[stage].context.key = key
        simulated.network.peers[key.peer_id] = simulated
        simulated.crashed = False
        for machine in machines:
            machine.reseat(stage, key.peer_id)
        self._facts[replica] = PlanFacts.of(machines[0].plan, self._cut, self._optimizer)
        self.groups[stage].seat(replica, key, self._trainer(seat), Behaviour())
