"""The published study of ALBERT among sixteen peers, and a GPT beside it that recovery can be measured on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from btard.lab.metrics.tables import TableName
from btard.lab.reproductions.evidence import (
    all_of,
    attack_curves,
    attack_of,
    difference,
    is_above,
    spread_table,
    told,
)
from btard.lab.reproductions.reproduction import Findings, Judgement, Reproduction, Trend
from btard.lab.reproductions.settings import Scale
from btard.lab.study.html import Section
from btard.lab.study.results import CompleteRun, runs_frame
from btard.lab.study.statistics import MeanOverSeeds, summary
from btard.lab.sweep.grid import Fork, Grid
from btard.lab.sweep.sweep import Sweep

PEERS, ATTACKERS = 16, 7
SIGN_FLIP = "sign_flip:scale=1000"
ATTACKS = {
    SIGN_FLIP: "sign flip",
    "constant_direction:scale=1000": "constant direction",
    "label_flip": "label flip",
}
NEAR_NATS = 0.1
_LEARNT_NATS = 0.25
_SHOWN_UP_TO = 2.0
"""Times the loss at the fork: where figures end."""
_FALLS = 1_000_000
"""Published: the step in which the learning rate is back at 0."""

_DEFENDED: dict[str, Any] = {"rule": "centered_clip:tau=0.125", "topology": "butterfly", "bans": "lottery"}
_OPEN: dict[str, Any] = {"rule": "mean", "topology": "server", "bans": "off"}


@dataclass(frozen=True)
class _Model:
    """What is trained.

    Attributes:
        steps, fork, start: of all runs, of the state that they fork from, and of the attack.
        attacks: which of the published ones.
        undefended: whether sign flip is also run without any defence.
        learns: whether it gets beyond the plateau of token frequencies, so that an attack can take something.
        learning_rate, warmup: LAMB's rate, and the steps in which it rises to it; then it falls for `_FALLS` steps.
    """

    name: str
    task: str
    steps: int
    fork: int
    start: int
    seeds: int
    attacks: Sequence[str] = tuple(ATTACKS)
    undefended: bool = True
    learns: bool = True
    size: str | None = None
    learning_rate: float = 0.02
    warmup: int = 10

    @property
    def schedule(self) -> str:
        """The published shape of the learning rate."""
        return f"warmup:{self.warmup},{_FALLS}"


def _models(scale: Scale) -> list[_Model]:
    match scale:
        case Scale.SMOKE:
            return [
                _Model("gpt", "gpt", 90, 40, 50, 1),
                _Model("albert", "albert", 30, 10, 15, 1, attacks=[SIGN_FLIP], undefended=False, learns=False),
            ]
        case Scale.SMALL:
            return [
                _Model("gpt", "gpt", 700, 200, 250, 3),
                _Model("albert", "albert", 400, 150, 200, 1, attacks=[SIGN_FLIP], undefended=False, learns=False),
            ]
        case Scale.PAPER:
            return [_Model("albert", "albert", 5000, 950, 1000, 3, size="large", learning_rate=0.00176, warmup=5000)]


class Albert(Reproduction):
    """Four runs of the published study: three attacks, and none."""

    name = "btard-albert"
    title = "Gorbunov, Borzunov, Diskin, Ryabinin: Secure Distributed Training at Scale, ICML 2022 (ALBERT)"

    def grids(self, scale: Scale) -> list[Grid]:
        """See `Reproduction`."""
        return [_grid(model) for model in _models(scale)]

    def scaled_down(self, scale: Scale) -> list[str]:
        """See `Reproduction`."""
        said = [
            "As published: 16 peers of which 7 attack from some step on, CenteredClip with tau 0.125 on parts of a "
            "butterfly, and a lottery that bans an attacker after each attack with probability (1/n)(n - b)/(n - 1); a "
            "banned peer leaves.",
            "As published, LAMB moves the model (eps 1e-6, decay 0.01, gradients of norm 1 at most), at a rate that "
            "rises to its peak during a warm-up and then falls linearly: "
            + ", ".join(f"{model.name} {model.learning_rate:g} after {model.warmup} steps" for model in _models(scale))
            + " (published: 0.00176 after 5,000). The published run aggregates parameters and gradients together, this "
            "one gradients alone.",
        ]
        said += [
            f"{model.name}: {model.task}, size {model.size or 'tiny'}, {model.steps} steps, all forked from one state "
            f"after {model.fork}, attacks from step {model.start}, {model.seeds} seeds."
            for model in _models(scale)
        ]
        if scale is not Scale.PAPER:
            said.append(
                "Tiny ALBERT gets no farther in so few steps than a plateau on which it predicts how often each token "
                "occurs: whether it recovers cannot be seen, since it has nothing to lose. So recovery is measured on "
                "a tiny GPT, which learns within these steps."
            )
        if scale is Scale.SMOKE:
            said.append("The smoke scale shows that everything works, and decides no trend.")
        return said

    def findings(self, sweeps: Mapping[str, Sweep], scale: Scale, directory: Path) -> Findings:
        """See `Reproduction`."""
        trends, sections = [], []
        for model in _models(scale):
            results = sweeps[model.name].results
            frame = losses_frame(results, model.start)
            if frame.empty:
                continue
            trends += loss_trends(frame, model.name, decides=scale is not Scale.SMOKE, learns=model.learns)
            highest = _SHOWN_UP_TO * float(frame["at_fork"].max())
            drawn = attack_curves(
                results,
                _line,
                directory,
                f"loss-{model.name}",
                title=f"Held-out loss, {model.name}",
                window=(model.start, model.steps),
                value="loss",
                label="loss (nats)",
                bans_of=ATTACKS[SIGN_FLIP],
                highest=highest if math.isfinite(highest) else None,
            )
            tables = [spread_table(frame, ["run"], value).assign(value=value) for value in _VALUES]
            about = (
                "Held-out loss in nats: at the fork, at its worst during the attack, and at the end; then the steps "
                f"from the start of the attack until loss is within {NEAR_NATS:g} of the fork's again for good. "
                f"The figure ends at {_SHOWN_UP_TO:g} times the loss at the fork: a line that leaves it is lost."
            )
            sections.append(Section(f"Loss: {model.name}", [about], tables, [] if drawn is None else [drawn]))
        return Findings(trends, sections)


_VALUES = ("at_fork", "worst", "final_loss", "recovery", "last_ban")


def _grid(model: _Model) -> Grid:
    start = {"attackers": ATTACKERS, "attack_start": model.start}
    cases = [dict(_DEFENDED), *({**_DEFENDED, **start, "attack": attack} for attack in model.attacks)]
    if model.undefended:
        cases.append({**_OPEN, **start, "attack": SIGN_FLIP})
    base: dict[str, Any] = {
        "task": model.task,
        "workers": PEERS,
        "banned": "leaves",
        "ban_probability": (PEERS - ATTACKERS) / PEERS / (PEERS - 1),
        "bans": "lottery",
        "optimizer": "lamb",
        "momentum": 0.0,
        "learning_rate": model.learning_rate,
        "learning_rate_schedule": model.schedule,
        "gradient_clip": 1.0,
        "batch_size": 4,
        "steps": model.steps,
        "evaluate_every": 10,
        "batched": "off",
        "study": False,
    }
    if model.size is not None:
        base["size"] = model.size
    open_cases = [{**case, "ban_probability": None} if case["bans"] == "off" else case for case in cases]
    seeds = list(range(1, model.seeds + 1))
    return Grid(name=model.name, base=base, cases=open_cases, seeds=seeds, fork=Fork(at=model.fork, seed=1000))


def _line(labels: Mapping[str, object]) -> str:
    name = ATTACKS.get(attack_of(labels), "no attack")
    return name if labels["rule"] == _DEFENDED["rule"] else f"{name}, no defence"


def losses_frame(results: Sequence[CompleteRun], start: int) -> pd.DataFrame:
    """Return one row a run: `run` names it, `at_fork`, `worst` and `final_loss` are held-out losses in nats, and
    `recovery` is how many steps after the start of the attack the loss is near that of the fork for good, nan if it
    never is."""
    frame = runs_frame(results)
    if frame.empty:
        return frame
    tables = [run.tables[TableName.EVALUATIONS] for run in results]
    return frame.assign(
        run=[_line(run.labels) for run in results],
        at_fork=[float(table["loss"].iloc[0]) for table in tables],
        worst=[_largest(table.loc[table["step"] >= start, "loss"]) for table in tables],
        recovery=[recovery_steps(table, start) for table in tables],
    )


def _largest(losses: pd.Series) -> float:
    return math.inf if losses.isna().any() else float(losses.max())


def recovery_steps(table: pd.DataFrame, start: int) -> float:
    """Return the steps from `start` until the loss is for good no more than a little above that of the first row."""
    after = table[table["step"] >= start]
    far = after[~(after["loss"] <= table["loss"].iloc[0] + NEAR_NATS)]
    if far.empty:
        return 0.0
    later = after[after["step"] > far["step"].iloc[-1]]
    return math.nan if later.empty else float(later["step"].iloc[0] - start)


def loss_trends(frame: pd.DataFrame, model: str, *, decides: bool, learns: bool = True) -> list[Trend]:
    """Judge the claims by the runs of one model.

    Args:
        frame: as `losses_frame` gives it.
        decides: whether its runs are enough to decide anything.
        learns: whether the model gets beyond the plateau of token frequencies.
    """
    by_run = dict(tuple(frame.groupby("run")))
    plain = by_run.get("no attack")
    if plain is None:
        return []
    learnt = summary((plain["at_fork"] - plain["final_loss"]).tolist())
    if not learns or learnt.mean < _LEARNT_NATS:
        text = f"the unattacked run gains {learnt.mean:.2f} nats after the fork"
        text += ", as far as the plateau of token frequencies" * (not learns) + ": nothing that an attack could take"
        return [Trend(f"{model}: training recovers from all attacks", "recovers", text, Judgement.UNDECIDED)]
    attacked = {name: rows for name, rows in by_run.items() if name in ATTACKS.values()}
    costs = {name: difference(rows, plain, "final_loss") for name, rows in attacked.items()}
    found = [
        Trend(
            f"{model}: BTARD ends within {NEAR_NATS:g} nats of its unattacked run, whatever the attack",
            "recovers from all attacks",
            "; ".join(f"{name}: {told(cost, 'nats')}" for name, cost in costs.items()),
            all_of([is_above(_negative(cost), -NEAR_NATS) for cost in costs.values()]),
        )
    ]
    lost = by_run.get("sign flip, no defence")
    if lost is not None:
        finite = lost["final_loss"].dropna()
        gap = f"{int(lost['final_loss'].isna().sum())} of {len(lost)} runs diverge"
        if len(finite):
            gap += f", the others end at {finite.mean():.2f} nats, unattacked {plain['final_loss'].mean():.2f}"
        gone = (lost["final_loss"].isna() | (lost["final_loss"] > plain["final_loss"].max() + _LEARNT_NATS)).all()
        verdict = Judgement.SHOWN if gone else Judgement.NOT_SHOWN
        found.append(Trend(f"{model}: without defence, sign flip ends training", "diverges", gap, verdict))
    return found if decides else [Trend(one.claim, one.published, one.found, Judgement.UNDECIDED) for one in found]


def _negative(found: MeanOverSeeds) -> MeanOverSeeds:
    return MeanOverSeeds(-found.mean, found.deviation, -found.high, -found.low, found.seeds)
