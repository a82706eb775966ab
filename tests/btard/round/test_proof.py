"""Evidence: every ban's can be checked by a stranger, and hardly anything about it can be changed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from functools import cache

import pytest
import torch

from btard.behaviour import Behaviour, LeaveReason, Outgoing, View
from btard.hashing import digest
from btard.identity import Envelope, IdentityKey, MessageKind, PeerId
from btard.round.accusations import Ballot, Charge, ChargeKind, Opinion, Report, Vote
from btard.round.actions import Voided
from btard.round.attempt import context_digest
from btard.round.evidence import Evidence, Offence, Scene
from btard.round.messages import Aggregate, Commit, Phase, Reveal, Scalars
from btard.round.partition import WireType, to_wire
from btard.round.proof import Unproven, verify
from btard.round.rules import AggregationRules, Eliminate, StepRules, VerificationRules
from btard.round.work import encode_parts
from btard.transport.base import Payload
from btard.transport.memory import SimulatedPeer
from tests.btard.round.swarm import RULES, Swarm, keys, seeded_gradient

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
    def leaves(self, step: int) -> LeaveReason | None:
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
        for event in peer.history:
            for verdict in event.verdicts if isinstance(event, Voided) else ():
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
offences = pytest.mark.parametrize("offence", SWARMS, ids=lambda offence: offence.name)


def changed(evidence: Evidence, **fields: object) -> Evidence:
    return dataclasses.replace(evidence, **fields)  # type: ignore[arg-type]


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
    # Whoever balances a wrong aggregate by a false product of its own has done both.
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
        verify(changed(evidence, rules=dataclasses.replace(evidence.rules, run=b"another-run-0000")))


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


def votes_of(evidence: Evidence) -> list[Envelope]:
    return [envelope for envelope in evidence.envelopes if envelope.kind is MessageKind.VOTE]


def with_votes(evidence: Evidence, votes: Iterable[Envelope]) -> Evidence:
    others = [envelope for envelope in evidence.envelopes if envelope.kind is not MessageKind.VOTE]
    return changed(evidence, envelopes=(*others, *votes), rows=(), aggregates=())


VOTED = [offence for offence in SWARMS if offence not in BY_SIGNATURE]
voted = pytest.mark.parametrize("offence", sorted(VOTED), ids=lambda offence: offence.name)


@voted
def test_where_the_bytes_are_left_out_the_votes_of_more_than_half_stand_for_them(offence: Offence) -> None:
    evidence = evidence_of(offence)
    votes = votes_of(evidence)
    assert len(votes) >= 5
    assert "signed votes of 4 of 7" in verify(with_votes(evidence, votes[:4]))
    with pytest.raises(Unproven, match="only 3 of 7"):
        verify(with_votes(evidence, votes[:3]))
    with pytest.raises(Unproven, match="only 3 of 7"):
        verify(with_votes(evidence, [*votes[:3], votes[0], votes[1]]))


@voted
def test_votes_of_strangers_and_of_other_courts_do_not_count(offence: Offence) -> None:
    evidence = evidence_of(offence)
    votes = votes_of(evidence)
    model = votes[0]
    place = {"run": model.run, "step": model.step, "attempt": model.attempt, "kind": MessageKind.VOTE}
    strangers = [
        Envelope.sign(IdentityKey.from_seed(digest(bytes([i]))), body=model.body, **place)  # type: ignore[arg-type]
        for i in range(9)
    ]
    with pytest.raises(Unproven, match="only 3 of 7"):
        verify(with_votes(evidence, [*votes[:3], *strangers]))
    key = next(key for key in KEYS if key.peer_id == votes[3].author)
    other_court = dataclasses.replace(Vote.decode(model.body), context=bytes(32)).encode()
    for changed_place, body in (
        ({**place, "step": model.step + 1}, model.body),
        ({**place, "attempt": model.attempt + 1}, model.body),
        (place, other_court),
    ):
        vote = Envelope.sign(key, body=body, **changed_place)  # type: ignore[arg-type]
        with pytest.raises(Unproven, match="another court"):
            verify(with_votes(evidence, [*votes[:3], vote]))


@voted
def test_votes_the_other_way_prove_nothing(offence: Offence) -> None:
    evidence = evidence_of(offence)
    model = votes_of(evidence)[0]
    place = {"run": model.run, "step": model.step, "attempt": model.attempt, "kind": MessageKind.VOTE}
    body = Vote.decode(model.body)
    for opinion in Opinion:
        if opinion is body.ballots[0].opinion:
            continue
        turned = dataclasses.replace(body, ballots=tuple(dataclasses.replace(b, opinion=opinion) for b in body.ballots))
        votes = [Envelope.sign(key, body=turned.encode(), **place) for key in KEYS]  # type: ignore[arg-type]
        with pytest.raises(Unproven):
            verify(with_votes(evidence, votes))


def test_a_minority_cannot_hold_a_court_of_its_own() -> None:
    """Two of seven sign that they and their victim were the whole attempt."""
    liars, victim = KEYS[:2], PEERS[6]
    members = tuple(sorted([*(key.peer_id for key in liars), victim]))
    roster = Swarm(COUNT).genesis
    charge = Charge(ChargeKind.GRADIENT, victim, 0)
    context = context_digest(RULES, roster, 4, members)
    vote = Vote(context, (Ballot(liars[0].peer_id, charge, Opinion.GUILTY, ()),))
    report = Report(Phase.COMMIT, False, members, (), charge, ())

    def said(key: IdentityKey, kind: MessageKind, body: bytes) -> Envelope:
        return Envelope.sign(key, run=RULES.run, step=0, attempt=4, kind=kind, body=body)

    envelopes = [said(liars[0], MessageKind.REPORT, report.encode())]
    envelopes += [said(key, MessageKind.VOTE, vote.encode()) for key in liars]
    forged = Evidence(Offence.GRADIENT, victim, RULES, Scene(roster, 4, members), tuple(envelopes))
    with pytest.raises(Unproven, match="no majority of the roster"):
        verify(forged)


def test_members_that_the_roster_does_not_name_prove_nothing() -> None:
    evidence = evidence_of(Offence.GRADIENT)
    stranger = IdentityKey.from_seed(bytes(32)).peer_id
    members = tuple(sorted([*evidence.scene.members, stranger]))
    with pytest.raises(Unproven):
        verify(changed(evidence, scene=dataclasses.replace(evidence.scene, members=members)))


def test_an_aggregate_that_is_not_finite_proves_itself() -> None:
    swarm = Swarm(COUNT, behaviours={LIAR: OwnAggregate(math.nan)}).run()
    (void,) = (event for event in swarm.peers[0].history if isinstance(event, Voided))
    (verdict,) = void.verdicts
    assert verdict.evidence.offence is Offence.WRONG_AGGREGATE
    assert "NaN or infinity" in verify(verdict.evidence)


@pytest.mark.parametrize("mode", [Eliminate.MUTUAL])
def test_an_elimination_says_that_it_proves_no_lie(mode: Eliminate) -> None:
    class Silent(SimulatedPeer):
        """One member does not hear another's commitment, from nobody."""

        def receive(self, sender: PeerId, data: bytes) -> None:
            kind = Envelope.decode(data).kind
            deaf = (kind is MessageKind.COMMIT and sender == PEERS[OTHER]) or kind is MessageKind.FORWARD
            if self.peer_id != PEERS[LIAR] or not deaf:
                super().receive(sender, data)

    swarm = Swarm(COUNT, steps=2, peer_type=Silent, rules=verified(eliminate=mode)).run()
    evidence = [
        verdict.evidence for event in swarm.peers[0].history if isinstance(event, Voided) for verdict in event.verdicts
    ]
    assert {e.accused for e in evidence} == {PEERS[LIAR], PEERS[OTHER]}
    for one in evidence:
        assert "proves no lie" in verify(one)
        with pytest.raises(Unproven):
            verify(changed(one, accused=PEERS[0]))
        with pytest.raises(Unproven):
            verify(changed(one, envelopes=()))


def told_afterwards(part_of: PeerId) -> tuple[Scene, list[Envelope], StepRules, int]:
    """Return an honest attempt, everything signed in it, and the part of one owner."""
    swarm = Swarm(COUNT, steps=1).run()
    record = swarm.peers[0].session.record
    assert record is not None
    scene = Scene(record.roster, record.number, record.members)
    return scene, list(record.signed.values()), swarm.peers[0].rules, record.owners.index(part_of)


def signed_later(kind: MessageKind, body: bytes) -> Envelope:
    return Envelope.sign(KEYS[LIAR], run=RULES.run, step=0, attempt=0, kind=kind, body=body)


def row_of(peer: PeerId, scene: Scene, part: int) -> bytes:
    gradient = seeded_gradient(scene.roster.batch_seed(peer), torch.zeros(RULES.dimension))
    return bytes(encode_parts(gradient, COUNT, RULES.wire, RULES.aggregation)[0][part])


def test_another_aggregate_signed_afterwards_frames_nobody_for_its_numbers() -> None:
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
    record = swarm.peers[0].session.record
    assert record is not None
    rows = {peer: row_of(peer, scene, part) for peer in PEERS}
    rows[PEERS[LIAR]] = bytes(len(rows[PEERS[LIAR]]))
    true = record.commits[PEERS[LIAR]]
    parts = (*true.parts[:part], digest(rows[PEERS[LIAR]]), *true.parts[part + 1 :])
    kept = [e for e in said if (e.kind, e.author) != (MessageKind.COMMIT, PEERS[LIAR])]
    charge = Charge(ChargeKind.WRONG_AGGREGATE, PEERS[0], part)
    forged = [
        signed_later(MessageKind.COMMIT, dataclasses.replace(true, parts=parts).encode()),
        signed_later(MessageKind.REPORT, Report(Phase.CHECK, False, PEERS, (), charge, ()).encode()),
    ]
    aggregate = bytes(record.partition.view(record.flat, part))
    shown = tuple((peer, part, row) for peer, row in rows.items())
    evidence = Evidence(
        Offence.WRONG_AGGREGATE, PEERS[0], rules, scene, (*kept, *forged), None, shown, ((part, aggregate),)
    )
    with pytest.raises(Unproven):
        verify(evidence)
