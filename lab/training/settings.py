"""What `btard lab run` is told: one experiment, from its workers to the files that it leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from btard.byzantine.settings import AttackStart, AttackTimes, Liars
from btard.configuration import Group, Option, Probability, Seed
from btard.configuration.messages import user_error
from btard.configuration.options import settings_of
from btard.configuration.rule import RuleSettings
from btard.hashing import tagged_digest
from btard.lab.training.attackers.groups import AttackGroup, Times, dealt, read_groups
from btard.lab.training.choices import (
    AfterBan,
    BanPolicy,
    Batching,
    Insight,
    MomentumAt,
    ServerOptimizer,
    TableFormat,
    Topology,
)
from btard.lab.training.heterogeneity import check_spread
from btard.lab.training.learning_rate import Rate, decaying, lists_rates, scheduled
from btard.vocabulary import MAX_BATCH, Device, WandbMode

MAX_WORKERS = 4096

_WITHOUT_EFFECT = {"output", "rows_in", "format", "checkpoint_every", "tensorboard", "wandb", "wandb_project", "device"}
"""Settings that change nothing that is measured."""

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]


class _Training(RuleSettings):
    """What is trained, and how."""

    workers: Annotated[
        int, Field(ge=1, le=MAX_WORKERS), Option("how many workers, n", unit="workers", group=Group.SWARM)
    ] = 11
    steps: Annotated[Positive, Field(le=10**8), Option("how many steps", unit="steps", group=Group.TRAINING)] = 300
    seed: Annotated[Seed, Option("seed of everything: with the same settings it gives the same run")] = 0
    task: Annotated[
        str, Option("what is trained: an installed task, with its settings as NAME:KEY=VALUE", group=Group.TASK)
    ] = "digits"
    size: Annotated[str | None, Option("the task's size, none for its smallest", group=Group.TASK)] = None
    data: Annotated[
        str, Option("builtin, a path, or a Hub data set, for a task that takes others than its own", group=Group.TASK)
    ] = "builtin"
    tokenizer: Annotated[
        str | None, Option("path of a tokenizer.json; with none one is trained from the data", group=Group.TASK)
    ] = None
    cache_dir: Annotated[Path | None, Option("where the task's data are kept", group=Group.TASK)] = None
    loss: Annotated[
        str,
        Option("task for the task's own, or one of torch in lower case, such as nll or crossentropy", group=Group.TASK),
    ] = "task"
    criterion: Annotated[
        str,
        Option("how right answers are counted: top-k, top-k:k=5, or sigmoid for less than 0.5 off", group=Group.TASK),
    ] = "top-k"
    initialiser: Annotated[
        str | None,
        Option(
            "torch.nn.init function for weights of two or more dimensions, such as xavier_uniform:gain=2; none for the "
            "task's own",
            group=Group.TASK,
        ),
    ] = None
    initialiser_of_vectors: Annotated[
        str | None, Option("likewise for weights of one dimension, such as zeros", group=Group.TASK)
    ] = None
    batch_size: Annotated[
        int, Field(ge=1, le=MAX_BATCH), Option("samples of a worker in a step", unit="samples", group=Group.TRAINING)
    ] = 25
    local_steps: Annotated[
        Positive,
        Option(
            "steps that a worker makes alone before it submits what they add up to", unit="steps", group=Group.TRAINING
        ),
    ] = 1
    heterogeneity: Annotated[
        str,
        Option(
            "how samples are dealt: iid for all to all, dirichlet:alpha=0.1, gamma:similarity=0.5, or sorted by label",
            group=Group.TASK,
        ),
    ] = "iid"
    momentum: Annotated[float, Field(ge=0, lt=1), Option("mu, 0 for none", group=Group.TRAINING)] = 0.9
    momentum_at: Annotated[MomentumAt, Option("where momentum is kept", group=Group.TRAINING)] = MomentumAt.UPDATE
    optimizer: Annotated[
        ServerOptimizer,
        Option("what moves the model: sgd as published, or Adam or LAMB by the aggregate", group=Group.TRAINING),
    ] = ServerOptimizer.SGD
    nesterov: Annotated[bool, Option("take gradients at the point where momentum leads", group=Group.TRAINING)] = False
    dampening: Annotated[
        float, Field(ge=0, lt=1), Option("what a new gradient is damped by in the momentum", group=Group.TRAINING)
    ] = 0.0
    gradient_clip: Annotated[
        float | None,
        Field(gt=0),
        Option("longer gradients are scaled to this norm, none for never", group=Group.TRAINING),
    ] = None
    learning_rate: Annotated[float, Field(gt=0), Option("learning rate of step 0", group=Group.TRAINING)] = 0.01
    learning_rate_decay: Annotated[
        float,
        Field(ge=0),
        Option("the rate of step t is the first one over t / DECAY + 1, 0 for a constant", group=Group.TRAINING),
    ] = 5000.0
    learning_rate_decay_delta: Annotated[
        Positive, Option("the rate decays every so many steps", unit="steps", group=Group.TRAINING)
    ] = 1
    learning_rate_schedule: Annotated[
        str | None,
        Option(
            "cosine from the learning rate to 0, warmup:STEPS,TOTAL up to it and down to 0, or rates such as "
            "0.1,1000:0.05 in place of rate and decay",
            group=Group.TRAINING,
        ),
    ] = None
    weight_decay: Annotated[
        float, Field(ge=0), Option("times the parameters is added to every update", group=Group.TRAINING)
    ] = 0.0
    l1: Annotated[
        float, Field(ge=0), Option("times the parameters' L1 norm is added to losses", group=Group.TRAINING)
    ] = 0.0
    l2: Annotated[
        float,
        Field(ge=0),
        Option("times the parameters' L2 norm (as published, not its square) is added to losses", group=Group.TRAINING),
    ] = 0.0
    legacy_eval: Annotated[
        bool,
        Option(
            "keep models in evaluation mode, as published: no dropout, batch norm by means 0 and variances 1",
            group=Group.TRAINING,
        ),
    ] = False
    batched: Annotated[
        Batching,
        Option("compute many workers' gradients at once; auto times both ways on the first steps", group=Group.MACHINE),
    ] = Batching.AUTO
    rows_in: Annotated[
        Path | None,
        Option(
            "directory for a file of the workers' vectors, where there are more than memory holds; none for memory",
            group=Group.MACHINE,
        ),
    ] = None
    device: Annotated[Device, Option("where gradients are computed", group=Group.MACHINE)] = Device.CPU
    rule_device: Annotated[Device, Option("where vectors are aggregated", group=Group.MACHINE)] = Device.CPU


class _Liars(_Training, AttackTimes):
    """Which workers lie, what they know, and what becomes of them."""

    rule: Annotated[
        str,
        Option("how vectors become one: an installed rule, as in trimmed_mean:share=0.4", group=Group.AGGREGATION),
    ] = "mean"
    topology: Annotated[
        Topology,
        Option(
            "the rule on whole vectors, on parts as in a butterfly, or the whole BTARD protocol",
            group=Group.AGGREGATION,
        ),
    ] = Topology.SERVER
    declared: Annotated[
        Count | None,
        Option(
            "f, how many liars the rule allows for; none for as many as there are",
            unit="workers",
            group=Group.AGGREGATION,
        ),
    ] = None
    attackers: Annotated[Liars, Field(le=MAX_WORKERS)] = 0
    attack: Annotated[
        str | None,
        Option(
            "what attackers do: COUNT*ATTACK:KEY=VALUE@start=S,stop=S,every=N,probability=P, where only the name is "
            "needed; several joined by semicolons",
            group=Group.BYZANTINE,
        ),
    ] = None
    knowledge: Annotated[Insight, Option("whose vectors attackers know", group=Group.BYZANTINE)] = Insight.OMNISCIENT
    attack_start: AttackStart = 0
    attack_stop: Annotated[
        Count | None,
        Option(
            "first step without the attack again, none for no end",
            unit="steps",
            group=Group.BYZANTINE,
            env=("ATTACK_STOP",),
        ),
    ] = None
    bans: Annotated[BanPolicy, Option("what bans attackers", group=Group.BYZANTINE)] = BanPolicy.OFF
    banned: Annotated[AfterBan, Option("what becomes of a banned worker", group=Group.BYZANTINE)] = (
        AfterBan.TURNS_HONEST
    )
    ban_probability: Annotated[
        Probability | None,
        Option(
            "how likely the lottery bans an attacker after each attack; none for the published (1/n)(n-b)/n",
            unit="probability",
            group=Group.BYZANTINE,
        ),
    ] = None
    validators: Annotated[
        float,
        Field(ge=0, le=MAX_WORKERS),
        Option("mean number of validators a step, in BTARD", group=Group.VERIFICATION),
    ] = 1.0


class ExperimentSettings(_Liars):
    """Settings of `btard lab run`: workers, attackers, rule, task, optimizer, and what is measured and kept."""

    evaluate_every: Annotated[
        Count, Option("measure the model on what is held out, 0 for never", unit="steps", group=Group.MEASUREMENT)
    ] = 100
    evaluation_batches: Annotated[
        Count, Option("batches of held-out samples a measurement, 0 for all", unit="batches", group=Group.MEASUREMENT)
    ] = 0
    evaluation_batch_size: Annotated[Positive, Option("their samples", unit="samples", group=Group.MEASUREMENT)] = 100
    study: Annotated[bool, Option("measure 24 numbers of every step's vectors", group=Group.MEASUREMENT)] = True
    study_past: Annotated[
        Positive, Option("past averages that the curvature looks back on", unit="steps", group=Group.MEASUREMENT)
    ] = 20
    checkpoint_every: Annotated[
        Count, Option("keep the state every so many steps, 0 for never", unit="steps", group=Group.CHECKPOINTS)
    ] = 0
    output: Annotated[
        Path | None, Option("directory of the run's files; nothing is written if not given", group=Group.OUTPUT)
    ] = None
    format: Annotated[
        list[TableFormat],
        Field(default_factory=lambda: [TableFormat.CSV]),
        Option("how tables are written", group=Group.OUTPUT),
    ]
    tensorboard: Annotated[bool, Option("also write events for TensorBoard", group=Group.OUTPUT)] = False
    wandb: Annotated[WandbMode, Option("also log to Weights & Biases", group=Group.OUTPUT)] = WandbMode.OFF
    wandb_project: Annotated[str, Option("the project there", group=Group.OUTPUT)] = "btard-lab"

    @field_validator("learning_rate_schedule")
    @classmethod
    def _is_a_schedule(cls, value: str | None) -> str | None:
        if value is not None:
            scheduled(value, 1.0, 1)
        return value

    @field_validator("heterogeneity")
    @classmethod
    def _is_a_spread(cls, value: str) -> str:
        check_spread(value)
        return value

    @field_validator("attack", mode="before")
    @classmethod
    def _is_text(cls, value: object) -> object:
        return ";".join(map(str, value)) if isinstance(value, list) else value

    @field_validator("attack")
    @classmethod
    def _are_groups(cls, value: str | None) -> str | None:
        if value is not None:
            read_groups(value, Times())
        return value

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        for complaint in self._contradictions():
            raise ValueError(complaint)
        return self

    def _contradictions(self) -> list[str]:
        n, b, chosen = self.workers, self.attackers, self.model_fields_set
        if b >= n:
            return [f"--attackers is {b} of {n} workers, but at least one must be honest"]
        if self.f >= n:
            return [f"--declared is {self.f} of {n} workers, but at least one must count as honest"]
        if b and self.attack is None:
            return [f"--attackers is {b}, but no --attack says what they do"]
        if self.attack is not None and not b:
            return [f"--attack is {self.attack}, but --attackers is 0: say how many"]
        try:
            dealt(self.groups, b)
        except ValueError as error:
            return [str(error)]
        found = []
        if self.attack_stop is not None and self.attack_stop <= self.attack_start:
            found.append(f"--attack-stop is {self.attack_stop}, but must come after --attack-start {self.attack_start}")
        if self.nesterov and not self.momentum:
            found.append("--nesterov needs a --momentum above 0")
        own = self.optimizer is not ServerOptimizer.SGD
        if own and self.momentum and self.momentum_at is not MomentumAt.WORKER:
            found.append(
                f"--optimizer {self.optimizer} keeps moments of its own: add --momentum 0, or --momentum-at worker"
            )
        if self.optimizer is ServerOptimizer.LAMB and self.weight_decay:
            found.append("--optimizer lamb decays weights by itself, by 0.01: leave out --weight-decay")
        if lists_rates(self.learning_rate_schedule) and chosen & {"learning_rate", "learning_rate_decay"}:
            found.append(
                "--learning-rate-schedule lists all rates: leave out --learning-rate and --learning-rate-decay"
            )
        if self.local_steps > 1 and self.nesterov:
            found.append("--local-steps above 1 cannot be combined with --nesterov")
        if self.rows_in is not None and self.device is not Device.CPU:
            found.append("--rows-in keeps vectors in a file, which only --device cpu can compute with")
        if self.checkpoint_every and self.output is None:
            found.append("--checkpoint-every needs an --output to keep checkpoints in")
        if (self.tensorboard or self.wandb is not WandbMode.OFF) and self.output is None:
            found.append("--tensorboard and --wandb need an --output to write into")
        if self.ban_probability is not None and self.bans is not BanPolicy.LOTTERY:
            found.append("--ban-probability is the lottery's: add --bans lottery")
        return found + self._contradictions_of_topology()

    def _contradictions_of_topology(self) -> list[str]:
        protocol = self.topology is Topology.BTARD
        if self.bans is BanPolicy.VERDICT and not protocol:
            return ["--bans verdict needs --topology btard, where peers give verdicts"]
        if not protocol:
            return []
        refused = {
            "--bans lottery": self.bans is BanPolicy.LOTTERY,
            "--momentum-at update or server": self.momentum > 0 and self.momentum_at is not MomentumAt.WORKER,
            "--nesterov": self.nesterov,
            "--local-steps": self.local_steps > 1,
            "--heterogeneity": self.heterogeneity != "iid",
            "--declared": self.declared is not None,
            "--rows-in": self.rows_in is not None,
            "--study": self.study and "study" in self.model_fields_set,
        }
        found = [
            f"--topology btard is the whole protocol, which has no {flag}" for flag, given in refused.items() if given
        ]
        if self.momentum != self.dampening:
            found.append(f"--topology btard keeps momentum as mu m + (1 - mu) g: add --dampening {self.momentum:g}")
        return found

    @property
    def f(self) -> int:
        """How many liars the rule allows for."""
        return self.attackers if self.declared is None else self.declared

    @property
    def groups(self) -> list[AttackGroup]:
        """The groups of attackers, as they are written."""
        times = Times(self.attack_start, self.attack_stop, self.attack_every, self.attack_proba)
        return [] if self.attack is None else read_groups(self.attack, times)

    @property
    def rate(self) -> Rate:
        """The learning rate of every step."""
        if self.learning_rate_schedule is None:
            return decaying(self.learning_rate, self.learning_rate_decay, self.learning_rate_decay_delta)
        return scheduled(self.learning_rate_schedule, self.learning_rate, self.steps)

    @property
    def digest(self) -> str:
        """Hex digest of all settings that change what is measured."""
        values = self.model_dump(mode="json", exclude=_WITHOUT_EFFECT)
        return tagged_digest("btard experiment settings", json.dumps(values, sort_keys=True).encode()).hex()

    def changed(self, **changes: object) -> ExperimentSettings:
        """Return the same experiment with other values of some settings.

        Raises:
            UserError: these contradict each other.
        """
        given = {name: getattr(self, name) for name in self.model_fields_set} | changes
        try:
            return type(self).model_validate(given)
        except ValidationError as error:
            raise user_error(error, settings_of(type(self)), {}) from error
