"""A quantity over seeds: mean, deviation, confidence interval, and what a change of setting does to it.

Everything takes and gives data frames, so that a table in a report is what a test can look at.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

CONFIDENCE = 0.95
"""Of all intervals, unless another one is asked for."""

SEED = "seed"
"""The column that tells runs of one setting apart."""


@dataclass(frozen=True)
class MeanOverSeeds:
    """One quantity over independent seeds.

    Attributes:
        mean: of the values that are numbers; nan without any.
        deviation: unbiased standard deviation; nan below two values.
        low, high: of Student's t interval around the mean; nan below two values.
        seeds: how many values are numbers.
    """

    mean: float
    deviation: float
    low: float
    high: float
    seeds: int

    def __str__(self) -> str:
        if self.seeds < 2:
            return f"{self.mean:.4g} (one seed)" if self.seeds else "-"
        return f"{self.mean:.4g} ± {(self.high - self.low) / 2:.2g} ({self.seeds} seeds)"


def summary(values: Sequence[float], confidence: float = CONFIDENCE) -> MeanOverSeeds:
    """Summarise values, one a seed; those that are nan do not count."""
    known = np.asarray([value for value in values if not math.isnan(value)], dtype=np.float64)
    count = len(known)
    if count == 0:
        return MeanOverSeeds(math.nan, math.nan, math.nan, math.nan, 0)
    mean = float(known.mean())
    if count == 1:
        return MeanOverSeeds(mean, math.nan, math.nan, math.nan, 1)
    deviation = float(known.std(ddof=1))
    reach = float(stats.t.ppf(0.5 + confidence / 2, count - 1)) * deviation / math.sqrt(count)
    return MeanOverSeeds(mean, deviation, mean - reach, mean + reach, count)


def over_seeds(frame: pd.DataFrame, by: Sequence[str], value: str, confidence: float = CONFIDENCE) -> pd.DataFrame:
    """Summarise a column for every combination of others.

    Args:
        frame: one row for each seed and combination; infinities count as they are, nan does not count.
        by: the columns that stay, in the order of the rows of the result.

    Returns:
        The columns `by`, `mean`, `deviation`, `low`, `high`, `seeds`.
    """
    rows = []
    for keys, group in frame.groupby(list(by), sort=True, dropna=False):
        found = summary(group[value].to_list(), confidence)
        rows.append((*keys, found.mean, found.deviation, found.low, found.high, found.seeds))
    return pd.DataFrame(rows, columns=[*by, "mean", "deviation", "low", "high", "seeds"])


@dataclass(frozen=True)
class Comparison:
    """A quantity under two settings with the same seeds.

    Attributes:
        difference: of the second from the first, over the pairs.
        t_probability: two-sided, of Student's paired test; nan below two pairs, or where all pairs differ alike.
        rank_probability: two-sided, of Wilcoxon's signed ranks; nan below two pairs, or where no pair differs.
    """

    difference: MeanOverSeeds
    t_probability: float
    rank_probability: float


def paired(first: pd.DataFrame, second: pd.DataFrame, value: str, on: Sequence[str] = (SEED,)) -> Comparison:
    """Compare a column of two frames whose rows belong together where they agree in the columns `on`.

    Raises:
        ValueError: a frame has two rows for one pair.
    """
    try:
        both = first.merge(second, on=list(on), suffixes=("_1", "_2"), validate="one_to_one")
    except pd.errors.MergeError:
        raise ValueError(f"several rows have the same {' and '.join(on)}, so there are no pairs") from None
    before, after = both[f"{value}_1"].to_numpy(np.float64), both[f"{value}_2"].to_numpy(np.float64)
    known = ~(np.isnan(before) | np.isnan(after))
    change = after[known] - before[known]
    found = summary(change.tolist())
    if len(change) < 2:
        return Comparison(found, math.nan, math.nan)
    t = math.nan if np.ptp(change) == 0 else float(stats.ttest_1samp(change, 0.0).pvalue)
    rank = float(stats.wilcoxon(change).pvalue) if np.any(change != 0) else math.nan
    return Comparison(found, t, rank)


def worst(frame: pd.DataFrame, by: Sequence[str], over: str, value: str, *, higher_is_better: bool) -> pd.DataFrame:
    """Return for each combination of `by` the mean and the worst over the values of another column.

    Args:
        frame: one row for each combination and value of `over`, already a mean over seeds.

    Returns:
        The columns `by`, `mean`, `worst`, and `at`: the value of `over` that is worst.
    """
    rows = []
    for keys, group in frame.groupby(list(by), sort=True):
        position = group[value].idxmin() if higher_is_better else group[value].idxmax()
        rows.append((*keys, float(group[value].mean()), float(group.loc[position, value]), group.loc[position, over]))
    return pd.DataFrame(rows, columns=[*by, "mean", "worst", "at"])
