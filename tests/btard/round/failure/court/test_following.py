"""Judges see what the accuser has seen, whatever a liar has told to whom."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from btard.behaviour import Behaviour, Outgoing, View
from btard.hashing import Payload
from btard.identity import Envelope, MessageKind, PeerId
from btard.round.evidence.evidence import Offence
from btard.round.messages.bodies import Scalars
from btard.vectors.partition import from_wire, to_wire
from tests.btard.round.swarm import RULES, Swarm, keys, suspended, verdicts

COUNT, LIAR, KEEPER, ACCUSER = 8, 2, 5, 0
PEERS = tuple(key.peer_id for key in keys(COUNT))


class Shifts(Behaviour):
    """Publishes an aggregate that is off in step 0."""

    def aggregate(self, step: int, payload: Payload, view: View) -> Payload:
        return payload if step else to_wire(torch.as_tensor(from_wire(payload, view.wire)) + 1.0, view.wire)


class TellsOne(Behaviour):
    """Publishes its numbers to one peer alone."""

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> Sequence[Outgoing] | None:
        kept = envelope.step == 0 and envelope.kind in (MessageKind.SCALARS, MessageKind.FORWARD)
        return [] if kept and receiver != PEERS[ACCUSER] else None


class OtherStory(Behaviour):
    """Tells one peer of a product by which another's column does not add up."""

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> Sequence[Outgoing] | None:
        if envelope.step or envelope.kind is not MessageKind.SCALARS or receiver != PEERS[ACCUSER]:
            return None
        scalars = Scalars.decode(envelope.body)
        products = tuple(0.5 * norm for norm in scalars.norms)
        return [Outgoing(sign(replace(scalars, products=products).encode()).encode())]


RULES_ALONE = replace(RULES, verification=replace(RULES.verification, validators=0.0))


def test_judges_that_lack_a_number_get_it_from_its_accuser() -> None:
    swarm = Swarm(COUNT, steps=2, behaviours={LIAR: Shifts(), KEEPER: TellsOne()}, rules=RULES_ALONE).run()
    swarm.check_agreement()
    for peer in swarm.honest:
        assert len(peer.finished()) == 2, peer.stopped
        assert {one.peer: one.evidence.offence for one in verdicts(peer)} == {PEERS[LIAR]: Offence.WRONG_SUM}
        assert not suspended(peer)


def test_an_accuser_that_was_told_another_story_goes_free() -> None:
    swarm = Swarm(COUNT, steps=2, behaviours={LIAR: OtherStory()}, rules=RULES_ALONE).run()
    swarm.check_agreement()
    for peer in swarm.honest:
        assert len(peer.finished()) == 2, peer.stopped
        assert {one.peer: one.evidence.offence for one in verdicts(peer)} == {PEERS[LIAR]: Offence.EQUIVOCATION}
        assert not suspended(peer)
