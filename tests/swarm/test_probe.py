"""The probe: sketches tell distances, hostile ones are malformed, and only what the run would convict is foreign."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from btard.identity import Malformed
from btard.swarm.calibration import relative_distance
from btard.swarm.probe import BUCKETS, MAX_PROBE, Arithmetic, Probe, differences, is_foreign
from btard.vocabulary import Precision
from tests.peer.helpers import RUN, run_manifest

HERE = Arithmetic.here(torch.device("cpu"), Precision.FLOAT32)
VECTOR = torch.randn(100_003, generator=torch.Generator().manual_seed(1))
TRUE = Probe.of(VECTOR, RUN, HERE)


def off_by(share: float) -> torch.Tensor:
    """The vector and an error, dense or in one number, of this share of its length."""
    error = torch.randn(len(VECTOR), generator=torch.Generator().manual_seed(2))
    return VECTOR + error * (share * VECTOR.norm() / error.norm())


@pytest.mark.parametrize("share", [1e-6, 1e-3, 0.1, 1.0, 50.0])
def test_a_sketch_tells_how_far_two_vectors_are_apart(share: float) -> None:
    for other in (off_by(share), VECTOR * (1 + share)):
        told, true = Probe.of(other, RUN, HERE).distance(TRUE), relative_distance(other, VECTOR)
        assert told == pytest.approx(true, rel=0.15)


def test_an_error_in_few_numbers_is_told_too() -> None:
    other = VECTOR.clone()
    other[77] += 0.5 * VECTOR.norm()
    assert Probe.of(other, RUN, HERE).distance(TRUE) == pytest.approx(0.5, rel=0.15)


def test_errors_that_cancel_each_other_are_told_too() -> None:
    error = torch.zeros(len(VECTOR))
    error[: 40 * BUCKETS] = torch.tensor([1.0, -1.0]).repeat_interleave(BUCKETS).repeat(20)
    other = VECTOR + error * (0.5 * VECTOR.norm() / error.norm())
    assert Probe.of(other, RUN, HERE).distance(TRUE) == pytest.approx(0.5, rel=0.15)


def test_a_probe_goes_round_and_fits() -> None:
    assert Probe.decode(TRUE.encode()) == TRUE
    longest = Arithmetic(library="x" * 120, processor="x" * 120, instructions="x" * 120, numbers="x" * 120, threads=9)
    assert len(Probe.of(VECTOR, RUN, longest).encode()) < MAX_PROBE


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_is_infinitely_far(bad: float) -> None:
    other = VECTOR.clone()
    other[3] = bad
    broken = Probe.of(other, RUN, HERE)
    assert broken.distance(TRUE) == TRUE.distance(broken) == float("inf")
    assert TRUE.distance(Probe.of(torch.zeros(9), RUN, HERE)) == float("inf")
    assert is_foreign(broken, TRUE, run_manifest()) and is_foreign(TRUE, broken, run_manifest())


@pytest.mark.parametrize(
    "fields",
    [
        {"digest": "00"},
        {"sketch": "00" * 8 * (BUCKETS - 1)},
        {"sketch": "zz" * 8 * BUCKETS},
        {"more": 1},
        {"arithmetic": {}},
        {"arithmetic": HERE.model_dump() | {"threads": -1}},
        {"arithmetic": HERE.model_dump() | {"library": "x" * 121}},
    ],
    ids=str,
)
def test_a_probe_of_another_form_is_malformed(fields: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        Probe.decode(json.dumps(json.loads(TRUE.encode()) | fields).encode())


@given(st.binary(max_size=60) | st.just(b" " * (MAX_PROBE + 1)) | st.just(b"[" * 10_000))
def test_junk_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        Probe.decode(data)


def test_terminal_codes_of_strangers_are_not_shown() -> None:
    hostile = json.loads(TRUE.encode()) | {"arithmetic": HERE.model_dump() | {"library": "2.\x1b[31m"}}
    told = Probe.decode(json.dumps(hostile).encode()).arithmetic
    assert "\x1b" not in differences(HERE, told)


def test_the_runs_own_rules_decide_what_is_foreign() -> None:
    near, far = (Probe.of(off_by(share), RUN, HERE) for share in (0.02, 0.03))
    tolerant, exact = run_manifest(), run_manifest(validation="exact")
    assert [is_foreign(probe, TRUE, tolerant) for probe in (TRUE, near, far)] == [False, False, True]
    assert [is_foreign(probe, TRUE, exact) for probe in (TRUE, near, far)] == [False, True, True]


def test_what_differs_is_named() -> None:
    other = HERE.model_copy(update={"library": "9.9", "threads": HERE.threads + 1})
    assert differences(HERE, HERE) == ""
    assert differences(HERE, other) == (
        f"torch is {HERE.library} here and 9.9 there, the number of threads is {HERE.threads} here and "
        f"{HERE.threads + 1} there"
    )
