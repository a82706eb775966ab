"""Evidence made up afterwards: what a liar signs when all is over frames nobody."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from btard.hashing import digest
from btard.identity import Envelope, MessageKind, PeerId
from btard.round.evidence.evidence import Evidence, Offence, Scene
from btard.round.messages.accusations import Charge, ChargeKind, Report
from btard.round.messages.bodies import Aggregate, Phase
from btard.round.proof import Unproven, verify
from btard.round.rules import StepRules
from btard.round.work.rows import encode_parts
from tests.btard.round.bans import COUNT, KEYS, LIAR, PEERS
from tests.btard.round.swarm import Swarm, rules_of, seeded_gradient

RULES = rules_of(COUNT)


def told_afterwards(part_of: PeerId) -> tuple[Scene, list[Envelope], StepRules, int]:
    """Return an honest attempt, everything signed in it, and the part of one owner."""
    swarm = Swarm(COUNT, steps=1).run()
    record = swarm.peers[0].session.previous
    assert record is not None
    scene = Scene(record.seats.roster, record.seats.number, record.seats.members)
    return scene, list(record.said.signed.values()), swarm.peers[0].rules, record.seats.owners.index(part_of)


def signed_later(kind: MessageKind, body: bytes) -> Envelope:
    return Envelope.sign(KEYS[LIAR], run=RULES.run, step=0, attempt=0, kind=kind, body=body)


def row_of(peer: PeerId, scene: Scene, part: int) -> bytes:
    gradient = seeded_gradient(scene.roster.batch_seed(peer), torch.zeros(RULES.dimension))
    return bytes(encode_parts(gradient, COUNT, RULES.wire, RULES.aggregation)[0][part])


def test_an_aggregate_signed_afterwards_frames_nobody() -> None:
    """The owner of a part knows everyone's row of it, and may sign any number of aggregates when all is over."""
    victim = PEERS[0]
    scene, said, rules, part = told_afterwards(PEERS[LIAR])
    other = bytes(len(row_of(victim, scene, part)))
    kept = [e for e in said if (e.kind, e.author) != (MessageKind.AGGREGATE, PEERS[LIAR])]
    charge = Charge(ChargeKind.FALSE_SCALARS, victim, part)
    forged = [
        signed_later(MessageKind.AGGREGATE, Aggregate(digest(other)).encode()),
        signed_later(MessageKind.REPORT, Report(Phase.MEASURE, False, PEERS, (), charge, ()).encode()),
    ]
    rows = ((victim, part, row_of(victim, scene, part)),)
    with pytest.raises(Unproven):
        verify(Evidence(Offence.FALSE_SCALARS, victim, rules, scene, (*kept, *forged), None, rows, ((part, other),)))


def test_another_commitment_signed_afterwards_frames_no_owner() -> None:
    """Whose row was one thing when the owner aggregated may commit to another one when all is over."""
    scene, said, rules, part = told_afterwards(PEERS[0])
    swarm = Swarm(COUNT, steps=1).run()
    record = swarm.peers[0].session.previous
    assert record is not None
    rows = {peer: row_of(peer, scene, part) for peer in PEERS}
    rows[PEERS[LIAR]] = bytes(len(rows[PEERS[LIAR]]))
    true = record.said.commits[PEERS[LIAR]]
    parts = (*true.parts[:part], digest(rows[PEERS[LIAR]]), *true.parts[part + 1 :])
    kept = [e for e in said if (e.kind, e.author) != (MessageKind.COMMIT, PEERS[LIAR])]
    charge = Charge(ChargeKind.WRONG_AGGREGATE, PEERS[0], part)
    forged = [
        signed_later(MessageKind.COMMIT, dataclasses.replace(true, parts=parts).encode()),
        signed_later(MessageKind.REPORT, Report(Phase.CHECK, False, PEERS, (), charge, ()).encode()),
    ]
    aggregate = bytes(record.seats.partition.view(record.carried.flat, part))
    shown = tuple((peer, part, row) for peer, row in rows.items())
    evidence = Evidence(
        Offence.WRONG_AGGREGATE, PEERS[0], rules, scene, (*kept, *forged), None, shown, ((part, aggregate),)
    )
    with pytest.raises(Unproven):
        verify(evidence)
