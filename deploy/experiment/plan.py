"""An experiment's file, and the runs that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from btard.errors import UserError
from btard.vocabulary import NO_ATTACK


class Where(StrEnum):
    """Where runs happen."""

    LOCAL = "local"
    AWS = "aws"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Attack(_Model):
    """What the attackers of a run do; NONE is the honest run to compare with.

    Attributes:
        type: any installed ATTACK_TYPE.
        check_proba: of the lottery, None for the experiment's.
    """

    type: Annotated[str, Field(min_length=1)]
    check_proba: Annotated[float, Field(ge=0, le=1)] | None = None


class LocalOptions(_Model):
    """What only the local backend needs: see `btard swarm --help`."""

    threads: Annotated[int, Field(ge=1)] = 1
    commit_timeout: Annotated[float, Field(gt=0)] = 20.0
    exchange_timeout: Annotated[float, Field(gt=0)] = 15.0
    agree_timeout: Annotated[float, Field(gt=0)] = 10.0
    settle_timeout: Annotated[float, Field(gt=0)] = 3.0


class ExperimentFile(_Model):
    """An experiment.

    Attributes:
        name: of its machines, directories and figures.
        backend: where it runs.
        peers, byzantine: in the attacked runs; a training from scratch is honest.
        total_steps: of the learning rate's schedule; the runs end earlier, with what they are for.
        checkpoints: steps of the training from scratch that attacks begin at.
        attack_after: steps from a checkpoint to the attack.
        attack_steps: length of an attacked run.
        seeds: each attack is run once with each.
        scratch_seed: of the training from scratch.
        local: settings of the local backend.
        aws: settings of `btard deploy aws up`, by their names.
        coordinator: more settings of the coordinator on AWS, by their names.
    """

    name: Annotated[str, Field(pattern=r"^[\w.-]{1,40}$")]
    backend: Where = Where.LOCAL
    task: str = "gpt"
    size: str = "tiny"
    peers: Annotated[int, Field(ge=2, le=256)] = 16
    byzantine: Annotated[int, Field(ge=0)] = 7
    total_steps: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)] = 8
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    warmup_steps: Annotated[int, Field(ge=0)] | None = None
    tau: Annotated[float, Field(gt=0)] | None = None
    validators: Annotated[float, Field(ge=0)] | None = None
    check_proba: Annotated[float, Field(ge=0, le=1)] | None = None
    checkpoints: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)] = [950, 4950]
    attacks: Annotated[list[Attack], Field(min_length=1)]
    attack_after: Annotated[int, Field(ge=0)] = 50
    attack_steps: Annotated[int, Field(ge=1)] = 250
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=2**63)]], Field(min_length=1)] = [0]
    scratch_seed: Annotated[int, Field(ge=0, lt=2**63)] = 1337
    local: LocalOptions = LocalOptions()
    aws: dict[str, Any] = {}
    coordinator: dict[str, Any] = {}

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.byzantine >= self.peers:
            raise ValueError(f"{self.byzantine} Byzantine peers of {self.peers} leave nobody honest")
        if max(self.checkpoints) + self.attack_steps > self.total_steps:
            raise ValueError(
                f"the attack at checkpoint {max(self.checkpoints)} ends after total_steps, {self.total_steps}"
            )
        if self.attack_after >= self.attack_steps:
            raise ValueError(f"attack_after, {self.attack_after}, must be below attack_steps, {self.attack_steps}")
        return self


@dataclass(frozen=True)
class RunSpec:
    """One run.

    Attributes:
        name: of its directory.
        begins: step of the checkpoint that it begins with, None for random weights.
        until: the step that ends it: every step below is made.
        saves: the step before which it keeps its state, None for none.
        attack: what the Byzantine peers do, None for an honest run.
        attack_start: from which step.
        seed: of batches, keys and randomness.
    """

    name: str
    begins: int | None
    until: int
    saves: int | None
    attack: Attack | None
    attack_start: int | None
    seed: int


def load_experiment(path: Path) -> ExperimentFile:
    """Return the experiment of a file; raises UserError, with the place and the reason, if it is none."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return ExperimentFile.model_validate(content)
    except OSError as error:
        raise UserError(f"the experiment's file {path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise UserError(f"the experiment's file {path} is not YAML") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise UserError(f"{where} in {path}: {first['msg'].removeprefix('Value error, ')}") from None


def runs_of(experiment: ExperimentFile) -> list[RunSpec]:
    """Return the runs in an order in which each finds the checkpoint that it begins with."""
    found: list[RunSpec] = []
    before: int | None = None
    for step in sorted(set(experiment.checkpoints)):
        # A training from scratch is one run a checkpoint, so that no interruption costs more than one of them.
        found.append(RunSpec(f"scratch-{step}", before, step, step, None, None, experiment.scratch_seed))
        before = step
    for step in sorted(set(experiment.checkpoints)):
        for attack in experiment.attacks:
            honest = attack.type == NO_ATTACK
            found += [
                RunSpec(
                    name=f"{attack.type.lower()}-{step}-seed-{seed}",
                    begins=step,
                    until=step + experiment.attack_steps,
                    saves=None,
                    attack=None if honest else attack,
                    attack_start=None if honest else step + experiment.attack_after,
                    seed=seed,
                )
                for seed in experiment.seeds
            ]
    return found
