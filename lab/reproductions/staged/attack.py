"""Stages that lie in a pipeline, and stages that are passed by for it: Lu et al., ICML 2024."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from btard.lab.reproductions.evidence import all_of, is_above, is_within, spread_table, told
from btard.lab.reproductions.reproduction import Findings, Judgement, Trend
from btard.lab.reproductions.settings import Scale
from btard.lab.reproductions.staged.attack_run import AttackRun, StageDefence
from btard.lab.reproductions.staged.delays import delay_frame, delay_runs, delay_sections, delay_trends
from btard.lab.reproductions.staged.origin import TrainedOrigin, data_of
from btard.lab.reproductions.staged.run import StagedResult, StagedRun
from btard.lab.reproductions.staged.study import StagedStudy
from btard.lab.study.canvas import Exported
from btard.lab.study.curves import Lines, draw_lines
from btard.lab.study.html import Section
from btard.lab.study.statistics import MeanOverSeeds, summary
from btard.pipeline.defence.attacks import MessageLie

LIES = (MessageLie.REVERSE, MessageLie.RANDOM)
SKIPS = {StageDefence.RELAY: 3.0, StageDefence.STRANGERS: 5.0}
"""Defences that pass stages by, and within how many percent of clean perplexity they are to stay."""

_DEFENCES = {
    MessageLie.REVERSE: tuple(StageDefence),
    MessageLie.RANDOM: (StageDefence.NONE, StageDefence.RELAY),
}
"""Against each lie. Where stages are passed by, or an iteration is thrown away, what a lie said leaves no trace."""

_GRANTED = {Scale.SMOKE: (0.1, 0.5), Scale.SMALL: (0.01, 0.1, 0.5), Scale.PAPER: (0.001, 0.01, 0.1, 0.5)}
"""Relative errors that checks allow, each used up by one stage in every iteration."""

_SIZES = {
    Scale.SMOKE: (150, 30, (0.3, 0.7), 1),
    Scale.SMALL: (400, 150, (0.3, 0.5, 0.7), 3),
    Scale.PAPER: (4000, 3000, (0.3, 0.5, 0.7), 5),
}
"""Steps of the origin and of a run, rates, and seeds."""

_LEARNING_RATE, _FROM_SCRATCH_RATE = 1e-3, 5e-3


class PipelineAttack(StagedStudy):
    """Forward attacks at three rates against four defences, from a checkpoint; some runs from scratch, and backward;
    then what the study has not: lies that a tolerant check grants, and how long drawn checks take."""

    name = "pipeline-attack"
    title = (
        "Lu, Dai, Tao, Yuan, Sun, Zhou: Position: Exploring the Robustness of Pipeline-Parallelism-Based Decentralized "
        "Training, ICML 2024"
    )

    def prepare(self, scale: Scale, data: str, home: Path) -> None:
        """Train the checkpoint."""
        _origin(scale, data).weights(home)

    def runs(self, scale: Scale, data: str) -> list[StagedRun]:
        """See `StagedStudy`."""
        _, steps, rates, seeds = _SIZES[scale]
        tuned: dict[str, Any] = {"origin": _origin(scale, data), "learning_rate": _LEARNING_RATE}
        scratch: dict[str, Any] = {"origin": None, "learning_rate": _FROM_SCRATCH_RATE}
        lying = [
            {**tuned, "rate": rate, "forward": lie, "defence": defence}
            for rate in sorted(rates, reverse=True)
            for lie, defences in _DEFENCES.items()
            for defence in defences
        ]
        back = [
            {**tuned, "rate": rates[-1], "backward": MessageLie.NOISE, "defence": defence}
            for defence in (StageDefence.NONE, StageDefence.RELAY)
        ]
        granted = [{**tuned, "granted": error, "defence": StageDefence.RELAY} for error in _GRANTED[scale]]
        worst: dict[str, Any] = {"rate": rates[-1], "forward": MessageLie.REVERSE}
        fresh = [scratch, *({**scratch, **worst, "defence": defence} for defence in (StageDefence.NONE, *SKIPS))]
        attacked = [
            AttackRun.model_validate({**case, "steps": steps, "seed": seed, "data": data})
            for case in (tuned, *lying, *back, *granted, *fresh)
            for seed in range(1, seeds + 1)
        ]
        return [*delay_runs(scale, data), *attacked]

    def scaled_down(self, scale: Scale) -> list[str]:
        """See `StagedStudy`."""
        origin, steps, rates, seeds = _SIZES[scale]
        said = [
            "The model is GPT-2 with six blocks of hidden size 32, one in each of six stages, on the built-in text "
            "by characters; published: GPT-2 of 0.35 to 1.5 billion weights, OPT and BLOOM, six virtual stages, "
            "WikiText-2 and arXiv abstracts. At most one stage lies in an iteration, never the first or the last, "
            "about all micro-batches, and another one each time, as published.",
            f"Runs go on from the laboratory's own checkpoint ({origin} steps of 32 samples) for {steps} iterations of "
            f"8 samples; {seeds} seeds; rates {', '.join(f'{rate:g}' for rate in rates)}. Some begin from scratch.",
            "The published damage of ten times the perplexity and more needs pretrained models: one that has learnt "
            "from a few hundred steps has little to lose, and no run here can lose as much.",
            "With restart, an iteration with an alarm is thrown away and done again until no stage lies in it; each "
            "attempt draws a liar anew. Its runs end after as many attempts as passing stages by takes, which is two "
            "for each iteration with a lie.",
            "Activations and gradients are compared bit by bit in every iteration; the published program has no check "
            "of gradients. Nobody is banned, as published, but in the runs about drawn checks, which are ours.",
        ]
        if scale is Scale.SMOKE:
            said.append("The smoke scale shows that everything works, and decides no trend.")
        return said

    def findings(self, results: Sequence[StagedResult], scale: Scale, directory: Path) -> Findings:
        """See `StagedStudy`."""
        frame = attack_frame(results)
        if frame.empty:
            return Findings([], [])
        plain = frame[frame["tuned"] & (frame["granted"] == 0)]
        forward = plain[plain["backward"] == "honest"]
        rates = forward[forward["rate"] > 0]
        names = rates["forward"] + ", " + rates["defence"]
        lines = Lines(
            "Perplexity by the rate of the attack",
            "over",
            "percent above clean",
            "rate",
            "rate of the attack",
            data=data_of(results),
        )
        drawn = draw_lines(rates.assign(series=names), lines, directory, "perplexity")
        sections = [
            Section(
                "Forward attack",
                ["Held-out perplexity, and how far it is above that of the clean run with the same seed, in percent."],
                [_table(forward, ["forward", "rate", "defence"])],
                [drawn],
            ),
            Section(
                "Backward attack",
                ["Gradients on their way back are replaced by Gaussian noise, as published."],
                [_table(frame[frame["backward"] != "honest"], ["backward", "rate", "defence"])],
            ),
            Section(
                "Within what is granted",
                ["One stage moves its activations by as much as a tolerant check grants, always the same way."],
                [_table(frame[frame["granted"] > 0], ["granted"])],
                _granted_figure(frame, directory, data_of(results)),
            ),
            Section("From scratch", [], [_table(frame[~frame["tuned"]], ["forward", "rate", "defence"])]),
        ]
        delays = delay_frame(results)
        trends = [*attack_trends(frame, decides=scale is not Scale.SMOKE), *delay_trends(delays)]
        return Findings(trends, [*sections, *delay_sections(delays, directory, data_of(results))])


def _origin(scale: Scale, data: str) -> TrainedOrigin:
    return TrainedOrigin(steps=_SIZES[scale][0], data=data)


def attack_frame(results: Sequence[StagedResult]) -> pd.DataFrame:
    """Return one row a run: its settings, what it found, and `over`: percent above the clean run of its kind and
    seed."""
    rows = []
    for result in results:
        run, found = result.run, result.found
        if not isinstance(run, AttackRun):
            continue
        named = {name: str(getattr(run, name) or "honest") for name in ("forward", "backward")}
        kept = {name: value for name, value in found.items() if not isinstance(value, list)}
        defence = str(run.defence) if run.rate or run.granted else "clean"
        same = {"tuned": run.origin is not None, "seed": run.seed, "rate": run.rate, "granted": run.granted}
        rows.append({**same, "defence": defence, **named, **kept})
    if not rows:
        return pd.DataFrame()
    frame = pd.DataFrame(rows)
    clean = frame[frame["defence"] == "clean"].set_index(["tuned", "seed"])["perplexity"]
    if clean.empty:
        return pd.DataFrame()
    beside = pd.Series(
        [clean.get((row.tuned, row.seed), float("nan")) for row in frame.itertuples()], index=frame.index, dtype=float
    )
    return frame.assign(over=100 * (frame["perplexity"] / beside - 1))


def _table(frame: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Return a row for each combination: perplexity and its excess with their intervals, and sums of alarms."""
    if frame.empty:
        return pd.DataFrame(columns=by)
    spread = spread_table(frame, by, "over").rename(columns={"mean": "percent above clean"}).drop(columns="deviation")
    found = frame.groupby(by, as_index=False).agg(
        perplexity=("perplexity", "mean"),
        attacked=("attacked", "sum"),
        noticed=("noticed", "sum"),
        false_alarms=("false_alarms", "sum"),
        alarms=("alarms", "sum"),
        attempts=("attempts", "mean"),
    )
    return found.merge(spread, on=by)


def attack_trends(frame: pd.DataFrame, *, decides: bool) -> list[Trend]:
    """Judge the published claims.

    Args:
        frame: as `attack_frame` gives it.
        decides: whether its runs are enough to decide anything.
    """
    lied = frame[frame["tuned"] & (frame["rate"] > 0)]
    tuned = lied[lied["backward"] == "honest"]
    found = [
        _noticed(tuned, "activations", "100 %"),
        _noticed(lied[lied["backward"] != "honest"], "gradients", "not checked in the published program"),
    ]
    highest = float(tuned["rate"].max())
    worst = tuned[tuned["rate"] == highest]
    open_ = _over(worst, StageDefence.NONE)
    lost = {lie: _text(one) for lie, one in open_.items()}
    least = min((one.mean for one in open_.values()), default=0.0)
    found += [
        Trend(
            f"Without defence, rate {highest:g} costs perplexity",
            "usually at least 10 times the clean one; rate 0.3 often still converges",
            "; ".join(f"{lie}: {text} above clean" for lie, text in lost.items()),
            all_of([is_above(one) for one in open_.values()]),
        ),
        Trend(
            "The damage is tenfold",
            "10 times and more, with pretrained models",
            f"at least {1 + least / 100:.2f} times here, from a checkpoint that has little to lose",
            Judgement.SHOWN if least >= 900 else Judgement.NOT_SHOWN,
        ),
    ]
    for defence, margin in SKIPS.items():
        for rate, rows in tuned.groupby("rate"):
            near = _over(rows, defence)
            found.append(
                Trend(
                    f"{defence}, rate {rate:g}: within {margin:g} % of clean perplexity",
                    "up to 74.6 times better than undefended, now and then better than clean",
                    "; ".join(f"{lie}: {_text(one)}" for lie, one in near.items()),
                    all_of([_at_most(one, margin) for one in near.values()]),
                )
            )
    found.append(_against_restart(worst))
    if decides:
        return found
    return [Trend(one.claim, one.published, one.found, Judgement.UNDECIDED) for one in found]


def _noticed(frame: pd.DataFrame, what: str, published: str) -> Trend:
    rows = frame[frame["defence"] != str(StageDefence.NONE)]
    noticed, attacked, false = (int(rows[name].sum()) for name in ("noticed", "attacked", "false_alarms"))
    held = noticed == attacked and not false
    return Trend(
        f"Every lie about {what} is noticed in its iteration, without a false alarm",
        published,
        f"{noticed} of {attacked} iterations, {false} false alarms",
        Judgement.UNDECIDED if not attacked else Judgement.SHOWN if held else Judgement.NOT_SHOWN,
    )


def _over(frame: pd.DataFrame, defence: StageDefence) -> dict[str, MeanOverSeeds]:
    """Return the percentages above clean, by lie."""
    rows = frame[frame["defence"] == str(defence)]
    return {str(lie): summary(group["over"].to_list()) for lie, group in rows.groupby("forward")}


def _against_restart(worst: pd.DataFrame) -> Trend:
    """What a lie says does not matter to either: it is thrown away. So one kind of lie is enough."""
    rows = worst[worst["forward"] == str(LIES[0])].set_index(["defence", "seed"])["over"]
    gains = {}
    for defence in (StageDefence.RESTART, *SKIPS):
        if str(defence) in rows:
            gains[defence] = rows.xs(str(defence))
    restarted = gains.pop(StageDefence.RESTART, pd.Series(dtype=float))
    found = {defence: summary((restarted - skipping).dropna().to_list()) for defence, skipping in gains.items()}
    return Trend(
        "After as many attempts, passing stages by is better than restarting",
        "lower loss at most iterations",
        "; ".join(
            f"restart is above {defence} by {told(gain, 'percent of clean perplexity')}"
            for defence, gain in found.items()
        ),
        all_of([is_above(gain) for gain in found.values()]),
    )


def _at_most(found: MeanOverSeeds, margin: float) -> Judgement:
    """Judge whether a mean is below a margin; how far below does not matter."""
    verdict = is_within(found, margin)
    below = found.high <= margin
    return Judgement.SHOWN if below else verdict


def _text(found: MeanOverSeeds) -> str:
    return told(found, "%")


def _granted_figure(frame: pd.DataFrame, directory: Path, data: str) -> list[Exported]:
    rows = frame[frame["granted"] > 0].assign(series="one stage, in every iteration")
    lines = Lines(
        "Perplexity by what checks grant",
        "over",
        "percent above clean",
        "granted",
        "relative error that is granted",
        data=data,
    )
    return [draw_lines(rows, lines, directory, "granted")] if len(rows) else []
