"""Witnesses of owners' own rows, and parts that are collected again because most doubt them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import pytest

from btard.behaviour import Behaviour, View
from btard.hashing import Payload
from btard.identity import PeerId
from btard.round.actions import EncodeParts, InspectRow, Work
from btard.round.evidence.evidence import Offence
from btard.round.messages.bodies import Scalars
from btard.round.rules import StepRules, VerificationRules
from btard.transport.memory import SimulatedPeer
from btard.vectors.partition import from_wire, to_wire
from btard.vocabulary import WireType
from tests.btard.round.swarm import RULES, Swarm, offences, one_of, voids

COUNT, LIAR = 7, 3
EVERYONE = dataclasses.replace(RULES, verification=VerificationRules(validators=float(COUNT)))
NOBODY = dataclasses.replace(RULES, verification=VerificationRules(validators=0.0))


class Shifts(Behaviour):
    """Publishes an aggregate beside the true one, by so much in its first number."""

    def __init__(self, shift: float) -> None:
        self.shift = shift

    def aggregate(self, step: int, payload: Payload, view: View) -> Payload:
        vector = from_wire(bytearray(payload), WireType.FLOAT32)
        vector[0] += self.shift
        return to_wire(vector, WireType.FLOAT32)


class SelfCover(Shifts):
    """Balances the products of its part by a false one of its own row, which nobody else holds."""

    def scalars(self, step: int, scalars: Scalars, view: View) -> Scalars | None:
        if view.my_part is None:
            return scalars
        products = list(scalars.products)
        products[view.my_part] = -math.fsum(p for peer, (p, _) in view.column.items() if peer != view.me)
        return dataclasses.replace(scalars, products=tuple(products))


@pytest.mark.parametrize("shift", [1e-3, 0.05, 1.0])
def test_an_aggregate_beside_the_true_one_is_found_by_its_sum(shift: float) -> None:
    swarm = Swarm(COUNT, steps=2, behaviours={LIAR: Shifts(shift)}, rules=NOBODY).run()
    swarm.check_agreement()
    for peer in swarm.honest:
        assert offences(peer) == {swarm.peers[LIAR].peer_id: Offence.WRONG_SUM}
        assert len(peer.finished()) == 2


@pytest.mark.parametrize("shift", [1e-3, 0.05])
@pytest.mark.parametrize("rules, caught", [(EVERYONE, True), (NOBODY, False)], ids=["witnessed", "unwitnessed"])
def test_the_witness_of_an_owners_row_finds_a_balanced_sum(rules: StepRules, caught: bool, shift: float) -> None:
    swarm = Swarm(COUNT, steps=1, behaviours={LIAR: SelfCover(shift)}, rules=rules).run()
    swarm.check_agreement()
    expected = {swarm.peers[LIAR].peer_id: Offence.FALSE_SCALARS} if caught else {}
    assert all(offences(peer) == expected for peer in swarm.honest)


def test_each_owner_has_one_witness_and_never_itself() -> None:
    looked: list[tuple[PeerId, PeerId]] = []

    class Watches(SimulatedPeer):
        def work(self, action) -> None:  # type: ignore[no-untyped-def]
            if isinstance(action, InspectRow):
                looked.append((self.peer_id, action.author))
            super().work(action)

    swarm = Swarm(COUNT, steps=1, rules=EVERYONE, peer_type=Watches).run()
    assert sorted(owner for _, owner in looked) == list(swarm.genesis.members)
    assert all(witness != owner for witness, owner in looked)
    assert not any(voids(peer) for peer in swarm.peers)


class Hides(Behaviour):
    """Shows its own row to no witness."""

    own: bytes | None = None

    def part(self, step: int, receiver: PeerId, payload: Payload) -> Payload | None:
        return None if self.own is not None and bytes(payload) == self.own else payload


def test_hiding_a_row_costs_the_owner_and_at_most_its_witness() -> None:
    hides = Hides()

    class Remembers(SimulatedPeer):
        def work(self, work: Work) -> None:
            super().work(work)
            machine = self.session.machine
            if isinstance(work, EncodeParts) and machine is not None and machine.attempt.seats.my_part is not None:
                row = machine.attempt.carried.rows.get((self.peer_id, machine.attempt.seats.my_part))
                hides.own = None if row is None else bytes(row)

    swarm = Swarm(COUNT, steps=2, behaviours={LIAR: hides}, rules=EVERYONE, peer_type=one_of(Remembers, LIAR)).run()
    liar = swarm.peers[LIAR]
    assert hides.own is not None
    swarm.check_agreement()
    goers = [peer for peer in swarm.honest if len(peer.finished()) == 2]
    assert len(goers) >= len(swarm.honest) - 1
    for peer in goers:
        assert offences(peer) == {}, "silence is no proof"
        assert liar.peer_id not in peer.finished()[-1].roster.members


class Doubts(Behaviour):
    def __init__(self, doubts: Callable[[View], tuple[int, ...]]) -> None:
        self.doubts = doubts

    def scalars(self, step: int, scalars: Scalars, view: View) -> Scalars | None:
        return dataclasses.replace(scalars, doubts=self.doubts(view))


@pytest.mark.parametrize("doubters, again", [(3, 0), (4, COUNT * COUNT)])
def test_doubts_of_more_than_half_have_a_part_collected_again(doubters: int, again: int) -> None:
    checked: list[int] = []

    class Watches(SimulatedPeer):
        def work(self, action) -> None:  # type: ignore[no-untyped-def]
            if type(action).__name__ == "AggregateAgain":
                checked.append(action.part)
            super().work(action)

    everything = Doubts(lambda view: tuple(range(len(view.owners))))
    liars = dict.fromkeys(range(doubters), everything)
    swarm = Swarm(COUNT, steps=1, behaviours=dict(liars), rules=NOBODY, peer_type=Watches).run()
    swarm.check_agreement()
    assert len(checked) == again, "every peer, every part"
    for peer in swarm.peers:
        assert len(peer.finished()) == 1 and offences(peer) == {}
