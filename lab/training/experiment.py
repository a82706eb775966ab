"""One experiment from its settings to its tables; it can be interrupted, resumed and forked."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import torch

from btard.errors import UserError
from btard.lab.metrics.sinks import Wishes, make_sinks
from btard.lab.metrics.tables import Row, TableName, Tables
from btard.lab.training import checkpoint
from btard.lab.training.aggregation import Diverged
from btard.lab.training.attackers.crew import MakeAttack, installed_attack
from btard.lab.training.choices import Topology
from btard.lab.training.protocol import ProtocolTraining
from btard.lab.training.published import published_config
from btard.lab.training.run_directory import LabDirectory, LabStatus
from btard.lab.training.settings import ExperimentSettings
from btard.lab.training.step import StepResult, Training
from btard.lab.training.workers.evaluation import checksum, evaluate
from btard.lab.training.workers.problem import told_data
from btard.tasks.base import Task

if TYPE_CHECKING:
    import pandas

_FIXED = (
    "workers",
    "task",
    "size",
    "heterogeneity",
    "momentum",
    "optimizer",
    "momentum_at",
    "study_past",
    "batch_size",
)
"""Settings that a fork cannot change: its state is made of them."""

_FIXED_IN_PROTOCOL = ("topology", "rule", "validators", "loss", "l1", "l2", "gradient_clip", "legacy_eval")
"""Likewise in a swarm, whose peers have begun with these rules, and compute again what others computed before."""


class Experiment:
    """A training.

        experiment = Experiment(ExperimentSettings(task="digits", workers=11, steps=300)).run()
        experiment.evaluations

    Attributes:
        settings: of the run.
        training: model, momenta and attackers.
        tables: all that was measured.
        interrupted: whether `run` has ended before its last step, because it was told to.
        diverged: the step in which training has left the finite numbers, None if it has not. The run is complete then:
            its remaining evaluations are those of the model as it is.
    """

    def __init__(
        self,
        settings: ExperimentSettings,
        *,
        make_attack: MakeAttack = installed_attack,
        task: Task | None = None,
        origin_seed: int | None = None,
    ) -> None:
        """Make model and workers.

        Args:
            make_attack: makes attacks from their texts.
            task: in place of the one that the settings name.
            origin_seed: decides first weights and which samples each worker has; the settings' seed if not given.

        Raises:
            UserError: task, rule, attack or another name is unknown, or they do not fit each other.
        """
        self.settings = settings
        self._make_attack = make_attack
        self._origin_seed = settings.seed if origin_seed is None else origin_seed
        make: type[Training] | type[ProtocolTraining] = Training
        if settings.topology is Topology.BTARD:
            make = ProtocolTraining
        self.training = make(settings, self._origin_seed, make_attack, task)
        self.tables = Tables()
        self.interrupted = False
        self.diverged: int | None = None
        self._evaluated = -1
        self._directory: LabDirectory | None = None

    @property
    def parameters(self) -> torch.Tensor:
        """The parameters (d,), float32; the next step changes them."""
        return self.training.problem.parameters

    @property
    def study(self) -> pandas.DataFrame:
        """The 24 numbers of every step."""
        return self.tables.frame(TableName.STUDY)

    @property
    def evaluations(self) -> pandas.DataFrame:
        """Accuracy and loss on what is held out."""
        return self.tables.frame(TableName.EVALUATIONS)

    @property
    def steps(self) -> pandas.DataFrame:
        """What was measured of every step."""
        return self.tables.frame(TableName.STEPS)

    @property
    def bans(self) -> pandas.DataFrame:
        """Which workers were banned, and when."""
        return self.tables.frame(TableName.BANS)

    @property
    def directory(self) -> Path | None:
        """Where the files are, None for a run without an output or one that has not begun."""
        return None if self._directory is None else self._directory.path

    def run(self, until: int | None = None) -> Experiment:
        """Train until all steps are done, or `until` steps in all; then `run` may be called again to go on.

        With an output directory it first goes on from the newest checkpoint in it, if a run was interrupted. SIGINT and
        SIGTERM end it after a step, with everything written and a checkpoint; a second one ends it at once.

        Raises:
            UserError: the output cannot be used, or training cannot go on; its files are then kept as `.failed`.
        """
        last = self.settings.steps if until is None else min(until, self.settings.steps)
        self._open()
        try:
            with self._interruptible():
                self._train(last)
        except Exception as error:
            self.tables.close()
            if self._directory is not None:
                self._directory.note(LabStatus.FAILED, step=self.training.step, error=str(error))
                self._directory.failed(error)
            raise
        self._end()
        return self

    def fork(self, **changes: object) -> Experiment:
        """Return another experiment that goes on from this one's state with other settings, such as attack and seed.

        What was measured stays here. The seed decides what is drawn from now on; weights and samples stay.

        Raises:
            UserError: the settings contradict each other or cannot be changed on the way.
        """
        settings = self.settings.changed(**{"output": None, **changes})
        protocol = Topology.BTARD in (settings.topology, self.settings.topology)
        for name in _FIXED + _FIXED_IN_PROTOCOL * protocol:
            if getattr(settings, name) != getattr(self.settings, name):
                raise UserError(f"a fork cannot change {name}: its state depends on it")
        forked = Experiment(
            settings, make_attack=self._make_attack, task=self.training.problem.task, origin_seed=self._origin_seed
        )
        forked.training.restore(self.training.state(), crew=False)
        forked._evaluated = self._evaluated
        return forked

    def _open(self) -> None:
        if self.settings.output is None or self._directory is not None:
            return
        self._directory = LabDirectory(self.settings, self.settings.output)
        found = self._directory.newest_checkpoint
        self.tables.sinks += make_sinks(self._wishes(), self._directory.path, self.tables)
        if found is not None and self.training.step == 0:
            state = checkpoint.load(found, self.settings.digest)
            self.training.restore(state["training"])
            self._evaluated = state["evaluated"]
            self.tables.replay(state["tables"])
            self._directory.log(f"goes on after step {self.training.step}")
        self._directory.note(LabStatus.RUNNING)

    def _wishes(self) -> Wishes:
        s = self.settings
        return Wishes(
            formats=s.format,
            settings=s.model_dump(mode="json"),
            digest=s.digest,
            config=published_config(s),
            tensorboard=s.tensorboard,
            wandb=s.wandb,
            project=s.wandb_project,
        )

    def _train(self, last: int) -> None:
        training, settings = self.training, self.settings
        while True:
            step = training.step
            self._evaluate_if_due()
            if settings.checkpoint_every and step and step % settings.checkpoint_every == 0:
                self._save()
            if step >= last or self.interrupted:
                return
            try:
                result = training.advance()
            except Diverged as error:
                self._diverge(str(error))
                return
            self._record(result)

    def _diverge(self, reason: str) -> None:
        """Measure the model as often as is left; nothing moves it any more."""
        self.diverged = self.training.step
        if self._directory is not None:
            self._directory.log(f"step {self.diverged}: has diverged: {reason}")
        while self.training.step < self.settings.steps:
            self.training.step += 1
            self._evaluate_if_due()

    def _evaluate_if_due(self) -> None:
        step, every = self.training.step, self.settings.evaluate_every
        if not every or step == self._evaluated or (step % every and step < self.settings.steps):
            return
        accuracy, loss = evaluate(self.training.problem, self.settings)
        row: Row = {"step": step, "accuracy": accuracy, "loss": loss, "parameters": checksum(self.parameters)}
        self.tables.write(TableName.EVALUATIONS, row)
        self._evaluated = step
        if self._directory is not None:
            self._directory.log(f"step {step}: accuracy {accuracy:.4f}, loss {loss:.4f}")

    def _record(self, result: StepResult) -> None:
        step, combined = self.training.step - 1, result.combined
        if result.study is not None:
            self.tables.write(TableName.STUDY, result.study)
        self.tables.write(
            TableName.STEPS,
            {
                "step": step,
                "loss": result.loss,
                "learning_rate": result.rate,
                "members": result.members,
                "attacking": len(result.attacking),
                "left_out": combined.left_out,
                "clipped": math.nan if combined.clipped is None else float(combined.clipped),
                "iterations": math.nan if combined.iterations is None else float(combined.iterations),
                "residual": combined.residual,
                "sent": result.sent,
                "received": result.received,
            },
        )
        for ban in result.bans:
            row: Row = {"step": step, "worker": ban.worker, "reason": ban.reason, "honest": int(ban.honest)}
            self.tables.write(TableName.BANS, row)

    def _save(self) -> None:
        if self._directory is not None:
            state = {
                "training": self.training.state(),
                "evaluated": self._evaluated,
                "tables": self.tables.state(),
            }
            checkpoint.save(self._directory.path, state, self.settings.digest)

    def _end(self) -> None:
        done = self.training.step >= self.settings.steps or self.diverged is not None
        if self._directory is None or not (done or self.interrupted):
            return
        if not done:
            self._save()
        self.tables.close()
        status = LabStatus.COMPLETE if done else LabStatus.INTERRUPTED
        data = told_data(self.training.problem.task, self.settings.data)
        facts = {"step": self.training.step, "batched": self.training.batched, "diverged": self.diverged, "data": data}
        self._directory.note(status, **facts)
        if done:
            self._directory.complete()

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Inside, signals ask for an end after the step; only the main thread can listen to them."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def stop(number: int, _frame: FrameType | None) -> None:
            self.interrupted = True
            signal.signal(number, before[signal.Signals(number)])

        for number in before:
            signal.signal(number, stop)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
