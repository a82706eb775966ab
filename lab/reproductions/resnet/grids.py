"""The runs: seven attacks on six defences from one common state, and on the whole protocol beside rules at a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from btard.lab.reproductions.evidence import attack_of
from btard.lab.reproductions.settings import Scale
from btard.lab.sweep.grid import Fork, Grid

Case = dict[str, Any]

WORKERS = 16

BTARD, BTARD_LOOSE = "BTARD tau 1 (lottery)", "BTARD tau 10 (lottery)"
WHOLE = "BTARD tau 0.1 (whole protocol)"
NO_DEFENCE, CLIP_AT_SERVER = "no defence", "CenteredClip at a server"

_AT_SERVER: dict[str, Case] = {
    CLIP_AT_SERVER: {"rule": "centered_clip:tau=1", "topology": "server", "bans": "off"},
    "geometric median": {"rule": "geometric_median", "topology": "server", "bans": "off"},
    "coordinate median": {"rule": "coordinate_median", "topology": "server", "bans": "off"},
    NO_DEFENCE: {"rule": "mean", "topology": "server", "bans": "off"},
}
_BUTTERFLY: dict[str, Case] = {
    BTARD: {"rule": "centered_clip:tau=1", "topology": "butterfly", "bans": "lottery"},
    BTARD_LOOSE: {"rule": "centered_clip:tau=10", "topology": "butterfly", "bans": "lottery"},
}
_PROTOCOL: dict[str, Case] = {WHOLE: {"rule": "centered_clip:tau=0.1", "topology": "btard", "bans": "verdict"}}
SERVER_RULES = tuple(name for name in _AT_SERVER if name != NO_DEFENCE)

Schedule = tuple[int, int]
"""How many attack, and every how many steps."""

HARD: Schedule = (7, 1)
SCHEDULES: tuple[Schedule, ...] = (HARD, (3, 1), (7, 10))


def attacks(delay: int) -> dict[str, str]:
    """Return the published attacks by name, with gradients delayed by so many steps."""
    return {
        "sign flip": "sign_flip:scale=1000",
        "label flip": "label_flip",
        "constant direction": "constant_direction:scale=1000",
        "delayed gradient": f"delayed:delay={delay}",
        "IPM 0.1": "ipm:factor=0.1",
        "IPM 0.6": "ipm:factor=0.6",
        "ALIE": "alie",
    }


@dataclass(frozen=True)
class Data:
    """Runs on one data set.

    Attributes:
        task: which.
        schedules: (attackers, every how many steps, seeds).
        steps, fork, start: of all runs, of the state that they fork from, and of the attack.
        evaluate_every: in steps.
        batched: whether gradients are computed many at once; said, so that all processes train the same origin.
    """

    name: str
    task: str
    schedules: Sequence[tuple[Schedule, int]]
    steps: int
    fork: int
    start: int
    evaluate_every: int
    batched: str = "on"

    @property
    def delay(self) -> int:
        """Of delayed gradients: the past that is there when the attack begins."""
        return self.start - self.fork


@dataclass(frozen=True)
class WholeProtocol:
    """Runs of the whole protocol, and of rules at a server, on one data set, from their first step on."""

    name: str
    task: str
    steps: int
    start: int
    seeds: int
    evaluate_every: int
    attacks: Sequence[str] = tuple(attacks(1))

    @property
    def delay(self) -> int:
        """Of delayed gradients."""
        return self.start


_DIGITS = "images:data=digits,model=simples_full"
_FASHION = "images:data=fashion_mnist,model=simples_full"


def forked_data(scale: Scale) -> list[Data]:
    """Return what is forked at a scale."""
    match scale:
        case Scale.SMOKE:
            return [Data("digits", _DIGITS, [(HARD, 1)], 160, 60, 80, 10)]
        case Scale.SMALL:
            digits = Data("digits", _DIGITS, [(HARD, 5)], 500, 150, 200, 10)
            return [digits, Data("fashion", _FASHION, [(HARD, 5)], 400, 150, 200, 50)]
        case Scale.PAPER:
            seeds = [(schedule, 5) for schedule in SCHEDULES]
            task = "images:data=cifar10,model=resnet18,transform=crop_flip_normalise"
            return [Data("cifar10", task, seeds, 5100, 1, 1001, 50, batched="off")]


def protocol_data(scale: Scale) -> list[WholeProtocol]:
    """Return what is trained by the whole protocol at a scale."""
    match scale:
        case Scale.SMOKE:
            return [WholeProtocol("digits", _DIGITS, 80, 20, 1, 10, attacks=("sign flip", "IPM 0.6", "ALIE"))]
        case Scale.SMALL:
            return [
                WholeProtocol("digits", _DIGITS, 200, 50, 5, 10),
                WholeProtocol("fashion", _FASHION, 200, 50, 5, 50),
            ]
        case Scale.PAPER:
            return [WholeProtocol("cifar10", "images:data=cifar10,model=resnet18", 5100, 1000, 5, 50)]


def forked_grid(data: Data, schedule: Schedule, seeds: int) -> Grid:
    """Return the grid of one data set and schedule of attacks; seven attackers have the published runs unattacked."""
    attackers, every = schedule
    rules = {**_BUTTERFLY, **_AT_SERVER}
    cases = [
        {**rule, "attack": attack, "attackers": attackers, "attack_every": every, "attack_start": data.start}
        for attack in attacks(data.delay).values()
        for rule in rules.values()
    ]
    base = {
        "task": data.task,
        "workers": WORKERS,
        "banned": "turns-honest",
        "momentum": 0.9,
        "nesterov": True,
        "weight_decay": 5e-4,
        "learning_rate": 0.01,
        "learning_rate_schedule": "cosine",
        "batch_size": 8,
        "steps": data.steps,
        "evaluate_every": data.evaluate_every,
        "batched": data.batched,
        "study": False,
    }
    return Grid(
        name=f"forked-{data.name}-{attackers}-every-{every}",
        base=base,
        cases=[*rules.values(), *cases],
        seeds=list(range(1, seeds + 1)),
        fork=Fork(at=data.fork, seed=1000),
    )


def protocol_grid(data: WholeProtocol) -> Grid:
    """Return the grid of the whole protocol on one data set. Its momentum is at workers, so that of all others is."""
    attackers, _ = HARD
    rules = {**_PROTOCOL, **_AT_SERVER}
    named = attacks(data.delay)
    cases = [
        {**rule, "attack": named[name], "attackers": attackers, "attack_start": data.start}
        for name in data.attacks
        for rule in rules.values()
    ]
    base = {
        "task": data.task,
        "workers": WORKERS,
        "banned": "leaves",
        "momentum": 0.9,
        "dampening": 0.9,
        "momentum_at": "worker",
        "learning_rate": 0.1,
        "learning_rate_decay": 0.0,
        "batch_size": 8,
        "steps": data.steps,
        "evaluate_every": data.evaluate_every,
        "study": False,
    }
    seeds = list(range(1, data.seeds + 1))
    return Grid(name=f"protocol-{data.name}", base=base, cases=[*rules.values(), *cases], seeds=seeds)


def grids(scale: Scale) -> list[Grid]:
    """Return all grids of a scale."""
    forked = [forked_grid(data, schedule, seeds) for data in forked_data(scale) for schedule, seeds in data.schedules]
    return [*forked, *(protocol_grid(data) for data in protocol_data(scale))]


def defence_of(labels: Mapping[str, object]) -> str:
    """Return the name of a run's defence."""
    for name, rule in {**_BUTTERFLY, **_PROTOCOL, **_AT_SERVER}.items():
        if all(labels.get(key) == value for key, value in rule.items()):
            return name
    raise ValueError(f"no defence has {dict(labels)}")


def attack_name(labels: Mapping[str, object]) -> str:
    """Return the published name of a run's attack."""
    found = attack_of(labels)
    if found.startswith("delayed"):
        return "delayed gradient"
    return {text: name for name, text in attacks(1).items()}.get(found, found)
