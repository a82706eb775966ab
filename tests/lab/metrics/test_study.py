"""The 24 numbers are those of the published formulas."""

from __future__ import annotations

import math

import pytest
import torch

from btard.lab.metrics.study import STUDY_COLUMNS, Curvature, VectorSpread, group_of
from tests.lab.training.helpers import experiment

NAMES = """
Step number|Training point count|Average loss|l2 from origin
Sampled gradient deviation|Honest gradient deviation|Attack gradient deviation
Sampled gradient norm|Honest gradient norm|Attack gradient norm|Defense gradient norm
Sampled max coordinate|Honest max coordinate|Attack max coordinate|Defense max coordinate
Sampled-honest cosine|Sampled-attack cosine|Sampled-defense cosine
Honest-attack cosine|Honest-defense cosine|Attack-defense cosine
Sampled-prev cosine|Sampled composite curvature|Attack acceptation ratio
"""


def test_columns_have_the_published_names_and_order() -> None:
    assert list(STUDY_COLUMNS) == NAMES.strip().replace("\n", "|").split("|") and len(STUDY_COLUMNS) == 24


@pytest.mark.parametrize("chunks", [[6], [1] * 6, [4, 2], [1, 5]])
def test_spread_does_not_depend_on_chunks(chunks: list[int]) -> None:
    rows = torch.randn(6, 30, generator=torch.Generator().manual_seed(1)) + 100
    spread, start = VectorSpread(30, rows.device), 0
    for count in chunks:
        some = rows[start : start + count]
        spread.add([(slice(0, 10), some[:, :10]), (slice(10, 30), some[:, 10:])])
        start += count
    average = rows.double().mean(0)
    deviation = math.sqrt(float(((rows.double() - average) ** 2).sum()) / 5)
    assert torch.allclose(spread.group.average.double(), average, atol=1e-4)
    assert spread.group.deviation == pytest.approx(deviation, rel=1e-5)


def test_equal_rows_have_no_deviation_and_one_has_none() -> None:
    row = torch.ones(4)
    same, one = group_of([row] * 3), group_of([row])
    assert same is not None and one is not None and group_of([]) is None
    assert (same.count, same.deviation) == (3, 0.0) and math.isnan(one.deviation)


@pytest.mark.parametrize("width", [30, 30_000, 70_000])
def test_spread_is_that_of_rows_in_one_block_and_apart(width: int) -> None:
    rows = torch.randn(5, width, generator=torch.Generator().manual_seed(1)) + 10
    average = rows.double().mean(0)
    deviation = math.sqrt(float(((rows.double() - average) ** 2).sum()) / 4)
    for given in (list(rows), [row.clone() for row in rows]):
        group = group_of(given)
        assert group is not None and group.count == 5
        assert torch.allclose(group.average.double(), average, atol=1e-5)
        assert group.deviation == pytest.approx(deviation, rel=1e-5)


@pytest.mark.parametrize("past", [1, 3, 50])
def test_curvature_is_the_published_sum(past: int) -> None:
    averages = torch.randn(9, 20, generator=torch.Generator().manual_seed(2)).double()
    curvature = Curvature(0.9, past)
    for t, average in enumerate(averages):
        before, found = curvature(average)
        expected = 0.9 * sum(0.9**i * float(average @ averages[t - 1 - i]) for i in range(min(past, t)))
        assert found == pytest.approx(expected, abs=1e-9)
        if t:
            cosine = float(torch.nn.functional.cosine_similarity(average, averages[t - 1], dim=0))
            assert before == pytest.approx(cosine)
        else:
            assert math.isnan(before)


def test_a_row_of_a_run_follows_from_its_vectors() -> None:
    made = experiment(attackers=2, attack="opposite", momentum_at="worker", rule="coordinate_median", steps=3)
    made.run(until=2)
    before, start = made.parameters.clone(), made.training.state()["origin"]
    combine, submitted = made.training.combiner.combine, []
    made.training.combiner.combine = lambda rows, f: submitted.append(rows) or combine(rows, f)  # type: ignore
    made.run()
    row = made.study.iloc[2]
    rows = torch.stack(list(submitted[-1])).double()
    honest, attack, defense = rows[:5].mean(0), rows[5:].mean(0), combine(submitted[-1], 2).value.double()
    cosine = torch.nn.functional.cosine_similarity(honest, defense, dim=0)
    assert row["Step number"] == 2 and row["Training point count"] == 2 * 8 * 5
    assert row["l2 from origin"] == pytest.approx(float((before - start).norm()), rel=1e-5)
    assert row["Honest gradient deviation"] == pytest.approx(float((rows[:5] - honest).norm()) / 2, rel=1e-5)
    assert row["Attack gradient deviation"] == 0 and row["Attack max coordinate"] == pytest.approx(
        float(attack.abs().max()), rel=1e-5
    )
    assert row["Defense gradient norm"] == pytest.approx(float(defense.norm()), rel=1e-5)
    assert row["Honest-defense cosine"] == pytest.approx(float(cosine), rel=1e-4)
    assert row["Honest-attack cosine"] == pytest.approx(-1.0, rel=1e-5)


def test_without_momentum_sampled_and_honest_are_alike() -> None:
    study = experiment(momentum=0.0, momentum_at="worker", steps=3).run().study
    for what in ("gradient deviation", "gradient norm", "max coordinate"):
        assert list(study[f"Sampled {what}"]) == pytest.approx(list(study[f"Honest {what}"]), rel=1e-5)
