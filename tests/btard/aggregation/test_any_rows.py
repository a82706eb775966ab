"""Rows that need not be finite: what is left out, and what is then declared of the others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from btard.aggregation import AggregationResult, BadRow, Rows, Rule, aggregate_any, make_rule
from btard.aggregation.rows import check_rows
from btard.configuration.rule import RULES

POISONS = {"nan": float("nan"), "infinity": float("inf"), "minus infinity": -float("inf")}


@dataclass(frozen=True)
class Last(Rule):
    """Returns the last row itself, which a rule must not, and remembers what was declared."""

    def aggregate(self, rows: Rows, *, n_byzantine: int) -> AggregationResult:
        checked = check_rows(rows)
        return AggregationResult(checked.rows[-1], residual=float(n_byzantine), selected=(len(checked) - 1,))


def rows_of(n: int, d: int) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", RULES.names())
@pytest.mark.parametrize("poison", POISONS.values(), ids=POISONS)
def test_every_rule_leaves_out_what_is_not_finite(name: str, poison: float) -> None:
    rule, rows, f = make_rule(name), rows_of(16, 300), 3
    expected = rule.aggregate(rows[: 16 - f], n_byzantine=0)
    given = rows.clone()
    given[16 - f :, 7] = poison
    found = aggregate_any(rule, given, n_byzantine=f)
    assert torch.equal(found.value, expected.value) and found.selected == expected.selected


@pytest.mark.parametrize("name", RULES.names())
def test_every_rule_finds_bad_rows_wherever_they_stand(name: str) -> None:
    rule, rows = make_rule(name), rows_of(15, 300)
    bad = torch.full((300,), float("nan"))
    found = aggregate_any(rule, [bad, *rows[:4], bad, *rows[4:], bad], n_byzantine=5)
    expected = rule.aggregate(rows, n_byzantine=2)
    assert torch.equal(found.value, expected.value)
    if expected.selected is not None:
        assert found.selected == tuple(index + (1 if index < 4 else 2) for index in expected.selected)


def test_more_bad_rows_than_declared_leave_no_liar() -> None:
    rows = rows_of(6, 5)
    rows[:3] = float("nan")
    found = aggregate_any(Last(), rows, n_byzantine=2)
    assert found.residual == 0.0 and found.selected == (5,)


def test_rows_without_a_finite_one_are_refused() -> None:
    with pytest.raises(ValueError, match="none of the 3 rows is finite"):
        aggregate_any(Last(), torch.full((3, 2), float("nan")), n_byzantine=1)


def test_a_malformed_row_is_named_by_its_position() -> None:
    nan = torch.full((5,), float("nan"))
    with pytest.raises(BadRow) as refusal:
        aggregate_any(make_rule("mean"), [nan, torch.ones(5), torch.ones(5).double()], n_byzantine=1)
    assert refusal.value.index == 2


def test_a_result_never_shares_memory_with_a_row() -> None:
    rows = rows_of(4, 5)
    for given in (rows, list(rows), rows.numpy(), [row.numpy() for row in rows]):
        found = aggregate_any(Last(), given, n_byzantine=0).value
        before = found.clone()
        rows += 1
        assert torch.equal(found, before)


def test_rows_in_the_same_memory_are_known() -> None:
    block, one = rows_of(4, 6), torch.ones(6)
    assert check_rows([block[0], one, block[1], one, one]).firsts.tolist() == [0, 1, 2, 1, 1]
    assert check_rows(block).firsts.tolist() == [0, 1, 2, 3]
    assert check_rows([one.numpy(), np.ones(6, dtype=np.float32), one.numpy()]).firsts.tolist() == [0, 1, 0]
