"""Calibration: repetitions are bit-equal, float64 is near, and the tolerance follows from what was measured."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from btard.errors import UserError
from btard.swarm.calibration import (
    ACCUSE_FACTOR,
    LEAST_ACCUSE,
    CalibrationWork,
    Spread,
    Tolerance,
    measure,
    numerics,
    relative_distance,
    table,
    tolerance,
)
from btard.tasks.registry import load_task
from btard.vocabulary import Precision

CPU = torch.device("cpu")


def work(precision: Precision = Precision.FLOAT32) -> CalibrationWork:
    return CalibrationWork(load_task("digits", "tiny"), 8, 1.0, precision, 1, CPU)


@pytest.fixture(scope="module")
def spreads() -> dict[str, Spread]:
    return {spread.variant: spread for spread in measure(work(), 4)}


def test_what_peers_repeat_is_bit_equal_and_float64_is_near(spreads: dict[str, Spread]) -> None:
    again = [spread for name, spread in spreads.items() if name.endswith("again")]
    assert len(again) >= 2
    for spread in (*again, spreads["state saved and loaded"]):
        assert spread.equal and spread.distances == [0.0] * 4
    assert any(name.startswith("2 threads") and spread.worst < 1e-5 for name, spread in spreads.items())
    double = spreads["float64 model"]
    assert not double.equal and not double.counts_for_exact
    assert 1e-9 < double.worst < 1e-5, "the same dropout, the same batch, other rounding"


def test_threads_are_as_before_and_progress_is_told() -> None:
    before, told = torch.get_num_threads(), list[int]()
    measure(work(), 2, told.append)
    assert torch.get_num_threads() == before
    assert told == [1, 2]


def test_half_precision_is_farther_from_the_truth(spreads: dict[str, Spread]) -> None:
    rough = {spread.variant: spread for spread in measure(work(Precision.BFLOAT16), 2)}
    assert rough["float64 model"].worst > 100 * spreads["float64 model"].worst


def test_a_tolerance_of_float32(spreads: dict[str, Spread]) -> None:
    found = tolerance(work(), list(spreads.values()))
    assert (found.task, found.size, found.samples) == ("digits", "tiny", 4)
    assert found.worst == max(spread.worst for spread in spreads.values())
    assert (found.accuse, found.convict) == (LEAST_ACCUSE, LEAST_ACCUSE / 2)
    assert found.exact == all(spread.equal for spread in spreads.values() if spread.counts_for_exact)
    assert torch.__version__ in found.numerics and found.numerics.endswith("float32")


def spread(variant: str, *distances: float, counts: bool = True) -> Spread:
    return Spread(variant, counts, list(distances), not any(distances))


def test_a_wide_spread_widens_tolerance_and_rules_out_exact() -> None:
    found = tolerance(work(), [spread("a", 0.0, 0.0), spread("b", 1e-3, 2e-3)])
    assert found.worst == 2e-3
    assert found.accuse == pytest.approx(ACCUSE_FACTOR * 2e-3) and found.convict == found.accuse / 2
    assert not found.exact
    assert found.reason.startswith("accuse is 10 times the largest honest distance, 0.002 (b)")
    assert found.reason.endswith("would ban an honest peer that differs from others in: b")


def test_bit_equality_of_what_peers_do_advises_exact_comparison() -> None:
    found = tolerance(work(), [spread("a", 0.0), spread("float64", 1e-7, counts=False)])
    assert found.exact and found.reason.endswith("can compare exactly")


def test_a_spread_that_hides_every_lie_is_refused() -> None:
    with pytest.raises(UserError, match=r"honest gradients of digits differ by 0\.2 of their length .* \(b\)"):
        tolerance(work(), [spread("b", 0.2)])


def test_the_signs_of_zeros_are_bits() -> None:
    compared = Spread("x")
    compared.add(torch.tensor([0.0, 1.0]), torch.tensor([-0.0, 1.0]))
    assert compared.distances == [0.0] and not compared.equal


def test_distances_are_relative() -> None:
    assert relative_distance(torch.tensor([3.0, 5.0]), torch.tensor([3.0, 4.0])) == pytest.approx(0.2)
    assert relative_distance(torch.zeros(2), torch.zeros(2)) == 0.0
    assert relative_distance(torch.ones(2), torch.zeros(2)) > 1e30


def test_the_table_has_a_line_for_each_variant(spreads: dict[str, Spread]) -> None:
    head, *lines = table(list(spreads.values())).splitlines()
    assert head.split()[-3:] == ["median", "p95", "max"]
    assert len(lines) == len(spreads)
    assert all(line.endswith("bit-equal") == spread.equal for line, spread in zip(lines, spreads.values(), strict=True))


def test_the_file_goes_round(tmp_path: Path, spreads: dict[str, Spread]) -> None:
    found = tolerance(work(), list(spreads.values()))
    found.write(tmp_path / "tolerance.json")
    assert Tolerance.model_validate_json((tmp_path / "tolerance.json").read_bytes()) == found
    with pytest.raises(UserError, match="cannot write"):
        found.write(tmp_path / "absent" / "tolerance.json")


def test_numerics_name_the_arithmetic() -> None:
    assert numerics(CPU, Precision.BFLOAT16).endswith(", bfloat16")
    assert numerics(CPU, Precision.FLOAT16).startswith(f"torch {torch.__version__}, ")
