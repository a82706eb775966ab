"""Products and norms: which peers owe them, what is false about them, and whose column does not add up."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import pytest

from btard.behaviour import Behaviour, Outgoing, View
from btard.identity import Envelope, MessageKind, PeerId
from btard.round.evidence.evidence import Offence
from btard.round.messages.accusations import Charge, ChargeKind, Report
from btard.round.messages.bodies import Phase, Scalars
from btard.transport.memory import SimulatedPeer
from tests.btard.round.swarm import Swarm, keys, offences, one_of

PEERS = tuple(key.peer_id for key in keys(7))


class Published(Behaviour):
    """Publishes other scalars than the true ones."""

    def __init__(self, change: Callable[[Scalars, View], Scalars]) -> None:
        self.change = change

    def scalars(self, step: int, scalars: Scalars, view: View) -> Scalars | None:
        return self.change(scalars, view)


def replaced(values: tuple[float, ...], part: int, value: float) -> tuple[float, ...]:
    return (*values[:part], value, *values[part + 1 :])


def others_part(view: View) -> int:
    """The first part that the liar does not own."""
    return 0 if view.my_part != 0 else 1


LIES: dict[str, tuple[Callable[[Scalars, View], Scalars], Offence]] = {
    "a product": (
        lambda s, v: dataclasses.replace(s, products=replaced(s.products, others_part(v), 0.9 * s.norms[0])),
        Offence.FALSE_SCALARS,
    ),
    "a norm": (
        lambda s, v: dataclasses.replace(s, norms=replaced(s.norms, others_part(v), 2 * s.norms[0] + 1)),
        Offence.FALSE_SCALARS,
    ),
    "a norm of NaN": (
        lambda s, v: dataclasses.replace(s, norms=replaced(s.norms, 0, math.nan)),
        Offence.MALFORMED,
    ),
    "an infinite product": (
        lambda s, v: dataclasses.replace(s, products=replaced(s.products, 0, math.inf)),
        Offence.MALFORMED,
    ),
    "a product beyond any bound": (
        lambda s, v: dataclasses.replace(s, products=replaced(s.products, 0, 1000.0)),
        Offence.MALFORMED,
    ),
    "a negative norm": (
        lambda s, v: dataclasses.replace(s, norms=replaced(s.norms, 0, -1.0)),
        Offence.MALFORMED,
    ),
    "one part too few": (
        lambda s, v: dataclasses.replace(s, products=s.products[1:], norms=s.norms[1:]),
        Offence.MALFORMED,
    ),
    "a doubt about no part": (lambda s, v: dataclasses.replace(s, doubts=(99,)), Offence.MALFORMED),
}


@pytest.mark.parametrize("lie", LIES)
def test_the_author_of_false_numbers_is_banned(lie: str) -> None:
    change, offence = LIES[lie]
    swarm = Swarm(7, steps=2, behaviours={3: Published(change)}).run()
    swarm.check_agreement()
    for peer in swarm.honest:
        assert offences(peer) == {PEERS[3]: offence}
        assert len(peer.finished()) == 2


class OnlyTo(Behaviour):
    """Tells one victim other numbers than everyone else."""

    def __init__(self, victim: PeerId, change: Callable[[Scalars], Scalars]) -> None:
        self.victim = victim
        self.change = change

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> list[Outgoing] | None:
        if envelope.kind is not MessageKind.SCALARS or receiver != self.victim:
            return None
        return [Outgoing(sign(self.change(Scalars.decode(envelope.body)).encode()).encode())]


@pytest.mark.parametrize(
    "change",
    [
        lambda s: dataclasses.replace(s, norms=tuple(1.5 * norm + 0.1 for norm in s.norms)),
        lambda s: dataclasses.replace(s, products=tuple(-product for product in s.products)),
        lambda s: dataclasses.replace(s, doubts=(0, 1, 2)),
    ],
)
def test_a_peer_that_alone_got_false_numbers_is_no_false_accuser(change: Callable[[Scalars], Scalars]) -> None:
    swarm = Swarm(7, steps=2, behaviours={2: OnlyTo(PEERS[4], change)}).run()
    swarm.check_agreement()
    for peer in swarm.honest:
        assert offences(peer) == {PEERS[2]: Offence.EQUIVOCATION}
        assert len(peer.finished()) == 2


class Talkative(SimulatedPeer):
    """Publishes numbers although it is a validator, which has no vector."""

    said = 0

    def perform(self, actions) -> None:  # type: ignore[no-untyped-def]
        super().perform(actions)
        machine = self.session.machine
        if machine is None or machine.attempt.seats.target is None or self.said > machine.attempt.seats.roster.step:
            return
        self.said = machine.attempt.seats.roster.step + 1
        attempt = machine.attempt
        zeros = (0.0,) * attempt.seats.partition.count
        envelope = Envelope.sign(
            self.key,
            run=self.rules.run,
            step=attempt.seats.roster.step,
            attempt=attempt.seats.number,
            kind=MessageKind.SCALARS,
            body=Scalars(attempt.seats.attempt_id, zeros, zeros, ()).encode(),
        )
        self.network.deliver_all(
            self.peer_id, attempt.seats.others, lambda to: to.receive(self.peer_id, envelope.encode())
        )


def test_numbers_of_a_validator_neither_help_nor_hinder() -> None:
    swarm = Swarm(5, steps=8, peer_type=Talkative).run()
    swarm.check_agreement()
    assert sum(peer.said > 0 for peer in swarm.peers) >= 2, "the draw has made some of them validators"
    for peer in swarm.peers:
        assert len(peer.finished()) == 8 and len(peer.history) == 8


@pytest.mark.parametrize("attempt_id", [b"", bytes(32)], ids=["the attempt's", "another"])
@pytest.mark.parametrize("kind", [ChargeKind.WRONG_SUM, ChargeKind.FALSE_SCALARS])
def test_numbers_of_too_few_parts_and_their_charge_harm_nobody(kind: ChargeKind, attempt_id: bytes) -> None:
    """The court must not look into numbers that are not there."""

    class Confuses(Behaviour):
        def scalars(self, step: int, scalars: Scalars, view: View) -> Scalars | None:
            return Scalars(attempt_id or scalars.attempt_id, (), (), ())

    class Accuses(SimulatedPeer):
        """Charges at once, when it has the numbers of others."""

        def receive(self, sender: PeerId, data: bytes) -> None:
            super().receive(sender, data)
            machine = self.session.machine
            if machine is None or sender != PEERS[3] or Envelope.decode(data).kind is not MessageKind.SCALARS:
                return
            attempt = machine.attempt
            accused = PEERS[3] if kind is ChargeKind.FALSE_SCALARS else attempt.seats.owners[0]
            charge = Charge(kind, accused, attempt.seats.my_part or 0 if kind is ChargeKind.FALSE_SCALARS else 0)
            report = Report(Phase.MEASURE, False, attempt.seats.members, (), charge, ())
            self.perform(machine._settlement.freeze(self.network.now, Phase.MEASURE, {}, [], charge))
            assert report.charge == charge

    swarm = Swarm(7, steps=2, behaviours={3: Confuses(), 5: Behaviour()}, peer_type=one_of(Accuses, 5)).run()
    swarm.check_agreement()
    for peer in swarm.honest:
        assert len(peer.finished()) == 2
        assert set(offences(peer)) <= {PEERS[3], PEERS[5]}
