"""The configurations of the study: 184 for each of four data sets, 736 in all, each with five seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from btard.lab.reproductions.settings import Scale
from btard.lab.sweep.grid import Grid

Case = dict[str, Any]

UNATTACKED = "mean"
PLACES = ("update", "worker")
ATTACKS = ("little:factor=1.5,negative=true", "empire:factor=1.1")

LEGACY = {
    "krum": "krum:legacy=true",
    "median": "coordinate_median:legacy=true",
    "trmean": "trimmed_mean",
    "phocas": "phocas",
    "meamed": "meamed:legacy=true",
    "bulyan": "bulyan:legacy=true",
}
"""The rules as the published grid ran with them, by their names there."""

APPENDIX_RULES = ("krum", "median", "bulyan")


@dataclass(frozen=True)
class DataSet:
    """One data set's part of the grid.

    Attributes:
        base: settings of all its runs.
        workers: n.
        liars: numbers of attackers; bulyan takes part with the last one alone.
        rates: settings of each learning rate.
        seeds: of each configuration.
        nesterov: whether gradients are taken where momentum leads.
        rules: the legacy ones by their names there.
        corrects: whether the rules as their papers define them are run as well.
    """

    name: str
    base: Case
    workers: int
    liars: Sequence[int]
    rates: Sequence[Case]
    seeds: int
    nesterov: Sequence[bool] = (False, True)
    rules: Mapping[str, str] = field(default_factory=lambda: LEGACY)
    corrects: bool = True


_SMALL_NET: Case = {
    "batch_size": 83,
    "momentum": 0.9,
    "l2": 1e-4,
    "gradient_clip": 2.0,
    "steps": 300,
    "evaluate_every": 5,
    "study_past": 150,
    "legacy_eval": True,
}
_CONVOLUTIONS: Case = {
    "batch_size": 50,
    "momentum": 0.99,
    "l2": 1e-2,
    "gradient_clip": 5.0,
    "steps": 3000,
    "evaluate_every": 100,
    "study_past": 25,
    "legacy_eval": True,
}
_SMALL_RATES = ({"learning_rate": 0.5}, {"learning_rate": 0.02})
_SMALL_DECAY: Case = {"learning_rate_decay": 5000.0, "learning_rate_decay_delta": 300}
_CONVOLUTION_RATES = (
    {"learning_rate": 0.01, "learning_rate_decay": 167.0, "learning_rate_decay_delta": 1500},
    {"learning_rate": 0.001, "learning_rate_decay": 167.0, "learning_rate_decay_delta": 3000},
)


def _small_net(data: str, seeds: int) -> DataSet:
    base = {**_SMALL_NET, **_SMALL_DECAY, "task": f"images:data={data},legacy_eval=true,model=simples_full"}
    return DataSet(data, base, 51, (24, 12), _SMALL_RATES, seeds)


def _convolutions(data: str, seeds: int) -> DataSet:
    base = {**_CONVOLUTIONS, "task": f"images:data={data},legacy_eval=true,model=empire_cnn"}
    return DataSet(data, base, 25, (11, 5), _CONVOLUTION_RATES, seeds)


def _appendix(seeds: int) -> DataSet:
    base = {
        **_CONVOLUTIONS,
        "task": "images:data=cifar10,legacy_eval=true,model=wrn_28_10",
        "batch_size": 20,
        "l2": 5e-4,
        "steps": 20000,
    }
    rate = {"learning_rate_schedule": "0.02,8000:0.004,16000:0.0008"}
    rules = {name: LEGACY[name] for name in APPENDIX_RULES}
    return DataSet("appendix", base, 11, (4, 2), (rate,), seeds, nesterov=(True,), rules=rules, corrects=False)


def data_sets(scale: Scale) -> list[DataSet]:
    """Return what is trained at a scale."""
    match scale:
        case Scale.PAPER:
            small = [_small_net(data, 5) for data in ("mnist", "fashion_mnist")]
            return [*small, *(_convolutions(data, 5) for data in ("cifar10", "cifar100")), _appendix(5)]
        case Scale.SMALL:
            fashion = _small_net("fashion_mnist", 1)
            whole = replace(fashion, base={**fashion.base, "evaluate_every": 25})
            narrow = _convolutions("fashion_mnist", 1)
            task = "images:data=fashion_mnist,legacy_eval=true,model=narrow_cnn"
            base = {**narrow.base, "task": task, "steps": 200, "evaluate_every": 50}
            few = replace(
                narrow, name="fashion_narrow", base=base, rates=narrow.rates[:1], nesterov=(False,), corrects=False
            )
            return [whole, few]
        case Scale.SMOKE:
            digits = _small_net("digits", 1)
            base = {**digits.base, "batch_size": 16, "steps": 60, "evaluate_every": 10}
            return [replace(digits, base=base, workers=15, liars=(6, 3), rates=digits.rates[:1], nesterov=(False,))]


def cases(data: DataSet, rules: Mapping[str, str]) -> Iterator[Case]:
    """Yield all configurations of a data set: unattacked ones, then each rule under each attack."""
    for liars in data.liars:
        for rate in data.rates:
            for nesterov in data.nesterov:
                common = {**rate, "nesterov": nesterov}
                yield {
                    **common,
                    "rule": UNATTACKED,
                    "workers": data.workers - liars,
                    "declared": 0,
                    "momentum_at": PLACES[0],
                }
                for name, rule in rules.items():
                    if name == "bulyan" and liars != data.liars[-1]:
                        continue
                    for attack in ATTACKS:
                        for place in PLACES:
                            yield {
                                **common,
                                "rule": rule,
                                "workers": data.workers,
                                "attackers": liars,
                                "declared": liars,
                                "attack": attack,
                                "momentum_at": place,
                            }


def corrected(data: DataSet) -> dict[str, str]:
    """Return the rules that the legacy set has wrong, as their papers define them; Krum averages as many rows."""
    return {"krum": "multi_krum", "median": "coordinate_median", "meamed": "meamed", "bulyan": "bulyan"}


def grid(data: DataSet, rules: Mapping[str, str], name: str) -> Grid:
    """Return a data set's grid."""
    return Grid(name=name, base=data.base, cases=list(cases(data, rules)), seeds=list(range(1, data.seeds + 1)))


def grids(scale: Scale) -> list[Grid]:
    """Return all grids of a scale: the legacy set, then the corrected rules at the first learning rate."""
    found = []
    for data in data_sets(scale):
        found.append(grid(data, data.rules, f"{data.name}-legacy"))
        if not data.corrects:
            continue
        first = replace(data, rates=data.rates[:1], nesterov=(False,))
        found.append(grid(first, corrected(data), f"{data.name}-corrected"))
    return found
