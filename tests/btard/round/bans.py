"""Evidence of every offence, as an honest peer of a simulated swarm writes it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from functools import cache

import torch

from btard.behaviour import Behaviour, LeaveReason, Outgoing, View
from btard.hashing import Payload, digest
from btard.identity import Envelope, MessageKind, PeerId
from btard.round.evidence.evidence import Evidence, Offence
from btard.round.messages.accusations import Charge, ChargeKind
from btard.round.messages.bodies import Commit, Phase, Reveal, Scalars
from btard.round.roster import Roster
from btard.round.rules import AggregationRules, StepRules, VerificationRules
from btard.transport.memory import SimulatedPeer
from btard.vectors.partition import to_wire
from btard.vocabulary import WireType
from tests.btard.round.swarm import RULES, Swarm, keys, verdicts

COUNT, LIAR, OTHER = 7, 3, 5
KEYS = keys(COUNT)
PEERS = tuple(key.peer_id for key in KEYS)
Transmitted = Sequence[Outgoing] | None


class TwoCommits(Behaviour):
    def transmit(self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]) -> Transmitted:
        if envelope.kind is not MessageKind.COMMIT or receiver in PEERS[:3]:
            return None
        other = dataclasses.replace(Commit.decode(envelope.body), share=digest(b"other"))
        return [Outgoing(sign(other.encode()).encode())]


class Mismatch(Behaviour):
    def part_digest(self, step: int, receiver: PeerId, digest: bytes) -> bytes:
        return bytes(32)


class TooFewParts(Behaviour):
    def commit(self, step: int, commit: Commit, view: View) -> Commit | None:
        return dataclasses.replace(commit, parts=commit.parts[1:])


class OtherShare(Behaviour):
    def reveal(self, step: int, reveal: Reveal, view: View) -> Reveal | None:
        return dataclasses.replace(reveal, share=bytes(32))


class Lottery(Behaviour):
    def leaves(self, step: int, following: Roster) -> LeaveReason | None:
        return LeaveReason.LOTTERY


class FalseProduct(Behaviour):
    def scalars(self, step: int, scalars: Scalars, view: View) -> Scalars | None:
        part = 0 if view.my_part != 0 else 1
        products = list(scalars.products)
        products[part] = -products[part] + 0.1
        return dataclasses.replace(scalars, products=tuple(products))


class Gradient(Behaviour):
    def __init__(self, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.change = change

    def gradient(self, step: int, gradient: torch.Tensor) -> torch.Tensor:
        return self.change(gradient)


class OwnAggregate(Behaviour):
    def __init__(self, number: float) -> None:
        self.number = number

    def aggregate(self, step: int, payload: Payload, view: View) -> Payload:
        return to_wire(torch.full((len(payload) // 4,), self.number), WireType.FLOAT32)


class FarSelfCover(OwnAggregate):
    """Publishes an aggregate far away and balances the sum by the product of its own row, which nobody else holds."""

    def scalars(self, step: int, scalars: Scalars, view: View) -> Scalars | None:
        if view.my_part is None:
            return scalars
        rest = math.fsum(product for peer, (product, _) in view.column.items() if peer != view.me)
        products = list(scalars.products)
        products[view.my_part] = -rest
        return dataclasses.replace(scalars, products=tuple(products))


class Accuses(Behaviour):
    def charge(self, step: int, phase: Phase, honest: Charge | None, view: View) -> Charge | None:
        return Charge(ChargeKind.WRONG_SUM, view.owners[0], 0) if phase is Phase.MEASURE else honest


class Unclipped(SimulatedPeer):
    """One of these keeps to no limit of lengths."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.peer_id == PEERS[LIAR]:
            free = dataclasses.replace(self.rules.aggregation, max_norm=None)
            self.rules = dataclasses.replace(self.rules, aggregation=free)


def verified(**fields: object) -> StepRules:
    return dataclasses.replace(RULES, verification=VerificationRules(**fields))  # type: ignore[arg-type]


class Limited(Swarm):
    """A swarm in which vectors may not be longer than 3."""

    def __init__(self, count: int, **named: object) -> None:
        super().__init__(count, peer_type=self.limited, **named)  # type: ignore[arg-type]

    @staticmethod
    def limited(network, key, rules, *rest, **named):  # type: ignore[no-untyped-def]
        aggregation: AggregationRules = dataclasses.replace(rules.aggregation, max_norm=3.0)
        return Unclipped(network, key, dataclasses.replace(rules, aggregation=aggregation), *rest, **named)


SWARMS: dict[Offence, Callable[[], Swarm]] = {
    Offence.EQUIVOCATION: lambda: Swarm(COUNT, behaviours={LIAR: TwoCommits()}),
    Offence.PART_MISMATCH: lambda: Swarm(COUNT, behaviours={LIAR: Mismatch()}),
    Offence.MALFORMED: lambda: Swarm(COUNT, behaviours={LIAR: TooFewParts()}),
    Offence.FALSE_REVEAL: lambda: Swarm(COUNT, behaviours={LIAR: OtherShare()}),
    Offence.LOTTERY: lambda: Swarm(COUNT, behaviours={LIAR: Lottery()}),
    Offence.FALSE_SCALARS: lambda: Swarm(COUNT, behaviours={LIAR: FalseProduct()}),
    Offence.NOT_FINITE: lambda: Swarm(COUNT, behaviours={LIAR: Gradient(lambda g: g * math.inf)}),
    Offence.TOO_LONG: lambda: Limited(COUNT, behaviours={LIAR: Behaviour()}),
    Offence.WRONG_SUM: lambda: Swarm(COUNT, behaviours={LIAR: OwnAggregate(0.0)}),
    Offence.WRONG_AGGREGATE: lambda: Swarm(COUNT, seed=2, behaviours={LIAR: FarSelfCover(100.0)}),
    Offence.GRADIENT: lambda: Swarm(
        COUNT, steps=12, behaviours={LIAR: Gradient(torch.neg)}, rules=verified(validators=2.0)
    ),
    Offence.FALSE_ACCUSATION: lambda: Swarm(COUNT, behaviours={LIAR: Accuses()}),
}


@cache
def evidence_of(offence: Offence) -> Evidence:
    """Return the evidence of a ban for this, as an honest peer of a simulated swarm wrote it."""
    swarm = SWARMS[offence]().run()
    swarm.check_agreement()
    for peer in swarm.honest:
        for verdict in verdicts(peer):
            assert (verdict.peer, verdict.evidence.offence) == (PEERS[LIAR], offence)
            return verdict.evidence
    raise AssertionError(f"nobody was banned for {offence.name}")


BY_SIGNATURE = {Offence.EQUIVOCATION, Offence.PART_MISMATCH, Offence.MALFORMED, Offence.FALSE_REVEAL, Offence.LOTTERY}
BY_ARITHMETIC = {
    Offence.FALSE_SCALARS,
    Offence.NOT_FINITE,
    Offence.TOO_LONG,
    Offence.WRONG_SUM,
    Offence.WRONG_AGGREGATE,
}


def changed(evidence: Evidence, **fields: object) -> Evidence:
    return dataclasses.replace(evidence, **fields)  # type: ignore[arg-type]
