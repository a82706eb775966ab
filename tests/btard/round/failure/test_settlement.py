"""Failed attempts among peers of which one says different things about them to different peers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import pytest

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
        machine._settlement.heard.add_report(envelope)
    return machine._settlement, signed


def test_of_two_contradicting_reports_neither_counts() -> None:
    early, late = (Report(phase, True, PEERS, (), None, (), ()) for phase in (Phase.COMMIT, Phase.REVEAL))
    settlement, _ = told_of((LIAR, early), (VICTIM, early), (LIAR, late))
    assert set(settlement.heard._read_reports()) == {PEERS[VICTIM]}


def test_a_peer_that_stops_because_of_a_report_shows_it() -> None:
    reason = Report(Phase.SCATTER, False, PEERS, ((PEERS[LIAR], Fault.NO_PART),), None, (), ())
    settlement, (heard,) = told_of((VICTIM, reason))
    (send,) = settlement.freeze(1.0, Phase.SCATTER, {}, [], None)
    assert isinstance(send, Send)
    own = Report.decode(Envelope.decode(send.data).body)
    assert own.reaction and own.attached == (heard.encode(),)


def test_a_malformed_report_is_relayed_to_all() -> None:
    settlement, _ = told_of()
    place = {"run": settlement.attempt.seats.rules.run, "step": 0, "kind": MessageKind.REPORT}
    junk = Envelope.sign(keys(COUNT)[LIAR], body=b"junk", **place)  # type: ignore[arg-type]
    settlement.heard.add_report(junk)
    settlement.freeze(1.0, Phase.SCATTER, {}, [], None)
    (relay,) = [send for send in settlement.advance(1e9) if isinstance(send, Send)]
    assert junk.encode() in Relay.decode(Envelope.decode(relay.data).body).envelopes


REPORTED = [SettlementStage.COLLECTING, SettlementStage.REPORTS, SettlementStage.RELAYS]
JUDGED = [SettlementStage.COURT, SettlementStage.VOTES, SettlementStage.VOTE_RELAYS]


@pytest.mark.parametrize(
    "charge, stages",
    [(None, REPORTED), (Charge(ChargeKind.FALSE_SCALARS, PEERS[LIAR], 0), REPORTED + JUDGED)],
    ids=["nobody accuses", "a charge"],
)
def test_each_deadline_ends_one_stage(charge: Charge | None, stages: list[SettlementStage]) -> None:
    """Nobody but the author of one report says anything: at every deadline the settlement goes on without the rest."""
    report = Report(Phase.MEASURE, False, PEERS, ((PEERS[LIAR], Fault.NO_PART),), charge, (), ())
    settlement, _ = told_of((VICTIM, report))
    seen = [settlement.stage]
    settlement.freeze(1.0, Phase.MEASURE, {}, [], None)
    while settlement.resolution() is None:
        assert settlement.stage is not seen[-1]
        seen.append(settlement.stage)
        settlement.advance(settlement.deadline)
    assert seen == stages
