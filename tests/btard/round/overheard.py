"""Everything that is signed in a small swarm, and every evidence that somebody could make of what the honest sign."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from btard.behaviour import Behaviour
from btard.hashing import digest
from btard.identity import Envelope, IdentityKey, MessageKind, PeerId
from btard.identity.envelope import RECORD_KINDS
from btard.round.actions import Action, Send, SendPart
from btard.round.attempt.attempt import Attempt
from btard.round.evidence.evidence import Evidence, Offence, Scene
from btard.round.messages.accusations import Ballot, Charge, ChargeKind, Opinion, Report, Vote
from btard.round.messages.bodies import Phase
from btard.round.roster import Roster
from btard.round.rules import StepRules
from btard.transport.memory import SimulatedPeer
from btard.vocabulary import Eliminate, Validation, WireType
from tests.btard.round.bans import BY_SIGNATURE
from tests.btard.round.swarm import RULES, Swarm, keys

Place = tuple[int, int]
"""Step and attempt."""


@dataclass
class Overheard:
    """What was said in a swarm.

    Attributes:
        liars: whose messages are no one's but theirs; they are ready to sign more.
        said: each message once, by author.
        attempts: those that honest peers were in, as the first of them that entered it sees it.
        rows, aggregates: the bytes that travelled, by place.
    """

    rules: StepRules
    liars: list[IdentityKey]
    said: dict[PeerId, dict[bytes, Envelope]] = field(default_factory=lambda: defaultdict(dict))
    attempts: dict[Place, Attempt] = field(default_factory=dict)
    rows: dict[Place, dict[tuple[PeerId, int], bytes]] = field(default_factory=lambda: defaultdict(dict))
    aggregates: dict[Place, dict[PeerId, bytes]] = field(default_factory=lambda: defaultdict(dict))

    @property
    def honest(self) -> list[PeerId]:
        """The peers that have said something and are no liars."""
        known = {key.peer_id for key in self.liars}
        return [peer for peer in sorted(self.said) if peer not in known]

    def kinds(self) -> set[MessageKind]:
        """The kinds of messages that honest peers have signed."""
        return {envelope.kind for peer in self.honest for envelope in self.said[peer].values()}

    def at(self, place: Place) -> list[Envelope]:
        """Return everything that was said in an attempt, goodbyes included."""
        found = [envelope for said in self.said.values() for envelope in said.values()]
        return [
            e for e in found if (e.step, e.attempt) == place or (e.kind is MessageKind.LEAVE and e.step == place[0])
        ]

    def disputed(self) -> list[Place]:
        """The attempts in which somebody has reported."""
        return [place for place in self.attempts if any(e.kind is MessageKind.REPORT for e in self.at(place))]

    def hear(self, peer: SimulatedPeer, actions: Sequence[Action]) -> None:
        """A peer acts."""
        machine = peer.session.machine
        if machine is not None and peer.peer_id not in {key.peer_id for key in self.liars}:
            self.attempts.setdefault((machine.attempt.seats.roster.step, machine.attempt.seats.number), machine.attempt)
        for action in actions:
            if isinstance(action, Send):
                self._note(Envelope.decode(action.data))
            elif isinstance(action, SendPart):
                envelope, place = action.envelope, (action.envelope.step, action.envelope.attempt)
                header = Envelope.decode(envelope.encode())
                self._note(header)
                if header.kind is MessageKind.AGGREGATE:
                    self.aggregates[place][header.author] = bytes(action.payload)
                elif machine is not None:
                    part = machine.attempt.seats.part_of.get(action.peer)
                    if part is not None and header.author == peer.peer_id:
                        self.rows[place][header.author, part] = bytes(action.payload)

    def _note(self, envelope: Envelope) -> None:
        self.said[envelope.author].setdefault(envelope.content_digest(), envelope)


def overhear(
    count: int,
    behaviours: dict[int, Behaviour] | None = None,
    rules: StepRules = RULES,
    *,
    deaf: PeerId | None = None,
    **named: Any,
) -> tuple[Overheard, Swarm]:
    """Return a swarm that has not begun, and what will be said in it; `deaf` hears no digest of others."""
    heard = Overheard(rules, [])

    class Heard(SimulatedPeer):
        """Whose every word is kept."""

        def perform(self, actions: Sequence[Action]) -> None:
            heard.hear(self, actions)
            super().perform(actions)

        def receive(self, sender: PeerId, data: bytes) -> None:
            if self.peer_id != deaf or Envelope.decode(data).kind is not MessageKind.DIGEST:
                super().receive(sender, data)

    swarm = Swarm(count, behaviours=behaviours, rules=rules, peer_type=Heard, **named)
    heard.rules = swarm.rules
    heard.liars = [key for i, key in enumerate(keys(count)) if i in swarm.liars]
    return heard, swarm


def other_rules(rules: StepRules) -> Iterator[StepRules]:
    """Yield rules that differ in one thing each, and that an accuser could wish for."""

    def aggregation(**changed: object) -> StepRules:
        return replace(rules, aggregation=replace(rules.aggregation, **changed))  # type: ignore[arg-type]

    def verification(**changed: object) -> StepRules:
        return replace(rules, verification=replace(rules.verification, **changed))  # type: ignore[arg-type]

    yield replace(rules, nonce=digest(b"another")[: len(rules.nonce)])
    for wire in set(WireType) - {rules.wire}:
        yield replace(rules, wire=wire)
        yield replace(rules, wire=wire, dimension=rules.dimension * rules.wire.size // wire.size)
    yield replace(rules, dimension=rules.dimension + 1)
    yield replace(rules, delay_bound_seconds=2 * rules.delay_bound_seconds)
    yield aggregation(tau=1e-9)
    yield aggregation(max_norm=1e-6)
    yield aggregation(reference_peers=1)
    yield verification(momentum=0.0 if rules.verification.momentum else 0.9)
    yield verification(
        eliminate=Eliminate.SUSPEND if rules.verification.eliminate is Eliminate.MUTUAL else Eliminate.MUTUAL
    )
    yield verification(validation=Validation.EXACT)
    yield verification(accuse=1e-9, convict=1e-10)
    yield verification(probation=3)
    yield verification(validators=rules.verification.validators + 1.0)


def other_scenes(scene: Scene, accused: PeerId) -> Iterator[Scene]:
    """Yield attempts as an accuser could describe them: of others, of more, of fewer, drawn otherwise."""
    roster, members = scene.roster, scene.members
    stranger = IdentityKey.from_seed(digest(b"stranger")).peer_id
    fewer = tuple(peer for peer in members if peer == accused or members.index(peer) % 2)
    more = tuple(sorted({*members, stranger}))

    def drawn(roster: Roster, members: tuple[PeerId, ...] = members) -> Scene:
        return Scene(roster, scene.attempt, members)

    yield drawn(replace(roster, members=fewer, audits=(), probation=()), fewer)
    yield drawn(replace(roster, members=more), more)
    yield drawn(roster, fewer)
    yield drawn(replace(roster, members=(accused,), audits=(), probation=()), (accused,))
    yield drawn(replace(roster, randomness=digest(b"another draw")))
    yield drawn(replace(roster, audits=()))
    yield drawn(replace(roster, probation=tuple((peer, roster.step + 5) for peer in members if peer != accused)))
    yield drawn(replace(roster, probation=((accused, roster.step + 5),)))
    yield drawn(replace(roster, banned=roster.banned | {stranger}))
    yield replace(scene, attempt=scene.attempt + 1)
    yield drawn(replace(roster, step=roster.step + 1))


def forged(heard: Overheard, attempt: Attempt, accused: PeerId, part: int) -> Iterator[Envelope]:
    """Yield what liars may sign afterwards: every accusation, and votes that all that were made are true."""
    place = {"run": heard.rules.run, "step": attempt.seats.roster.step, "attempt": attempt.seats.number}
    reports = [e for e in heard.at((attempt.seats.roster.step, attempt.seats.number)) if e.kind is MessageKind.REPORT]
    charges = {report.author: report.read(Report).charge for report in reports}
    for key, kind in zip(heard.liars * len(ChargeKind), ChargeKind, strict=False):
        report = Report(Phase.AGREE, False, attempt.seats.members, (), Charge(kind, accused, part), ())
        yield Envelope.sign(key, kind=MessageKind.REPORT, body=report.encode(), **place)  # type: ignore[arg-type]
        charges[key.peer_id] = report.charge
    ballots = [
        Ballot(accuser, charge, Opinion.INNOCENT if accuser == accused else Opinion.GUILTY, (accused,))
        for accuser, charge in sorted(charges.items())
        if charge is not None
    ]
    vote = Vote(attempt.seats.attempt_id, tuple(ballots)).encode()
    for key in heard.liars:
        yield Envelope.sign(key, kind=MessageKind.VOTE, body=vote, **place)  # type: ignore[arg-type]


def framed(heard: Overheard, place: Place, accused: PeerId) -> Iterator[Evidence]:
    """Yield all that was said in an attempt, with all bytes and whatever liars add, as evidence of each offence."""
    attempt, said = heard.attempts[place], heard.at(place)
    scene = Scene(attempt.seats.roster, attempt.seats.number, attempt.seats.members)
    before = [(step, number) for step, number in heard.attempts if step == place[0] - 1]
    record = heard.attempts[max(before)] if before else None
    past = None if record is None else Scene(record.seats.roster, record.seats.number, record.seats.members)
    for offence in Offence:
        if offence in BY_SIGNATURE:
            yield Evidence(offence, accused, heard.rules, scene, tuple(e for e in said if e.author == accused))
            continue
        for part in _parts(attempt, offence, accused):
            envelopes = (*said, *forged(heard, attempt, accused, part))
            yield Evidence(offence, accused, heard.rules, scene, envelopes, past)
            rows = tuple((author, number, row) for (author, number), row in heard.rows[place].items())
            aggregate = (
                heard.aggregates[place].get(attempt.seats.owners[part]) if part < len(attempt.seats.owners) else None
            )
            bytes_of_part = () if aggregate is None else ((part, aggregate),)
            yield Evidence(offence, accused, heard.rules, scene, envelopes, past, rows, bytes_of_part)


def _parts(attempt: Attempt, offence: Offence, accused: PeerId) -> Iterable[int]:
    if offence is Offence.FALSE_SCALARS:
        return range(len(attempt.seats.owners))
    return [attempt.seats.part_of.get(accused, 0)]


def few(heard: Overheard, accused: PeerId) -> Iterator[tuple[Envelope, ...]]:
    """Yield every message of a peer alone, and with every other: of each kind in each attempt two at most, and two
    records of each kind, as a peer that runs long enough publishes them."""
    kept: dict[tuple[MessageKind, Place], list[Envelope]] = defaultdict(list)
    for envelope in heard.said[accused].values():
        kept[envelope.kind, (envelope.step, envelope.attempt)].append(envelope)
    chosen = [envelope for found in kept.values() for envelope in found[:2]]
    key = next(key for key in keys(20) if key.peer_id == accused)
    chosen += [
        Envelope.sign(key, run=heard.rules.run, step=chosen[0].step, kind=kind, body=like.body)
        for kind in MessageKind
        if kind in RECORD_KINDS
        for like in chosen[:2]
    ]
    yield from ((envelope,) for envelope in chosen)
    yield from itertools.combinations(chosen, 2)
