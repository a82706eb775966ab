"""Measuring blocks."""

from __future__ import annotations

from itertools import count

import pytest

from btard.pipeline.stages.cost import Costs, measure_costs
from tests.pipeline.tiny import FAMILIES, tiny_config, tiny_state


@pytest.mark.parametrize("name", FAMILIES)
def test_every_part_is_measured(name: str) -> None:
    config = tiny_config(name)
    ticks = count()
    costs = measure_costs(config, tiny_state(config), sequence=8, repeats=2, clock=lambda: float(next(ticks)))
    assert costs == Costs(1.0, (1.0,) * 4, 1.0)
    assert next(ticks) == 2 * 3 * 6  # two readings around each of three passes through six parts


def test_a_costly_head_has_fewer_blocks_beside_it() -> None:
    assert Costs(0.0, (1.0,) * 6, 2.0).split(2).blocks == (4, 2)
