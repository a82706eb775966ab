"""Failed attempts among peers of which one says different things about them to different peers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import pytest

from btard.agreement.wire import unpack
from btard.behaviour import Behaviour, Outgoing
from btard.identity import Envelope, MessageKind, PeerId
from btard.round.actions import Send
from btard.round.evidence.evidence import Offence
from btard.round.failure.settlement import Settlement, SettlementStage
from btard.round.messages.accusations import Charge, ChargeKind, Fault, Opinion, Relay, Report, Vote
from btard.round.messages.bodies import Phase
from btard.transport.memory import SimulatedPeer
from tests.btard.round.swarm import Swarm, keys, verdicts

COUNT, LIAR, VICTIM = 8, 2, 5
PEERS = tuple(key.peer_id for key in keys(COUNT))


def offences(peer: SimulatedPeer) -> list[tuple[PeerId, Offence]]:
    return [(verdict.peer, verdict.evidence.offence) for verdict in verdicts(peer)]


class TwoTongues(Behaviour):
    """Says another thing to the second half of the swarm in messages of one kind."""

    def __init__(self, kind: MessageKind, change: Callable[[bytes], bytes]) -> None:
        self.kind = kind
        self.change = change

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> Sequence[Outgoing] | None:
        if envelope.kind is not self.kind or receiver in PEERS[: COUNT // 2]:
            return None
        return [Outgoing(sign(self.change(envelope.body)).encode())]


def reported(**fields: object) -> Callable[[bytes], bytes]:
    return lambda body: dataclasses.replace(Report.decode(body), **fields).encode()  # type: ignore[arg-type]


def turned(body: bytes) -> bytes:
    vote = Vote.decode(body)
    ballots = tuple(dataclasses.replace(b, opinion=Opinion((b.opinion + 1) % 3)) for b in vote.ballots)
    return dataclasses.replace(vote, ballots=ballots).encode()


CHANGES = {
    "another phase, which would repeat the draw": reported(phase=Phase.REVEAL),
    "another complaint": reported(complaints=((PEERS[0], Fault.NO_PART),)),
    "other members": reported(members=PEERS[:-1]),
    "another charge": reported(charge=Charge(ChargeKind.GRADIENT, PEERS[1], 0)),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_peer_with_two_reports_is_banned_and_divides_nobody(what: str) -> None:
    swarm = Swarm(COUNT, steps=2, behaviours={LIAR: TwoTongues(MessageKind.REPORT, CHANGES[what])})
    swarm.network.at(0.05, swarm.peers[VICTIM].crash)
    swarm.run()
    swarm.check_agreement()
    for peer in swarm.honest:
        assert offences(peer) == [(PEERS[LIAR], Offence.EQUIVOCATION)]
        assert len(peer.finished()) == 2
        assert len(peer.finished()[0].roster.audits) <= 1, "nobody has seen the draw"
        assert set(peer.finished()[-1].roster.members) == {other.peer_id for other in swarm.honest}


def test_a_peer_with_two_votes_is_banned_and_divides_nobody() -> None:
    class Slanderer(Behaviour):
        def charge(self, step, phase, honest, view):  # type: ignore[no-untyped-def]
            return Charge(ChargeKind.WRONG_SUM, view.owners[0], 0) if phase is Phase.MEASURE else honest

    liars = {LIAR: TwoTongues(MessageKind.VOTE, turned), VICTIM: Slanderer()}
    swarm = Swarm(COUNT, steps=2, behaviours=liars).run()
    swarm.check_agreement()
    for peer in swarm.honest:
        assert dict(offences(peer)) == {
            PEERS[LIAR]: Offence.EQUIVOCATION,
            PEERS[VICTIM]: Offence.FALSE_ACCUSATION,
        }
        assert len(peer.finished()) == 2


@pytest.mark.parametrize("kind", [ChargeKind.WITHHELD, ChargeKind.GRADIENT])
def test_an_accusation_about_an_unknown_step_costs_nobody(kind: ChargeKind) -> None:
    """In the first step there is no step before."""

    class Accuser(SimulatedPeer):
        def begin(self, roster) -> None:  # type: ignore[no-untyped-def]
            super().begin(roster)
            machine = self.session.machine
            if machine is not None and roster.step == 0 and self.peer_id == PEERS[LIAR]:
                charge = Charge(kind, PEERS[VICTIM], 0)
                self.perform(machine._settlement.freeze(self.network.now, Phase.COMMIT, {}, [], charge))

    swarm = Swarm(COUNT, steps=2, behaviours={LIAR: Behaviour()}, peer_type=Accuser).run()
    swarm.check_agreement()
    for peer in swarm.honest:
        assert len(peer.finished()) == 2 and offences(peer) == []
        assert {other.peer_id for other in swarm.honest} <= set(peer.finished()[-1].roster.members)


def told_of(*reports: tuple[int, Report]) -> tuple[Settlement, list[Envelope]]:
    """Return what a member that has begun a step makes of these reports of others, and the reports as they came."""
    swarm = Swarm(COUNT, steps=1)
    swarm.peers[0].begin(swarm.genesis)
    machine = swarm.peers[0].session.machine
    assert machine is not None
    signed = [
        Envelope.sign(keys(COUNT)[author], run=swarm.rules.run, step=0, kind=MessageKind.REPORT, body=report.encode())
        for author, report in reports
    ]
    for envelope in signed:
        machine._settlement.hear(0.0, envelope)
    return machine._settlement, signed


REASON = Report(Phase.SCATTER, False, PEERS, ((PEERS[LIAR], Fault.NO_PART),), None, (), ())


def test_a_peer_that_stops_because_of_a_report_shows_it() -> None:
    settlement, (heard,) = told_of((VICTIM, REASON))
    send = settlement.freeze(1.0, Phase.SCATTER, {}, [], None)[0]
    assert isinstance(send, Send)
    own = Report.decode(Envelope.decode(send.data).body)
    assert own.reaction and own.attached == (heard.encode(),)


def test_a_report_without_a_reason_gives_none_to_others() -> None:
    idle = dataclasses.replace(REASON, complaints=(), reaction=True)
    assert not told_of((VICTIM, idle))[0].reasoned
    assert told_of((VICTIM, idle), (3, REASON))[0].reasoned
    _, (reason,) = told_of((3, REASON))
    shown = dataclasses.replace(idle, attached=(reason.encode(),))
    assert told_of((VICTIM, shown))[0].reasoned, "one that reacts shows to what"


def test_a_malformed_report_is_agreed_on_by_all() -> None:
    settlement, _ = told_of()
    place = {"run": settlement.attempt.seats.rules.run, "step": 0, "kind": MessageKind.REPORT}
    junk = Envelope.sign(keys(COUNT)[LIAR], body=b"junk", **place)  # type: ignore[arg-type]
    settlement.hear(0.0, junk)
    settlement.freeze(1.0, Phase.SCATTER, {}, [], None)
    sends = [send for send in settlement.advance(settlement.wakes_at) if isinstance(send, Send)]
    packages = [
        unpack(Envelope.decode(send.data).read(Relay).package, PEERS, limit=1 << 20)
        for send in sends
        if Envelope.decode(send.data).kind is MessageKind.RELAY
    ]
    endorsed = {item.digest for package in packages for one in package.endorsements for item in one.items}
    assert junk.content_digest() in endorsed


JUDGED = [SettlementStage.COURT, SettlementStage.VOTES]


@pytest.mark.parametrize(
    "charge, stages",
    [(None, []), (Charge(ChargeKind.FALSE_SCALARS, PEERS[LIAR], 0), JUDGED)],
    ids=["nobody accuses", "a charge"],
)
def test_each_stage_ends_though_nobody_else_speaks(charge: Charge | None, stages: list[SettlementStage]) -> None:
    settlement, _ = told_of((VICTIM, dataclasses.replace(REASON, phase=Phase.MEASURE, charge=charge)))
    rules = settlement.attempt.seats.rules
    settlement.freeze(1.0, Phase.MEASURE, {}, [], None)
    seen, now = [settlement.stage], 1.0
    while settlement.resolution is None:
        assert settlement.wakes_at > now
        now = settlement.wakes_at
        settlement.advance(now)
        if settlement.stage is not seen[-1]:
            seen.append(settlement.stage)
    assert seen == [SettlementStage.REPORTS, *stages, SettlementStage.RESOLVED]
    windows = (COUNT - 1) // 2 + 5
    agreeing = 2 * rules.delay_bound_seconds * windows
    assert now <= 1.0 + agreeing * (1 + bool(stages)) + rules.scatter_seconds * bool(stages) + 1e-6
