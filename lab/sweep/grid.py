"""A grid of experiments as a file says it: common settings, axes whose values are combined, and seeds."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from btard.aggregation import make_rule
from btard.configuration.messages import first_reason, user_error
from btard.configuration.options import settings_of
from btard.errors import UserError
from btard.lab.sweep.forks import Origin
from btard.lab.training.settings import ExperimentSettings

MAX_RUNS = 1_000_000

_KEPT = frozenset({"seed", "output"})
"""Settings of a run that a grid gives itself."""

Labels = Mapping[str, object]


class Tuning(BaseModel):
    """A setting that is chosen for each group of runs before: rules are compared unfairly at one learning rate.

    Attributes:
        setting: which, and `values` it may have.
        by: the settings that make a group, such as rule and attack; all combinations of the others share a value.
        seeds: of the trials, other ones than those of the grid.
        steps: of a trial, None for as many as a run has.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    setting: str = "learning_rate"
    values: Annotated[list[Any], Field(min_length=2)]
    by: list[str] = ["rule", "attack"]
    seeds: Annotated[list[int], Field(min_length=1)] = [1001]
    steps: Annotated[int, Field(ge=1)] | None = None

    @property
    def grouped_by(self) -> list[str]:
        """`by` without the setting itself, which differs within a group."""
        return [key for key in self.by if key != self.setting]


class Fork(BaseModel):
    """One training that all runs of a grid go on from: the base, unattacked, by its rule.

    Attributes:
        at: how many of its steps are done then.
        seed: of this training; it decides weights and samples of all runs, whose own seeds decide the rest.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: Annotated[int, Field(ge=1)]
    seed: int = 1


class Grid(BaseModel):
    """A file of `btard lab sweep`.

    Attributes:
        name: of figures and reports.
        base: settings that all runs share, by the names of `btard lab run`.
        cases: settings that belong together, such as an attack and its number of attackers: one run each.
        axes: settings whose values are all combined with each other and with the cases.
        seeds: every combination is run once for each; a number n stands for 1 to n.
        tune: what is chosen before.
        fork: what all runs go on from; without it each begins anew.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern="^[a-z0-9][a-z0-9_.-]*$")]
    base: dict[str, Any] = {}
    cases: Annotated[list[dict[str, Any]], Field(min_length=1)] = [{}]
    axes: dict[str, Annotated[list[Any], Field(min_length=1)]] = {}
    seeds: Annotated[list[int], Field(min_length=1)] = [1]
    tune: Tuning | None = None
    fork: Fork | None = None

    @field_validator("seeds", mode="before")
    @classmethod
    def _counts_as_seeds(cls, value: object) -> object:
        return list(range(1, value + 1)) if isinstance(value, int) else value

    @model_validator(mode="after")
    def _names_settings(self) -> Self:
        known = ExperimentSettings.model_fields.keys() - _KEPT
        cases = {key for case in self.cases for key in case}
        tuned = {self.tune.setting} if self.tune else set()
        for key in sorted({*self.base, *cases, *self.axes, *tuned} - known):
            raise ValueError(f"{key} is no setting of btard lab run that a grid can set")
        for key in sorted((cases & self.axes.keys()) | (tuned & (cases | self.axes.keys()))):
            raise ValueError(f"{key} is varied twice")
        if self.fork is not None and self.tune is not None:
            raise ValueError("fork and tune cannot be combined: the origin is trained before anything is chosen")
        if self.fork is not None and "attack" in self.base:
            raise ValueError("fork begins with a base without attack: move it to the cases or axes")
        return self

    @property
    def varied(self) -> list[str]:
        """The settings that differ between runs, but for the seed."""
        return [*dict.fromkeys(key for case in self.cases for key in case), *self.axes]

    def combinations(self) -> Iterator[dict[str, Any]]:
        """Yield what makes each combination, over the base."""
        for case, values in itertools.product(self.cases, itertools.product(*self.axes.values())):
            yield {**case, **dict(zip(self.axes, values, strict=True))}


@dataclass(frozen=True)
class PlannedRun:
    """One run of a grid.

    Attributes:
        settings: complete, but for the output.
        labels: what sets its combination apart, by setting.
        origin: what it forks from, None for a run that begins anew.
        refusal: why its rule cannot be used among so many workers; None where it can.
    """

    settings: ExperimentSettings
    labels: Labels
    refusal: str | None = None
    origin: Origin | None = None

    @property
    def digest(self) -> str:
        """Hex digest of all that decides what is measured."""
        return self.settings.digest if self.origin is None else self.origin.key(self.settings.digest)

    @property
    def name(self) -> str:
        """A name that tells combination and seed, fit for a directory."""
        words = [_slug(f"{value}") for value in self.labels.values() if value is not None]
        return "-".join([*words, f"seed_{self.settings.seed}"])[:120]


def read_grid(path: Path) -> Grid:
    """Read a grid's file.

    Raises:
        UserError: it cannot be read, or what it says is no grid.
    """
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the grid {path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise UserError(f"the grid {path} is no YAML: {' '.join(str(error).split())}") from None
    try:
        return Grid.model_validate(found)
    except ValidationError as error:
        raise UserError(f"the grid {path} cannot be used: {first_reason(error)}") from None


def read_chosen(path: Path, grid: Grid) -> list[tuple[Labels, object]]:
    """Return what trials have chosen for each group, from the file that a sweep has written; nothing without one.

    Raises:
        UserError: the file cannot be read.
    """
    if grid.tune is None or not path.exists():
        return []
    try:
        told = yaml.safe_load(path.read_text(encoding="utf-8"))
        return [({k: v for k, v in one.items() if k != grid.tune.setting}, one[grid.tune.setting]) for one in told]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError) as error:
        raise UserError(f"{path} is not what a sweep has written, remove it and sweep again: {error}") from None


def planned(grid: Grid, chosen: Sequence[tuple[Labels, object]] = ()) -> list[PlannedRun]:
    """Return all runs of a grid, seed by seed within each combination.

    Args:
        chosen: (labels of a group, value of the tuned setting) for each group that was tuned.

    Raises:
        UserError: a combination contradicts itself, two are the same, or there are too many.
    """
    count = len(grid.cases) * len(grid.seeds)
    for values in grid.axes.values():
        count *= len(values)
    if count > MAX_RUNS:
        raise UserError(f"the grid {grid.name} has {count} runs, but at most {MAX_RUNS} are possible")
    runs, seen, origin = [], set(), _origin(grid)
    for combination in grid.combinations():
        given = {**grid.base, **combination}
        for labels, value in chosen:
            if grid.tune is not None and all(given.get(key) == labels[key] for key in labels):
                given[grid.tune.setting] = value
        for seed in grid.seeds:
            settings = _settings(grid, given, seed)
            if settings.digest in seen:
                raise UserError(f"the grid {grid.name} has the same run twice: {_told(combination)}")
            seen.add(settings.digest)
            runs.append(PlannedRun(settings, combination, _refusal(settings), origin))
    return runs


def _origin(grid: Grid) -> Origin | None:
    if grid.fork is None:
        return None
    settings = _settings(grid, {**grid.base, "study": False, "evaluate_every": 0}, grid.fork.seed)
    return Origin(settings.model_dump_json(exclude_unset=True), grid.fork.at)


def _settings(grid: Grid, given: Mapping[str, Any], seed: int) -> ExperimentSettings:
    try:
        return ExperimentSettings.model_validate({**given, "seed": seed})
    except ValidationError as error:
        told = _told({key: given[key] for key in grid.varied if key in given})
        reason = user_error(error, settings_of(ExperimentSettings), {})
        raise UserError(f"the grid {grid.name} has a run that cannot be ({told}): {reason}") from None


def _refusal(settings: ExperimentSettings) -> str | None:
    return make_rule(settings.rule).check(settings.workers, settings.f)


def _told(labels: Labels) -> str:
    return ", ".join(f"{key} {value}" for key, value in labels.items()) or "its base"


def _slug(text: str) -> str:
    return re.sub("[^A-Za-z0-9_.+=]+", "_", text).strip("_") or "none"
