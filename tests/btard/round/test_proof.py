"""Evidence: every ban's can be checked by a stranger, and hardly anything about it can be changed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

import pytest

from btard.hashing import digest
from btard.identity import Envelope, IdentityKey, MessageKind, PeerId
from btard.round.evidence.evidence import Offence
from btard.round.proof import Unproven, verify
from btard.transport.memory import SimulatedPeer
from btard.vocabulary import Eliminate
from tests.btard.round.bans import (
    BY_ARITHMETIC,
    BY_SIGNATURE,
    COUNT,
    LIAR,
    OTHER,
    PEERS,
    SWARMS,
    OwnAggregate,
    changed,
    evidence_of,
    verified,
)
from tests.btard.round.swarm import Swarm, verdicts, voids

offences = pytest.mark.parametrize("offence", SWARMS, ids=lambda offence: offence.name)


@offences
def test_the_evidence_of_every_offence_convinces_a_stranger(offence: Offence) -> None:
    basis = verify(evidence_of(offence))
    kind = "signatures" if offence in BY_SIGNATURE else "arithmetic" if offence in BY_ARITHMETIC else "signed votes"
    assert kind in basis


@offences
def test_it_is_evidence_against_nobody_else(offence: Offence) -> None:
    for peer in (*PEERS, IdentityKey.from_seed(bytes(32)).peer_id):
        if peer != PEERS[LIAR]:
            with pytest.raises(Unproven):
                verify(changed(evidence_of(offence), accused=peer))


@offences
def test_it_is_evidence_of_nothing_else(offence: Offence) -> None:
    # An owner that balances a wrong aggregate by a false product of its own has done both.
    also = {Offence.FALSE_SCALARS} if offence is Offence.WRONG_AGGREGATE else set()
    for other in set(Offence) - also:
        if other is not offence:
            with pytest.raises(Unproven):
                verify(changed(evidence_of(offence), offence=other))


NEEDED = {
    Offence.EQUIVOCATION: {MessageKind.COMMIT},
    Offence.PART_MISMATCH: {MessageKind.COMMIT, MessageKind.PART},
    Offence.MALFORMED: {MessageKind.COMMIT},
    Offence.FALSE_REVEAL: {MessageKind.COMMIT, MessageKind.REVEAL},
    Offence.LOTTERY: {MessageKind.LEAVE},
    Offence.FALSE_SCALARS: {MessageKind.COMMIT, MessageKind.REVEAL, MessageKind.AGGREGATE, MessageKind.REPORT},
    Offence.NOT_FINITE: {MessageKind.COMMIT},
    Offence.TOO_LONG: {MessageKind.COMMIT},
    Offence.WRONG_SUM: {MessageKind.COMMIT, MessageKind.REVEAL, MessageKind.AGGREGATE, MessageKind.REPORT},
    Offence.WRONG_AGGREGATE: {MessageKind.COMMIT, MessageKind.AGGREGATE, MessageKind.REPORT},
    Offence.GRADIENT: {MessageKind.REPORT},
    Offence.FALSE_ACCUSATION: {MessageKind.REPORT},
}
"""Kinds of messages of which not a single one may be missing."""


@offences
def test_no_needed_message_may_be_missing(offence: Offence) -> None:
    evidence = evidence_of(offence)
    alone = offence in (Offence.NOT_FINITE, Offence.TOO_LONG)
    needed = [e for e in evidence.envelopes if e.kind in NEEDED[offence] and (e.author == PEERS[LIAR] or not alone)]
    assert needed
    for envelope in needed:
        rest = tuple(e for e in evidence.envelopes if e is not envelope)
        with pytest.raises(Unproven):
            verify(changed(evidence, envelopes=rest))


@offences
def test_without_its_messages_it_is_nothing(offence: Offence) -> None:
    with pytest.raises(Unproven):
        verify(changed(evidence_of(offence), envelopes=()))


@offences
def test_no_message_may_be_forged(offence: Offence) -> None:
    evidence = evidence_of(offence)
    for i, envelope in enumerate(evidence.envelopes):
        for forged in (
            dataclasses.replace(envelope, signature=bytes(64)),
            dataclasses.replace(envelope, body=envelope.body + b"\0"),
            dataclasses.replace(envelope, attempt=envelope.attempt + 1),
            dataclasses.replace(envelope, step=envelope.step + 1),
        ):
            envelopes = (*evidence.envelopes[:i], forged, *evidence.envelopes[i + 1 :])
            with pytest.raises(Unproven, match="signature"):
                verify(changed(evidence, envelopes=envelopes))


@offences
def test_another_run_proves_nothing(offence: Offence) -> None:
    evidence = evidence_of(offence)
    with pytest.raises(Unproven, match="another run"):
        verify(changed(evidence, rules=dataclasses.replace(evidence.rules, nonce=b"another-run-0000")))


@offences
def test_another_attempt_or_step_proves_nothing(offence: Offence) -> None:
    evidence = evidence_of(offence)
    scene = evidence.scene
    later = dataclasses.replace(scene.roster, step=scene.roster.step + 1)
    scenes = [dataclasses.replace(scene, roster=later)]
    if offence is not Offence.LOTTERY:  # a goodbye is for all attempts
        scenes.append(dataclasses.replace(scene, attempt=scene.attempt + 1))
    for other in scenes:
        with pytest.raises(Unproven):
            verify(changed(evidence, scene=other))


@pytest.mark.parametrize("offence", sorted(set(SWARMS) - BY_SIGNATURE), ids=lambda offence: offence.name)
def test_other_members_or_another_roster_prove_nothing(offence: Offence) -> None:
    evidence = evidence_of(offence)
    scene = evidence.scene
    rest = tuple(peer for peer in scene.members if peer != PEERS[0])
    other = dataclasses.replace(scene.roster, randomness=digest(b"another draw"))
    for changed_scene in (dataclasses.replace(scene, members=rest), dataclasses.replace(scene, roster=other)):
        with pytest.raises(Unproven):
            verify(changed(evidence, scene=changed_scene))


def flipped(data: bytes) -> Iterable[bytes]:
    for position in (0, len(data) // 2, len(data) - 1):
        damaged = bytearray(data)
        damaged[position] ^= 1
        yield bytes(damaged)


@pytest.mark.parametrize("offence", sorted(BY_ARITHMETIC), ids=lambda offence: offence.name)
def test_no_byte_of_a_row_or_an_aggregate_may_differ(offence: Offence) -> None:
    evidence = evidence_of(offence)
    assert evidence.rows or evidence.aggregates
    for i, (author, part, row) in enumerate(evidence.rows):
        for damaged in (*flipped(row), row[:-4], row + bytes(4), b""):
            rows = (*evidence.rows[:i], (author, part, damaged), *evidence.rows[i + 1 :])
            with pytest.raises(Unproven):
                verify(changed(evidence, rows=rows))
    if offence in (Offence.NOT_FINITE, Offence.TOO_LONG):
        return
    for i, (part, aggregate) in enumerate(evidence.aggregates):
        for damaged in (*flipped(aggregate), aggregate[:-4], b""):
            aggregates = (*evidence.aggregates[:i], (part, damaged), *evidence.aggregates[i + 1 :])
            with pytest.raises(Unproven):
                verify(changed(evidence, aggregates=aggregates))


def test_an_aggregate_that_is_not_finite_proves_itself() -> None:
    swarm = Swarm(COUNT, behaviours={LIAR: OwnAggregate(math.nan)}).run()
    (void,) = voids(swarm.peers[0])
    (verdict,) = void.verdicts
    assert verdict.evidence.offence is Offence.WRONG_AGGREGATE
    assert "NaN or infinity" in verify(verdict.evidence)


@pytest.mark.parametrize("mode", [Eliminate.MUTUAL])
def test_an_elimination_proves_no_lie_and_says_so(mode: Eliminate) -> None:
    class Silent(SimulatedPeer):
        """One member does not hear another's commitment, from nobody."""

        def receive(self, sender: PeerId, data: bytes) -> None:
            kind = Envelope.decode(data).kind
            deaf = (kind is MessageKind.COMMIT and sender == PEERS[OTHER]) or kind is MessageKind.FORWARD
            if self.peer_id != PEERS[LIAR] or not deaf:
                super().receive(sender, data)

    swarm = Swarm(COUNT, steps=2, peer_type=Silent, rules=verified(eliminate=mode)).run()
    evidence = [verdict.evidence for verdict in verdicts(swarm.peers[0])]
    assert {e.accused for e in evidence} == {PEERS[LIAR], PEERS[OTHER]}
    for one in evidence:
        with pytest.raises(Unproven, match="proves no lie"):
            verify(one)
