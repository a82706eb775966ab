"""The heavy work of measuring: products, norms and sums, the same for all that compute them."""

from __future__ import annotations

import math

import pytest
import torch

from btard.round.actions import InspectRow
from btard.round.rules import AggregationRules
from btard.round.work.rows import inspect_row
from btard.vectors.partition import Partition, from_wire, to_wire
from btard.verification.projection import projection_of
from btard.vocabulary import WireType
from tests.btard.round.scene import PEERS, R, Scene, under
from tests.btard.round.swarm import RULES


@pytest.mark.parametrize("wire", list(WireType))
@pytest.mark.parametrize("rule", ["centered_clip", "mean"])
def test_owner_and_sender_agree_and_columns_sum_to_zero(wire: WireType, rule: str) -> None:
    scene = Scene(under(wire=wire, aggregation=AggregationRules(rule, 1.0, 5)))
    for part in range(5):
        measured = scene.measured(PEERS[0], part)
        for peer, (product, norm) in zip(PEERS, measured.column, strict=True):
            scalars = scene.attempt.said.scalars[peer]
            assert (scalars.products[part], scalars.norms[part]) == pytest.approx((product, norm), abs=1e-12)
        tolerance = {WireType.FLOAT32: 1e-4, WireType.FLOAT16: 0.05, WireType.BFLOAT16: 0.3}[wire]
        assert abs(sum(product for product, _ in measured.column)) < tolerance
        assert scene.again(part) <= 1.0
    assert measured.doubts == measured.not_finite == ()


def test_a_measured_product_is_that_of_the_clipped_deviation() -> None:
    scene = Scene(under(aggregation=AggregationRules("centered_clip", 0.1, 5)))
    partition, tau = scene.attempt.seats.partition, scene.attempt.seats.tau
    aggregate = from_wire(partition.view(scene.attempt.carried.flat, 1), partition.wire).double()
    deviation = scene.vectors[PEERS[2]][slice(*partition.bounds(1))].double() - aggregate
    norm = float(deviation.norm())
    z = projection_of(R, partition).direction(1)
    product, measured = scene.measured(PEERS[2]).own[1]
    assert norm > tau
    assert (product, measured) == pytest.approx((float(z @ deviation) * tau / norm, norm))
    row = InspectRow(0, R, partition, tau, PEERS[2], 1, scene.parts[PEERS[2]][1], scene.attempt.carried.flat)
    inspected = inspect_row(row, scene.attempt.seats.rules.aggregation)
    assert (inspected.product, inspected.norm, inspected.finite) == pytest.approx((product, measured, True))
    assert inspected.too_long == 0.0


def test_before_the_draw_a_row_shows_its_form_alone() -> None:
    scene = Scene()
    for bad in (math.nan, math.inf, 1.0):
        row = to_wire(torch.full((8,), bad), WireType.FLOAT32)
        action = InspectRow(0, b"", scene.attempt.seats.partition, 1.0, PEERS[1], 0, row, scene.attempt.carried.flat)
        found = inspect_row(action, scene.attempt.seats.rules.aggregation)
        assert (found.product, found.norm, found.finite) == (0.0, 0.0, bad == 1.0)


def spoiled(scene: Scene, part: int, number: float) -> Scene:
    payload = to_wire(torch.full((8,), number), WireType.FLOAT32)
    scene.attempt.seats.partition.view(scene.attempt.carried.flat, part)[:] = payload
    return scene


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_non_finite_aggregate_is_named_and_the_rest_measured(bad: float) -> None:
    scene = Scene()
    before, after = scene.measured(PEERS[0], 2), spoiled(scene, 1, bad).measured(PEERS[0], 2)
    assert after.not_finite == (1,) and after.own[1] == (0.0, 0.0) and 1 not in after.doubts
    assert (after.own[0], after.own[2], after.column) == (before.own[0], before.own[2], before.column)
    assert all(math.isfinite(number) for pair in after.own for number in pair)
    assert scene.again(1) == math.inf


def test_an_aggregate_far_from_the_own_row_is_doubted() -> None:
    scene = Scene()
    assert spoiled(scene, 3, 100.0).measured(PEERS[0]).doubts == (3,)
    assert spoiled(scene, 3, 0.0).measured(PEERS[0]).doubts == (), "zero is as far away as an honest row is long"


@pytest.mark.parametrize("shift", [1e-3, 0.1, 10.0])
@pytest.mark.parametrize("rule", ["centered_clip", "mean"])
def test_an_aggregate_beside_the_fixed_point_is_off_balance(shift: float, rule: str) -> None:
    scene = Scene(under(aggregation=AggregationRules(rule, 1.0, 5)))
    view = scene.attempt.seats.partition.view(scene.attempt.carried.flat, 2)
    true = from_wire(bytearray(view), WireType.FLOAT32)
    direction = torch.zeros(len(true))
    direction[0] = shift
    view[:] = to_wire(true + direction, WireType.FLOAT32)
    assert scene.again(2) > 2.0
    assert scene.again(1) <= 1.0


def test_the_balance_leaves_out_what_an_owner_must_leave_out() -> None:
    scene = Scene()
    scene.vectors[PEERS[4]] = torch.full((40,), math.nan)
    scene.aggregate()
    assert all(scene.again(part) <= 1.0 for part in range(5))


def test_the_partition_of_an_attempt_is_that_of_its_workers() -> None:
    assert Scene(newcomers=(PEERS[4],)).attempt.seats.partition == Partition(40, 4, RULES.wire)
