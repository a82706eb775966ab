"""Running statistics say when something is far from what usually crosses a border."""

from __future__ import annotations

import torch

from btard.pipeline.defence.statistics import BorderStatistics


def test_only_what_is_far_off_is_strange() -> None:
    border, draw = BorderStatistics(), torch.Generator().manual_seed(1)
    assert not border.strange(torch.full((4, 4), 1e6)), "nothing is known at first"
    border = BorderStatistics()
    for step in range(60):
        growing = (1 + step / 60) * torch.randn(400, generator=draw)
        assert not border.strange(growing), step
    assert border.strange(5 * torch.randn(400, generator=draw) * 2)
    assert border.strange(torch.zeros(400))
    assert not border.strange(2 * torch.randn(400, generator=draw)), "what is strange leaves no trace"
