"""Swarms with a liar on the edge of a threshold, and a colluder that charges: no honest peer pays, and the liar does
once it is beyond."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from btard.behaviour import Behaviour, View
from btard.hashing import Payload
from btard.identity import PeerId
from btard.round.actions import AggregateRows
from btard.round.attempt.columns import scalars_malformation
from btard.round.evidence.evidence import Offence
from btard.round.messages.accusations import Charge, ChargeKind, Opinion
from btard.round.messages.bodies import Phase, Scalars
from btard.round.proof import verify
from btard.round.rules import AggregationRules, StepRules, VerificationRules
from btard.round.work.rows import aggregate_rows, row_length_excess
from btard.vectors.partition import Partition, dtype_of, from_wire, to_wire
from btard.verification.projection import norm_of
from btard.verification.scalars import aggregate_error, measure_tolerance, norm_tolerance, published_sum_tolerance
from btard.verification.thresholds import COVER_UP, LENGTH, SCALARS, SUM
from btard.vocabulary import WireType
from tests.btard.round.scene import Scene, under
from tests.btard.round.swarm import RULES, Swarm, keys, suspended, verdicts

IDS = tuple(key.peer_id for key in keys(8))
LIAR, MATE = IDS[2], IDS[5]


class OffScalars(Behaviour):
    """Publishes products, or norms, of everybody else's parts so many times the tolerance off."""

    def __init__(self, times: float, *, norms: bool) -> None:
        self.times, self.in_norms = times, norms

    def scalars(self, step: int, scalars: Scalars, view: View) -> Scalars | None:
        if view.my_part is None:
            return scalars
        products, norms = list(scalars.products), list(scalars.norms)
        for part in set(range(len(view.owners))) - {view.my_part}:
            if self.in_norms:
                norms[part] += self.times * norm_tolerance(norms[part])
            else:
                products[part] += self.times * measure_tolerance(norms[part], view.tau)
        return dataclasses.replace(scalars, products=tuple(products), norms=tuple(norms))


class OffSum(Behaviour):
    """Publishes a product of its own row that puts the sum of its part so many times its tolerance off."""

    def __init__(self, times: float) -> None:
        self.times, self.length = times, (0.0, 0)

    def aggregate(self, step: int, payload: Payload, view: View) -> Payload:
        value = from_wire(bytearray(payload), view.wire)
        self.length = (norm_of(value.numpy()), len(value))
        return payload

    def scalars(self, step: int, scalars: Scalars, view: View) -> Scalars | None:
        part = view.my_part
        if part is None:
            return scalars
        norms = [norm for _, norm in view.column.values()]
        error = aggregate_error(*self.length, view.wire)
        limit = float(published_sum_tolerance(norms, view.tau, residual=1e-6, error=error))
        others = math.fsum(product for peer, (product, _) in view.column.items() if peer != view.me)
        products = (*scalars.products[:part], self.times * limit - others, *scalars.products[part + 1 :])
        return dataclasses.replace(scalars, products=products)


class Accuser(Behaviour):
    """Charges one peer of one thing in every step, whatever it has found; of FALSE_SCALARS about its own part."""

    def __init__(self, kind: ChargeKind, accused: PeerId) -> None:
        self.kind, self.accused = kind, accused

    def charge(self, step: int, phase: Phase, honest: Charge | None, view: View) -> Charge | None:
        if phase is not Phase.CHECK or view.my_part is None or self.accused not in view.owners:
            return honest if honest is None or honest.accused != self.accused else None
        part = view.my_part if self.kind is ChargeKind.FALSE_SCALARS else view.owners.index(self.accused)
        return Charge(self.kind, self.accused, part)


def run(behaviours: dict[PeerId, Behaviour], rules: StepRules | None = None) -> Swarm:
    """Return a swarm of eight that has done a step without validators."""
    rules = rules or dataclasses.replace(RULES, verification=VerificationRules())
    return Swarm(8, steps=1, behaviours={IDS.index(p): b for p, b in behaviours.items()}, rules=rules).run()


def banned(swarm: Swarm) -> set[tuple[PeerId, Offence]]:
    """Return what every honest peer bans, with the offences: no honest peer, and none of them is left out."""
    found = []
    for peer in swarm.honest:
        assert len(peer.finished()) == 1, peer.stopped
        assert suspended(peer) <= {LIAR, MATE}
        for verdict in verdicts(peer):
            assert verify(verdict.evidence)
        found.append({(verdict.peer, verdict.evidence.offence) for verdict in verdicts(peer)})
    assert all(one == found[0] for one in found)
    assert {peer for peer, _ in found[0]} <= {LIAR, MATE}
    return found[0]


@pytest.mark.parametrize("norms", [False, True], ids=["products", "norms"])
@pytest.mark.parametrize("times, caught", [(0.99, False), (-0.99, False), (1.01, True), (-1.01, True)])
def test_a_false_number_is_accused_of_beyond_the_limit_only(times: float, caught: bool, norms: bool) -> None:
    swarm = run({LIAR: OffScalars(times * SCALARS.accuse, norms=norms)})
    assert banned(swarm) == ({(LIAR, Offence.FALSE_SCALARS)} if caught else set())


@pytest.mark.parametrize(
    "times, verdict",
    [
        (0.0, {(MATE, Offence.FALSE_ACCUSATION)}),
        (0.9 * SCALARS.acquit, {(MATE, Offence.FALSE_ACCUSATION)}),
        ((SCALARS.acquit + SCALARS.convict) / 2, set()),
        (1.1 * SCALARS.convict, {(LIAR, Offence.FALSE_SCALARS)}),
        (0.9 * SCALARS.accuse, {(LIAR, Offence.FALSE_SCALARS)}),
    ],
)
def test_a_charge_about_a_number_on_the_edge_costs_one_liar(times: float, verdict: set[tuple[PeerId, Offence]]) -> None:
    swarm = run({LIAR: OffScalars(times, norms=False), MATE: Accuser(ChargeKind.FALSE_SCALARS, LIAR)})
    assert banned(swarm) == verdict


@pytest.mark.parametrize("times, caught", [(0.99, False), (-0.99, False), (1.01, True), (-1.01, True)])
def test_a_wrong_sum_is_accused_of_beyond_the_limit_only(times: float, caught: bool) -> None:
    swarm = run({LIAR: OffSum(times * SUM.accuse)})
    assert banned(swarm) == ({(LIAR, Offence.WRONG_SUM)} if caught else set())


@pytest.mark.parametrize(
    "times, verdict",
    [
        (0.99 * SUM.acquit, {(MATE, Offence.FALSE_ACCUSATION)}),
        ((SUM.acquit + SUM.convict) / 2, set()),
        (1.01 * SUM.convict, {(LIAR, Offence.WRONG_SUM)}),
    ],
)
def test_a_charge_about_a_sum_on_the_edge_costs_one_liar(times: float, verdict: set[tuple[PeerId, Offence]]) -> None:
    assert banned(run({LIAR: OffSum(times), MATE: Accuser(ChargeKind.WRONG_SUM, LIAR)})) == verdict


@pytest.mark.parametrize("edge", ["acquit", "convict", "accuse"])
@pytest.mark.parametrize("wire", list(WireType))
def test_a_row_is_too_long_beyond_the_limit_only(edge: str, wire: WireType) -> None:
    rules = AggregationRules("centered_clip", tau=1.0, reference_peers=1, max_norm=1.0)
    limit = getattr(LENGTH, edge)
    long = torch.full((64,), 0.125)
    for _ in range(256):  # the wire type's grain: step up to the first row beyond the edge
        if row_length_excess(from_wire(to_wire(long, wire), wire), 1.0, wire) > limit:
            break
        long = long * (1 + 2.0**-13)
    rows = tuple(to_wire(row, wire) for row in (torch.full((64,), 0.125), long))
    found = aggregate_rows(AggregateRows(0, rules, rows, 1), wire)
    beyond = row_length_excess(from_wire(rows[1], wire), 1.0, wire)
    assert found.too_long == ((1,) if LENGTH.accuses(beyond) else ())


@pytest.mark.parametrize(
    "times, opinion, accuse, named",
    [
        (0.9 * SCALARS.acquit, Opinion.INNOCENT, False, False),
        (1.1 * SCALARS.acquit, Opinion.UNSURE, False, False),
        (1.1 * SCALARS.convict, Opinion.GUILTY, False, False),
        (1.1 * SCALARS.accuse, Opinion.GUILTY, True, False),
        (0.99 * COVER_UP, Opinion.GUILTY, True, False),
        (1.01 * COVER_UP, Opinion.GUILTY, True, True),
    ],
)
def test_an_owner_covers_up_only_what_it_would_have_accused_of(
    times: float, opinion: Opinion, accuse: bool, named: bool
) -> None:
    scene = Scene(under())
    target, part = scene.attempt.seats.owners[4], 1
    product, norm = scene.attempt.said.scalars[target].products[part], scene.attempt.said.scalars[target].norms[part]
    scene.publish(target, part, product + times * measure_tolerance(norm, scene.attempt.seats.tau), norm)
    found = scene.found(target)
    owner = scene.attempt.seats.owners[part]
    assert (found.opinion, found.accuse, found.accomplices) == (opinion, accuse, (owner,) if named else ())


@pytest.mark.parametrize("wire", list(WireType))
def test_no_norm_is_longer_than_two_rows_of_its_type(wire: WireType) -> None:
    partition = Partition(40, 5, wire)
    longest = 2 * torch.finfo(dtype_of(wire)).max * math.sqrt(8)
    for norm, fault in ((longest, False), (1.01 * longest, True), (1e308, True)):
        body = Scalars(bytes(32), (0.0,) * 5, (norm,) * 5, ()).encode()
        assert (scalars_malformation(body, partition, math.inf) is not None) is fault


class HugeNumbers(Behaviour):
    """Publishes the largest numbers there are, all of one sign, about the parts of a colluder."""

    def scalars(self, step: int, scalars: Scalars, view: View) -> Scalars | None:
        huge = tuple(1.7e308 if owner == LIAR else p for owner, p in zip(view.owners, scalars.products, strict=True))
        norms = tuple(1.7e308 if owner == LIAR else n for owner, n in zip(view.owners, scalars.norms, strict=True))
        return dataclasses.replace(scalars, products=huge, norms=norms)


def test_sums_beyond_any_float_crash_nobody() -> None:
    rules = dataclasses.replace(RULES, verification=VerificationRules())
    behaviours: dict[int, Behaviour] = {2: HugeNumbers(), 5: HugeNumbers()}
    swarm = Swarm(8, steps=1, behaviours=behaviours, rules=rules, rule="mean").run()
    assert banned(swarm) == {(LIAR, Offence.MALFORMED), (MATE, Offence.MALFORMED)}


class NanOwner(Accuser):
    """Publishes an aggregate of NaN, and charges a sender with what it then publishes about it."""

    def __init__(self, accused: PeerId) -> None:
        super().__init__(ChargeKind.FALSE_SCALARS, accused)

    def aggregate(self, step: int, payload: Payload, view: View) -> Payload:
        return to_wire(torch.full_like(from_wire(bytearray(payload), view.wire), math.nan), view.wire)

    def charge(self, step: int, phase: Phase, honest: Charge | None, view: View) -> Charge | None:
        return honest if view.my_part is None else Charge(self.kind, self.accused, view.my_part)


def test_no_number_about_an_aggregate_of_nan_is_a_lie() -> None:
    offences = {offence for _, offence in banned(run({LIAR: NanOwner(IDS[0])}))}
    assert offences <= {Offence.WRONG_AGGREGATE, Offence.FALSE_ACCUSATION} and offences
