"""When two computations count as the same."""

from __future__ import annotations

import pytest
import torch

from btard.pipeline.caches.shared import SendForm, SharedBoundary, ShownEntries
from btard.pipeline.codecs import make_codec
from btard.pipeline.defence.comparison import ComputationCheck

OWN = torch.linspace(-1, 1, 64).reshape(2, 4, 8)


def test_every_bit_counts_unless_something_is_granted() -> None:
    other = OWN.clone()
    other[0, 0, 0] += 1e-7
    assert ComputationCheck().same(OWN, OWN.clone()) and not ComputationCheck().same(OWN, other)
    assert ComputationCheck(relative_error=1e-6).same(OWN, other)
    assert not ComputationCheck(relative_error=1e-6).same(OWN, OWN * 1.001)
    assert not ComputationCheck(relative_error=0.5).same(OWN, torch.full_like(OWN, torch.nan))


@pytest.mark.parametrize("text", ["fixpoint:bits=4,rounding=nearest", "delta:bits=4,rounding=nearest"])
def test_a_few_codes_may_differ_by_one_level(text: str) -> None:
    codec, shape, ids = make_codec(text), (2, 4, 8), [1, 2]
    store = None if text.startswith("fix") else ShownEntries({n: bytes(64) for n in ids})
    boundary, seeds = SharedBoundary(codec, store), [0, 0]

    def written(values: torch.Tensor) -> bytes:
        return boundary.encode(ids, values, seeds, SendForm.CODED, keep=False)

    def same(values: torch.Tensor, share: float) -> bool:
        granted = ComputationCheck(code_share=share)
        return boundary.same(written(OWN), written(values), ids, shape, SendForm.CODED, granted)

    step = OWN.amax((0, 1)) / 7
    one, two, all_of_them = OWN.clone(), OWN.clone(), OWN + 0.0
    one[0, 1, 3] += step[3]
    two[0, 1, 3] += 2 * step[3]
    all_of_them[:, 1:3] += 0.9 * step
    assert same(one, 0.02) and not same(one, 0.01)
    assert not same(two, 0.02) and not same(all_of_them, 0.02)


def test_what_is_granted_is_a_share() -> None:
    with pytest.raises(ValueError, match="at least 0 and below 1"):
        ComputationCheck(relative_error=1.0)
