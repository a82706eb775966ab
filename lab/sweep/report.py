"""What any sweep shows: tables over seeds, the worst attack of each rule, heat maps, curves and bans, in one report."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from btard.aggregation import make_rule
from btard.errors import UserError
from btard.lab.metrics.tables import TableName
from btard.lab.study.canvas import Exported
from btard.lab.study.curves import Lines, draw_lines
from btard.lab.study.heat import draw_heat
from btard.lab.study.html import Section, write_html
from btard.lab.study.results import CompleteRun, data_of, runs_frame, steps_frame
from btard.lab.study.spread import Shape, draw_spread
from btard.lab.study.statistics import over_seeds, paired, worst
from btard.lab.sweep.grid import Grid, planned, read_chosen, read_grid
from btard.lab.sweep.missing_runs import CHOSEN_FILE, GRID_FILE
from btard.lab.sweep.sweep import Sweep, complete_results
from btard.lab.sweep.sweep_folder import SweepFolder

REPORT = "report.html"
MOST_SERIES = 10
"""Lines in one figure; more combinations are split over several figures by their first setting."""

_ATTACK, _RULE = "attack", "rule"
_FINAL, _LOSS = "final", "final_loss"


def study(directory: Path) -> Path:
    """Write the report of a sweep's complete runs into its directory, and return where it is.

    Raises:
        UserError: the directory holds no sweep, or none of its runs is complete.
    """
    if not (directory / GRID_FILE).exists():
        raise UserError(f"{directory} holds no sweep: it has no {GRID_FILE}; btard lab sweep makes one")
    grid = read_grid(directory / GRID_FILE)
    runs = planned(grid, read_chosen(directory / CHOSEN_FILE, grid))
    folder = SweepFolder(directory)
    found = Sweep(complete_results(runs, folder), [run for run in runs if run.refusal is not None])
    if not found.results:
        raise UserError(f"no run of the sweep in {directory} is complete: btard lab sweep runs what is missing")
    sections = sections_of(grid, found, directory / "figures")
    path = directory / REPORT
    write_html(path, f"Sweep: {grid.name}", sections)
    return path


def sections_of(grid: Grid, found: Sweep, directory: Path) -> list[Section]:
    """Return the sections of a report of a grid's complete and refused runs."""
    runs = _filled(runs_frame(found.results), grid)
    value, label, better_high = _measure(runs)
    varied = grid.varied or ["seed"]
    table = over_seeds(runs, varied, value)
    complete = len(found.results)
    about = [
        f"{complete} runs of {len(grid.seeds)} seeds each are in these tables; {len(found.refused)} were refused, as "
        f"their rule needs more workers. Means over seeds with Student's 95 % interval of the last {label}."
    ]
    sections = [Section("All combinations", about, [_worded(table, label)])]
    if _ATTACK in varied and _RULE in varied:
        sections.append(_rules_and_attacks(table, found, varied, label, better_high, directory))
    sections += _pair_sections(runs, grid, value, label)
    if len(grid.seeds) > 1:
        sections.append(_spreads(runs, varied, value, label, directory, data_of(found.results)))
    sections.append(Section("Over steps", figures=_curves(found.results, grid, value, label, directory)))
    if runs["bans"].any():
        sections.append(_bans(runs, varied, directory, data_of(found.results)))
    ratio = _ratio(found.results)
    if ratio is not None:
        sections.append(ratio)
    return sections


def _filled(runs: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """Return the runs with a word in every varied setting, since what a case leaves out is nothing to group by."""
    given = {key: runs[key].map(_word) if key in runs else "default" for key in grid.varied}
    return runs.assign(**given)


def _word(value: object) -> object:
    return "none" if value is None or (isinstance(value, float) and math.isnan(value)) else value


def _measure(runs: pd.DataFrame) -> tuple[str, str, bool]:
    """Return (column, label, whether more is better): accuracy where there is one, the loss elsewhere."""
    if runs[_FINAL].notna().any():
        return _FINAL, "accuracy (share)", True
    return _LOSS, "loss (nats)", False


def _worded(table: pd.DataFrame, label: str) -> pd.DataFrame:
    return table.rename(columns={"mean": f"mean {label}", "low": "95 % from", "high": "to"})


def _rules_and_attacks(
    table: pd.DataFrame, found: Sweep, varied: Sequence[str], label: str, better_high: bool, directory: Path
) -> Section:
    """Return heat maps, one for each combination of the other settings, and the worst attack of each rule."""
    others = [key for key in varied if key not in (_ATTACK, _RULE) and not _follows(table, key)]
    refused = pd.DataFrame(
        [{key: _word(run.labels.get(key)) for key in varied} | {"mean": math.nan} for run in found.refused]
    )
    whole = pd.concat([table, refused.drop_duplicates()], ignore_index=True) if len(refused) else table
    figures, tables, data = [], [], data_of(found.results)
    for number, (keys, group) in enumerate(_groups(whole, others)):
        title = f"Last {label}" + (f": {keys}" if keys else "")
        figures.append(
            draw_heat(
                group, directory, f"rules-attacks-{number}", title=title, rows=_RULE, columns=_ATTACK, value="mean",
                label=label, data=data, higher_is_better=better_high,
            )
        )  # fmt: skip
    known = table.dropna(subset=["mean"])
    tables.append(worst(known, [*others, _RULE], _ATTACK, "mean", higher_is_better=better_high))
    words = ["Each rule by its mean over attacks and by the attack that hurts it most; crossed cells are refused."]
    return Section("Rules and attacks", words, tables, figures)


def _follows(table: pd.DataFrame, key: str) -> bool:
    """Whether a setting has one value for each attack, as the number of attackers in a case has."""
    return bool((table.groupby(_ATTACK)[key].nunique() == 1).all())


def _groups(table: pd.DataFrame, by: Sequence[str]) -> list[tuple[str, pd.DataFrame]]:
    if not by:
        return [("", table)]
    return [
        (", ".join(f"{key} {value}" for key, value in zip(by, keys, strict=True)), group)
        for keys, group in table.groupby(list(by), sort=False)
    ]


def _pair_sections(runs: pd.DataFrame, grid: Grid, value: str, label: str) -> list[Section]:
    """Return paired tests of every two values of an axis with few values, over all that else is equal."""
    if len(grid.seeds) < 2:
        return []
    rows = []
    for key, values in grid.axes.items():
        rest = [other for other in grid.varied if other != key]
        for first, second in itertools.combinations([_word(one) for one in values], 2):
            on = [*rest, "seed"]
            result = paired(runs[runs[key] == first], runs[runs[key] == second], value, on)
            if result.difference.seeds:
                difference = result.difference
                rows.append(
                    (key, first, second, difference.seeds, difference.mean, difference.low, difference.high,
                     result.t_probability, result.rank_probability)
                )  # fmt: skip
    columns = ["setting", "from", "to", "pairs", f"change of {label}", "95 % from", "to ", "p (t)", "p (ranks)"]
    words = [
        "Pairs of runs that differ in one setting alone. The probabilities are of a change as large where there is "
        "none; of many tests some are small by chance."
    ]
    return [Section("Paired", words, [pd.DataFrame(rows, columns=columns)])] if rows else []


def _curves(results: Sequence[CompleteRun], grid: Grid, value: str, label: str, directory: Path) -> list[Exported]:
    column = "accuracy" if value == _FINAL else "loss"
    frame = _filled(steps_frame(results, TableName.EVALUATIONS), grid)
    varied = grid.varied
    frame["series"] = [_series(row, varied) for row in frame[varied].itertuples(index=False)] if varied else grid.name
    split = varied[:1] if frame["series"].nunique() > MOST_SERIES and len(varied) > 1 else []
    bans = steps_frame(results, TableName.BANS)
    figures = []
    for number, (keys, group) in enumerate(_groups(frame, split)):
        if split:
            group = group.assign(series=[_series(row, varied[1:]) for row in group[varied[1:]].itertuples(index=False)])
        lines = Lines(
            f"{grid.name}{': ' + keys if keys else ''}",
            column,
            label,
            bans=sorted(set(bans["step"])) if len(bans) else (),
            data=data_of(results),
        )
        figures.append(draw_lines(group, lines, directory, f"curves-{number}"))
    return figures


def _spreads(runs: pd.DataFrame, varied: Sequence[str], value: str, label: str, directory: Path, data: str) -> Section:
    """Return boxes and violins of the last values, a group for each combination."""
    split = varied[:1] if len(runs[list(varied)].drop_duplicates()) > MOST_SERIES and len(varied) > 1 else []
    figures = []
    for number, (keys, group) in enumerate(_groups(runs, split)):
        rest = [key for key in varied if key not in split]
        named = group.assign(group=[_series(row, rest) for row in group[rest].itertuples(index=False)])
        title = f"Last {label}" + (f": {keys}" if keys else "")
        figures += [
            draw_spread(
                named, directory, f"finals-{number}-{shape}", title=title, group="group", value=value, label=label,
                data=data, shape=shape,
            )
            for shape in Shape
        ]  # fmt: skip
    return Section(
        "Spread over seeds", ["Each group is one combination; a run that diverged is not drawn."], [], figures
    )


def _series(row: Sequence[object], keys: Sequence[str]) -> str:
    return ", ".join(str(value) for _, value in zip(keys, row, strict=True))


def _bans(runs: pd.DataFrame, varied: Sequence[str], directory: Path, data: str) -> Section:
    banned = runs[runs["bans"] > 0].assign(
        group=lambda frame: [_series(row, varied) for row in frame[list(varied)].itertuples(index=False)]
    )
    figure = draw_spread(
        banned, directory, "time-to-ban", title="Step of the last ban", group="group", value="last_ban",
        label="step", data=data, shape=Shape.BOX,
    )  # fmt: skip
    honest = int(runs["honest_bans"].sum())
    return Section(
        "Bans", [f"{honest} honest workers were banned."], [over_seeds(banned, varied, "last_ban")], [figure]
    )


def _ratio(results: Sequence[CompleteRun]) -> Section | None:
    """Return in which share of steps the variance-norm ratio of what is submitted suffices for the rule's bound."""
    rows = []
    for run in results:
        study_table = run.tables[TableName.STUDY]
        settings = run.settings
        if not len(study_table):
            continue
        most = make_rule(settings.rule).upper_bound(settings.workers, settings.f)
        if most is None:
            continue
        ratio = (study_table["Honest gradient deviation"] / study_table["Honest gradient norm"]) ** 2
        rows.append((settings.rule, settings.workers, settings.f, most, float((ratio < most**2).mean())))
    if not rows:
        return None
    table = pd.DataFrame(rows, columns=["rule", "n", "f", "eta", "share of steps below eta squared"])
    return Section(
        "Ratio enough for the rule?",
        ["A rule is proven to resist while the squared ratio of deviation to norm lies below its eta squared."],
        [table.groupby(["rule", "n", "f", "eta"], as_index=False).mean()],
    )
