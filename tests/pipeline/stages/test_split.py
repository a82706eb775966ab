"""How blocks are shared among stages."""

from __future__ import annotations

import pytest

from btard.errors import UserError
from btard.pipeline.stages.split import Split


def test_a_split_is_read_as_it_is_written() -> None:
    assert Split.parse("2-3-1") == Split((2, 3, 1))
    assert str(Split((2, 3, 1))) == "2-3-1"


@pytest.mark.parametrize("text", ["", "2-", "0-3", "a-1", "-1", "2--1", "99999-1", "²-1"])
def test_a_text_that_is_no_split_is_refused(text: str) -> None:
    with pytest.raises(UserError):
        Split.parse(text)


def test_spans_cover_every_block_once() -> None:
    split = Split((2, 3, 1))
    assert [list(split.span(stage)) for stage in range(3)] == [[0, 1], [2, 3, 4], [5]]


def test_an_even_split_differs_by_one_block() -> None:
    assert Split.even(8, 3).blocks == (3, 3, 2)
    with pytest.raises(UserError, match="1 to 2 stages"):
        Split.even(2, 3)


def test_a_split_by_cost_speeds_up_the_slowest_stage() -> None:
    assert Split.by_cost([1, 1, 1, 3], 2).blocks == (3, 1)
    assert Split.by_cost([1] * 6, 3, first=0.0, last=2.0).blocks == (2, 3, 1)
    assert Split.by_cost([1, 1, 1], 3).blocks == (1, 1, 1)
