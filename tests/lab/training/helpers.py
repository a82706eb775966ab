"""Small experiments, and two attacks of the tests' own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from btard.byzantine.gradients.attack import DataAttack, GradientAttack, Knowledge
from btard.hashing import digest
from btard.lab.training import Experiment, ExperimentSettings
from btard.tasks.base import Batch


@dataclass
class Opposite(GradientAttack):
    """Sends minus some times the mean of what it knows, with a little noise, and remembers how often it attacked."""

    factor: float = 2.0
    noise: float = 0.0
    seen: list[Knowledge] = field(default_factory=list)
    times: int = 0

    def vectors(self, knowledge: Knowledge) -> torch.Tensor:
        self.seen.append(replace(knowledge, known=knowledge.known.clone()))
        self.times += 1
        mean = knowledge.known.mean(0)
        noise = torch.randn(len(mean), generator=knowledge.generator)
        return -self.factor * self.times**0.5 * mean + self.noise * noise

    def state(self) -> Mapping[str, torch.Tensor]:
        return {"times": torch.tensor(self.times)}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        self.times = int(state["times"])


@dataclass
class OtherLabels(DataAttack):
    """Trains on flipped labels."""

    def spoiled(self, batch: Batch, label_flipped: Callable[[Batch], Batch], generator: torch.Generator) -> Batch:
        return label_flipped(batch)


@dataclass
class Poison(GradientAttack):
    """Sends what is no number."""

    def vectors(self, knowledge: Knowledge) -> torch.Tensor:
        return torch.full_like(knowledge.known[0], torch.nan)


def make_attack(text: str) -> GradientAttack | DataAttack:
    """The attacks above: `opposite`, `noisy`, `labels`, `poison`."""
    return {
        "opposite": Opposite,
        "noisy": lambda: Opposite(noise=0.01),
        "labels": OtherLabels,
        "poison": Poison,
    }[text]()


def settings(**chosen: Any) -> ExperimentSettings:
    """Twelve steps of seven workers on digits, without dropout, gradients one by one."""
    quick = {
        "workers": 7,
        "steps": 12,
        "batch_size": 8,
        "learning_rate": 0.1,
        "evaluate_every": 6,
        "batched": "off",
        "legacy_eval": True,
    }
    return ExperimentSettings.model_validate({**quick, **chosen})


def experiment(**chosen: Any) -> Experiment:
    return Experiment(settings(**chosen), make_attack=make_attack)


def run(**chosen: Any) -> Experiment:
    return experiment(**chosen).run()


def files_of(directory: Path) -> dict[str, str]:
    """The digests of all that a run leaves but its notes of times and places, and its checkpoints."""
    names = {path.name for path in directory.iterdir() if path.is_file()}
    kept = names - {"manifest.json", "run.log", "settings.yaml", "config", "config.json"}
    return {name: digest((directory / name).read_bytes()).hex() for name in kept if not name.endswith(".pt")}
