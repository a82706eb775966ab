"""One step of training among workers that compute and attackers that lie."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from btard.errors import UserError
from btard.lab.metrics.study import Curvature, VectorGroup, VectorSpread, group_of, study_row
from btard.lab.training.aggregation import Combined, Combiner
from btard.lab.training.attackers.crew import Crew, MakeAttack, installed_attack
from btard.lab.training.choices import Batching, MomentumAt, Topology
from btard.lab.training.optimizer import optimizer_of
from btard.lab.training.row_memory import zero_rows
from btard.lab.training.settings import ExperimentSettings
from btard.lab.training.workers.gradients import Backward, Batched, Gradients, OneByOne, clipped, penalised
from btard.lab.training.workers.problem import Problem
from btard.lab.training.workers.samplers import Tensors, make_sampler, seed_of
from btard.tasks.base import Task

_FLOAT_BYTES = 4

_TRIALS = 3
"""Steps that each way to compute gradients is timed on; the fastest counts, so that a first call does not."""


@dataclass(frozen=True)
class BanNote:
    """A worker that was banned: why, and whether it had never attacked."""

    worker: int
    reason: str
    honest: bool


@dataclass(frozen=True)
class StepResult:
    """What came of a step.

    Attributes:
        loss: mean of the honest workers' losses, penalties included.
        rate: the learning rate.
        combined: what the rule made of it.
        attacking: workers that attacked.
        bans: workers that were banned.
        members: how many workers submitted.
        study: the 24 numbers, None if they are not measured.
        sent, received: bytes of an honest worker.
    """

    loss: float
    rate: float
    combined: Combined
    attacking: list[int]
    bans: list[BanNote]
    members: int
    study: dict[str, float] | None
    sent: float
    received: float


class Training:
    """Model, momenta and all that makes one step of the next.

    Attributes:
        problem: task and model.
        step: how many steps are done.
        points: samples of honest vectors so far.
        batched: whether gradients are computed many at once; None while both ways are timed.
    """

    def __init__(
        self,
        settings: ExperimentSettings,
        origin_seed: int,
        make_attack: MakeAttack = installed_attack,
        task: Task | None = None,
    ) -> None:
        """Args: `origin_seed` decides first weights and which samples each worker has.

        Raises UserError where task, rule, attack or another name is unknown, or they do not fit each other.
        """
        self.settings = settings
        self.problem = Problem(settings, origin_seed, task)
        self.combiner = Combiner(settings, len(self.problem.parameters))
        self.crew = Crew(settings, make_attack)
        self._sampler = make_sampler(self.problem.task, settings, origin_seed)
        self._honest = settings.workers - settings.attackers
        self._computing = settings.workers if self.crew.compute else self._honest
        parameters = self.problem.parameters
        self._origin = parameters.clone()
        # A lie beside the true vectors: rules go through rows of one block several times as fast as through others.
        self._block = zero_rows(self._computing + 1, parameters, settings.rows_in)
        self._rows = self._block[: self._computing]
        self._momentum = torch.zeros_like(parameters)
        self._optimizer = optimizer_of(self.problem, settings)
        self._curvature = Curvature(settings.momentum, settings.study_past)
        self._rate = settings.rate
        self.step = self.points = 0
        self.batched = self._chosen_ahead()
        self._seconds: dict[bool, list[float]] = {False: [], True: []}
        self._ways: dict[bool, Backward] = {}

    def _chosen_ahead(self) -> bool | None:
        if self.settings.batched is Batching.AUTO:
            # The two ways draw different dropout, and a seed must not mean two things.
            return False if self.problem.draws or self._computing == 1 else None
        return self.settings.batched is Batching.ON

    def advance(self) -> StepResult:
        """Make one step. Raises UserError when no vector is finite, or the rule cannot be followed any more."""
        settings, crew, rate = self.settings, self.crew, self._rate(self.step)
        attacking = crew.decide(self.step)
        self.combiner.begin(self.step)
        sampled, losses = self._compute(rate)
        forged = crew.forge(self.step, self._rows, self.problem.parameters, self._combine)
        gone = crew.gone
        members = [worker for worker in range(settings.workers) if worker not in gone]
        if len({id(lie) for lie in forged.values()}) == 1:
            lie = self._block[self._computing].copy_(next(iter(forged.values())))
            forged = dict.fromkeys(forged, lie)
        rows = self._rows.unbind(0)
        submitted = [forged[worker] if worker in forged else rows[worker] for worker in members]
        f = max(0, settings.f - len(gone))
        combined = self.combiner.combine(submitted, f)
        lies = set(attacking)
        honest = [worker for worker in members if worker not in lies]
        loss = float(losses[[worker for worker in honest if worker < len(losses)]].mean())
        study = None
        if sampled is not None:
            study = self._study(sampled, honest, members, submitted, combined, loss)
        self._update(combined.value, rate)
        self.points += settings.batch_size * settings.local_steps * len(honest)
        self.step += 1
        bans = [BanNote(worker, "lottery", False) for worker in crew.draw_bans(self.step - 1)]
        sent = float(_FLOAT_BYTES * len(self.problem.parameters))
        if settings.topology is Topology.BUTTERFLY:
            sent *= 2 * (len(members) - 1) / len(members)
        return StepResult(loss, rate, combined, attacking, bans, len(members), study, sent, sent)

    def _combine(self, rows: Any) -> torch.Tensor:
        return self.combiner.combine(rows, self.settings.f).value

    def _update(self, value: torch.Tensor, rate: float) -> None:
        settings, parameters = self.settings, self.problem.parameters
        direction = value
        if settings.momentum_at is MomentumAt.SERVER:
            self._momentum.copy_(value)
        elif settings.momentum_at is MomentumAt.UPDATE:
            direction = self._momentum.mul_(settings.momentum).add_(value, alpha=1 - settings.dampening)
        if settings.weight_decay:
            direction = torch.add(direction, parameters, alpha=settings.weight_decay)
        if self._optimizer is None:
            parameters.add_(direction, alpha=-rate)
        else:
            self._optimizer.step(direction, rate)

    def _compute(self, rate: float) -> tuple[VectorSpread | None, torch.Tensor]:
        """Compute all gradients, and make of them what workers submit; return those of honest workers, and losses."""
        settings, problem = self.settings, self.problem
        tensors = []
        for part in range(settings.local_steps):
            drawn = self._sampler.next(self._computing, self.step, part)
            self.crew.spoil(drawn, problem.task)
            tensors.append({name: tensor.to(problem.device) for name, tensor in drawn.items()})
        spread = VectorSpread(len(problem.parameters), problem.device) if settings.study else None
        losses = torch.empty(self._computing, device=problem.device)
        batched = self._way()
        backward, started = self._ways[batched], time.perf_counter()
        with torch.random.fork_rng(devices=[problem.device] if problem.device.type == "cuda" else []):
            for chunk in self._chunks(backward.at_once):
                points = self._points(chunk, rate)
                own = [{name: tensor[chunk] for name, tensor in each.items()} for each in tensors]
                found = self._of_chunk(backward, chunk, points, own, rate)
                losses[chunk] = found.losses
                if spread is not None and chunk.start < self._honest:
                    spread.add(_first(found.pieces, self._honest - chunk.start))
                self._submit(chunk, found)
        if self.batched is None:
            self._timed(batched, time.perf_counter() - started)
        return spread, losses

    def _way(self) -> bool:
        """Return whether this step's gradients are computed many at once."""
        batched = self.batched
        if batched is None:
            batched = len(self._seconds[True]) < len(self._seconds[False])
        if batched not in self._ways:
            self._ways[batched] = Batched(self.problem) if batched else OneByOne(self.problem)
        return batched

    def _timed(self, batched: bool, seconds: float) -> None:
        taken = self._seconds
        taken[batched].append(seconds)
        if min(len(taken[True]), len(taken[False])) >= _TRIALS:
            self.batched = min(taken[True]) < min(taken[False])

    def _chunks(self, at_once: int) -> Iterator[slice]:
        for start in range(0, self._computing, at_once):
            yield slice(start, min(start + at_once, self._computing))

    def _points(self, chunk: slice, rate: float) -> torch.Tensor | None:
        """Return where gradients are taken, None for the parameters as they are."""
        if not self.settings.nesterov:
            return None
        ahead = self._rows[chunk] if self.settings.momentum_at is MomentumAt.WORKER else self._momentum
        return torch.add(self.problem.parameters, ahead, alpha=-rate * self.settings.momentum)

    def _of_chunk(
        self, backward: Backward, chunk: slice, points: torch.Tensor | None, tensors: list[Tensors], rate: float
    ) -> Gradients:
        """Return the gradients of a chunk of workers: of one batch, or the sum of those of all local steps."""
        if len(tensors) == 1:
            return self._penalised(backward.gradients(points, tensors[0], self._seeds(chunk, 0)), points)
        at = self.problem.parameters.repeat(chunk.stop - chunk.start, 1)
        total: Gradients | None = None
        for part, own in enumerate(tensors):
            found = self._penalised(backward.gradients(at, own, self._seeds(chunk, part)), at)
            for columns, values in found.pieces:
                at[:, columns].sub_(values, alpha=rate)
            total = found if total is None else total.plus(found)
        assert total is not None
        return Gradients(total.pieces, total.losses / len(tensors))

    def _seeds(self, chunk: slice, part: int) -> list[int]:
        """Return the seeds of dropout; all are 0 where nothing is drawn."""
        workers = range(chunk.start, chunk.stop)
        if not self.problem.draws:
            return [0] * len(workers)
        numbers = [seed_of("dropout", self.settings.seed, self.step, part, worker) for worker in workers]
        return [int.from_bytes(number[:8], "big") >> 1 for number in numbers]

    def _penalised(self, found: Gradients, points: torch.Tensor | None) -> Gradients:
        settings, at = self.settings, self.problem.parameters if points is None else points
        return clipped(penalised(found, at, settings.l1, settings.l2), settings.gradient_clip)

    def _submit(self, chunk: slice, found: Gradients) -> None:
        """Turn gradients into what workers submit, in their rows."""
        settings, kept = self.settings, 1 - self.settings.dampening
        for columns, values in found.pieces:
            row = self._rows[chunk, columns]
            match settings.momentum_at:
                case MomentumAt.UPDATE:
                    row.copy_(values)
                case MomentumAt.SERVER:
                    torch.mul(values, kept, out=row) if kept != 1 else row.copy_(values)
                    row.add_(self._momentum[columns], alpha=settings.momentum)
                case MomentumAt.WORKER if kept == 1:
                    torch.add(values, row, alpha=settings.momentum, out=row)
                case MomentumAt.WORKER:
                    row.mul_(settings.momentum).add_(values, alpha=kept)

    def _study(
        self,
        sampled: VectorSpread,
        honest: list[int],
        members: list[int],
        submitted: list[torch.Tensor],
        combined: Combined,
        loss: float,
    ) -> dict[str, float]:
        true = set(honest)
        rows = dict(zip(members, submitted, strict=True))
        of_sampled = sampled.group
        same = self.settings.momentum_at is MomentumAt.UPDATE and len(honest) == self._honest
        of_honest = of_sampled if same else group_of([rows[worker] for worker in honest])
        attack = group_of([rows[worker] for worker in members if worker not in true])
        influence = float("nan")
        if combined.selected is not None and combined.selected:
            lies = sum(members[position] not in true for position in combined.selected)
            influence = lies / len(combined.selected)
        elif attack is None and combined.selected is not None:
            influence = 0.0
        away = float(torch.linalg.vector_norm(self.problem.parameters - self._origin))
        groups = [of_sampled, of_honest, attack, VectorGroup(1, combined.value, float("nan"))]
        return study_row(self.step, self.points, loss, away, groups, self._curvature(of_sampled.average), influence)

    def state(self) -> dict[str, Any]:
        """Return all that a resumed run needs, to go on bit by bit; it shares memory with this one."""
        return {
            "step": self.step,
            "points": self.points,
            "batched": self.batched,
            "parameters": self.problem.parameters,
            "origin": self._origin,
            "rows": self._rows,
            "momentum": self._momentum,
            "optimizer": None if self._optimizer is None else self._optimizer.state(),
            "curvature": self._curvature.state(),
            "sampler": self._sampler.state(),
            "crew": self.crew.state(),
        }

    def restore(self, state: Mapping[str, Any], *, crew: bool = True) -> None:
        """Take over what `state` has returned, attackers included if so asked.

        Raises:
            UserError: fewer workers compute there than here.
        """
        if len(state["rows"]) < self._computing:
            raise UserError(
                f"the state has {len(state['rows'])} workers that compute, but {self._computing} are needed: begin "
                "with a run whose workers are all honest, or whose attackers compute, too"
            )
        self.step, self.points, self.batched = state["step"], state["points"], state["batched"]
        self.problem.parameters.copy_(state["parameters"])
        self._origin.copy_(state["origin"])
        self._rows.copy_(state["rows"][: self._computing])
        self._momentum.copy_(state["momentum"])
        if self._optimizer is not None:
            self._optimizer.restore(state["optimizer"])
        self._curvature.restore(state["curvature"])
        self._sampler.restore(state["sampler"])
        if crew:
            self.crew.restore(state["crew"])


def _first(pieces: list[tuple[slice, torch.Tensor]], count: int) -> list[tuple[slice, torch.Tensor]]:
    return [(columns, values[:count]) for columns, values in pieces]
