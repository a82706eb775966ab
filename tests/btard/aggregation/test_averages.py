from __future__ import annotations

import numpy as np
import pytest
import torch

from btard.aggregation.averages import mean_of, means_of, means_of_tails
from btard.aggregation.rows import check_rows

GROUPS = [(0, 1, 2, 3), (0, 2, 3, 6), (5,), (1, 4, 5, 6)]


def rows_of(n: int, d: int) -> torch.Tensor:
    rows = torch.randn(n, d, generator=torch.Generator().manual_seed(0))
    rows[:, ::7], rows[:, 1::7] = -0.0, 1e38
    # What is added between a large number and its opposite is lost, so the order of the sum shows.
    rows[0, 2::7], rows[1, 2::7] = 1e38, -1e38
    return rows


@pytest.mark.parametrize("d", [1, 20_001])
def test_a_mean_has_the_same_bits_wherever_rows_lie(d: int) -> None:
    rows = rows_of(7, d)
    apart = [row.clone() for row in rows]
    strided = rows.T.contiguous().T
    alone = [mean_of(check_rows(rows), group) for group in GROUPS]
    for given in (rows, apart, strided):
        for groups in (GROUPS, GROUPS[:1], GROUPS[1:3], GROUPS * 4):
            for group, mean in zip(groups, means_of(check_rows(given), groups), strict=True):
                assert mean.numpy().tobytes() == alone[GROUPS.index(group)].numpy().tobytes()


def test_a_mean_is_rounded_once() -> None:
    rows = rows_of(7, 20_001)
    for group in GROUPS:
        exact = sum((rows[position].double() for position in group), torch.zeros(20_001, dtype=torch.float64)) / len(
            group
        )
        assert np.array_equal(mean_of(check_rows(rows), group).numpy(), exact.float().numpy())


@pytest.mark.parametrize("d", [1, 70_001])
def test_means_of_tails_leave_out_the_first_rows(d: int) -> None:
    rows = rows_of(7, d)
    order = (3, 0, 6, 5, 1)
    for given in (rows, [row.clone() for row in rows]):
        means = means_of_tails(check_rows(given), order, 5)
        for gone, mean in enumerate(means):
            exact = sum(rows[position].double() for position in reversed(order[gone:])) / (5 - gone)  # type: ignore[union-attr]
            assert np.array_equal(mean.numpy(), exact.float().numpy())
    assert len(means_of_tails(check_rows(rows), order, 2)) == 2


def test_the_mean_of_one_row_is_a_copy() -> None:
    rows = rows_of(2, 100)
    mean = mean_of(check_rows(rows), (1,))
    assert mean.numpy().tobytes() == rows[1].numpy().tobytes()
    assert mean.untyped_storage().data_ptr() != rows.untyped_storage().data_ptr()
