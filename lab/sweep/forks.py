"""Runs that go on from one state: the same training up to a step, then each with its own attack, rule and seed."""

from __future__ import annotations

from dataclasses import dataclass

from btard.errors import UserError
from btard.hashing import tagged_digest
from btard.lab.training.experiment import Experiment
from btard.lab.training.settings import ExperimentSettings


@dataclass(frozen=True)
class Origin:
    """Where forks begin: the settings of a training as text, since they travel, and how many of its steps are done."""

    settings_json: str
    step: int

    def key(self, settings_digest: str) -> str:
        """Return a digest for a fork's settings and its origin together."""
        settings = ExperimentSettings.model_validate_json(self.settings_json)
        parts = (settings_digest.encode(), settings.digest.encode(), self.step.to_bytes(8, "big"))
        return tagged_digest("btard lab fork", *parts).hex()


_TRAINED: dict[Origin, Experiment] = {}
"""Of this process: a process that does many runs trains their origin once."""


def forked(origin: Origin, settings: ExperimentSettings) -> Experiment | None:
    """Return an experiment with these settings that goes on from the origin; None if training it was interrupted.

    Each process trains the origin for itself: the same settings give the same bits, so no file has to be shared, and
    machines of a cluster need no disk in common.

    Raises:
        UserError: the settings cannot be changed on the way.
    """
    found = _TRAINED.get(origin)
    if found is None:
        base = ExperimentSettings.model_validate_json(origin.settings_json)
        found = Experiment(base).run(until=origin.step)
        if found.interrupted:
            return None
        if found.diverged is not None:
            raise UserError(f"the run from which all fork has diverged in step {found.diverged}: lower its rate")
        _TRAINED.clear()
        _TRAINED[origin] = found
    return found.fork(**{name: getattr(settings, name) for name in settings.model_fields_set})
