"""One step under the simulated network: every fault that a peer or the network can have, and what must follow."""

from __future__ import annotations

import dataclasses
from functools import partial

import pytest
import torch

from btard.aggregation import RuleName
from btard.behaviour import Behaviour, LeaveReason, View
from btard.hashing import digest
from btard.identity import Envelope, IdentityKey, MessageKind, PeerId
from btard.round.accusations import Fault, Report
from btard.round.actions import OutcomeKind, Send, Voided
from btard.round.evidence import Offence
from btard.round.messages import Commit, PartHeader, Phase
from btard.round.partition import WireType
from btard.round.proof import verify
from btard.round.rules import Eliminate, StepRules, VerificationRules
from btard.transport.base import Payload
from btard.transport.memory import NetworkConditions, SimulatedPeer
from tests.btard.round.swarm import RULES, Swarm, keys


def voids(peer: SimulatedPeer) -> list[Voided]:
    return [event for event in peer.history if isinstance(event, Voided)]


@pytest.mark.parametrize("count", [1, 2, 3, 8, 16])
def test_honest_peers_finish_with_the_same_bytes(count: int) -> None:
    swarm = Swarm(count, steps=4).run()
    swarm.check_agreement()
    for peer in swarm.peers:
        assert [result.step for result in peer.finished()] == [0, 1, 2, 3]
        assert not voids(peer)
        assert torch.equal(peer.parameters, swarm.peers[0].parameters)


def test_the_aggregate_is_the_rule_applied_to_each_part() -> None:
    swarm = Swarm(4, steps=1, rule=RuleName.MEAN).run()
    honest = [peer.gradient(swarm.genesis.batch_seed(peer.peer_id), torch.zeros(40)) for peer in swarm.peers]
    assert torch.allclose(-swarm.peers[0].parameters, torch.stack(honest).mean(0), atol=1e-6)


@pytest.mark.parametrize("wire", list(WireType))
def test_every_wire_type_gives_all_the_same_bytes(wire: WireType) -> None:
    swarm = Swarm(5, steps=2, rules=dataclasses.replace(RULES, wire=wire, dimension=41)).run()
    swarm.check_agreement()
    assert all(len(peer.finished()) == 2 for peer in swarm.peers)


def test_more_peers_than_numbers_leaves_some_parts_empty() -> None:
    swarm = Swarm(8, steps=2, rules=dataclasses.replace(RULES, dimension=5)).run()
    swarm.check_agreement()
    assert all(len(peer.finished()) == 2 for peer in swarm.peers)


def test_a_peer_that_dies_is_left_out_by_all() -> None:
    swarm = Swarm(5, steps=3)
    victim = swarm.peers[2]
    swarm.network.at(0.05, victim.crash)
    swarm.run()
    swarm.check_agreement()
    for peer in swarm.honest:
        assert len(peer.finished()) == 3
        assert victim.peer_id not in peer.finished()[0].roster.members
        assert [event.step for event in voids(peer)] == [0]


@pytest.mark.parametrize("moment", [0.105, 0.115, 0.125, 0.135])
def test_a_peer_that_dies_in_any_phase_stops_nobody_else(moment: float) -> None:
    swarm = Swarm(5, steps=3)
    victim = swarm.peers[0]
    swarm.network.at(moment, victim.crash)
    swarm.run()
    swarm.check_agreement()
    assert all(len(peer.finished()) == 3 for peer in swarm.honest)


def test_a_slow_peer_is_suspended_not_banned() -> None:
    swarm = Swarm(5, steps=2)
    swarm.peers[1].compute_seconds = 1000.0
    swarm.run()
    others = [peer for i, peer in enumerate(swarm.peers) if i != 1]
    assert all(len(peer.finished()) == 2 for peer in others)
    assert all(not peer.finished()[-1].roster.banned for peer in others)
    assert swarm.peers[1].stopped is not None


def test_half_a_swarm_cannot_go_on_alone() -> None:
    swarm = Swarm(6, steps=3)
    for victim in swarm.peers[:3]:
        swarm.network.at(0.01, victim.crash)
    swarm.run()
    for peer in swarm.honest:
        assert peer.stopped is not None and peer.stopped.kind is OutcomeKind.NO_MAJORITY
        assert not peer.finished()


def test_a_partition_lets_only_the_majority_go_on() -> None:
    swarm = Swarm(7, steps=3)
    swarm.network.partition([peer.peer_id for peer in swarm.peers[:3]])
    swarm.run()
    swarm.check_agreement()
    assert all(not peer.finished() and peer.stopped for peer in swarm.peers[:3])
    assert all(len(peer.finished()) == 3 for peer in swarm.peers[3:])


def test_peers_on_another_state_step_out() -> None:
    swarm = Swarm(5, steps=2)
    swarm.peers[3].parameters = torch.ones(RULES.dimension)
    swarm.run()
    stopped = swarm.peers[3].stopped
    assert stopped is not None and stopped.kind is OutcomeKind.OUT_OF_SYNC
    rest = [peer for i, peer in enumerate(swarm.peers) if i != 3]
    assert all(len(peer.finished()) == 2 and not peer.finished()[-1].roster.banned for peer in rest)
    assert rest[0].history[0] == voids(rest[0])[0] and swarm.network.now < RULES.commit, "nobody waits for it in vain"


class FalseCommitments(Behaviour):
    """Commits to other hashes than those of the parts that it sends and signs for."""

    def attach(self, key: IdentityKey) -> None:
        self.true: dict[bytes, bytes] = {}

    def commit(self, step: int, commit: Commit, view: View) -> Commit | None:
        self.true = {digest(part): part for part in commit.parts}
        return dataclasses.replace(commit, parts=tuple(self.true))

    def part_digest(self, step: int, receiver: PeerId, digest: bytes) -> bytes:
        return self.true[digest]


class CorruptedParts(Behaviour):
    """Sends other bytes than its signed header announces."""

    def __init__(self, receivers: set[PeerId] | None = None) -> None:
        self.receivers = receivers

    def part(self, step: int, receiver: PeerId, payload: Payload) -> Payload | None:
        return bytes(len(payload)) if self.receivers is None or receiver in self.receivers else payload


class WithheldParts(CorruptedParts):
    """Sends nothing to its victims."""

    def part(self, step: int, receiver: PeerId, payload: Payload) -> Payload | None:
        return None if self.receivers is None or receiver in self.receivers else payload


class NotANumber(Behaviour):
    """Sends NaN and infinity."""

    def gradient(self, step: int, gradient: torch.Tensor) -> torch.Tensor:
        return torch.full_like(gradient, float("nan") if step % 2 else float("inf"))


class Leaves(Behaviour):
    """Leaves after step 0."""

    def __init__(self, reason: LeaveReason) -> None:
        self.reason = reason

    def leaves(self, step: int) -> LeaveReason | None:
        return self.reason


def test_a_part_that_contradicts_its_commitment_bans_with_evidence() -> None:
    swarm = Swarm(5, steps=2, behaviours={1: FalseCommitments()}).run()
    swarm.check_agreement()
    liar = swarm.peers[1].peer_id
    for peer in swarm.honest:
        assert len(peer.finished()) == 2
        assert peer.finished()[-1].roster.banned == {liar}
        (verdict,) = voids(peer)[0].verdicts
        assert verdict.evidence.offence is Offence.PART_MISMATCH
        assert {envelope.author for envelope in verdict.evidence.envelopes} == {liar}
        assert "signatures" in verify(verdict.evidence)


def test_corrupted_bytes_suspend_whoever_sends_them_to_most() -> None:
    swarm = Swarm(5, steps=2, behaviours={1: CorruptedParts()}).run()
    swarm.check_agreement()
    for peer in swarm.honest:
        assert len(peer.finished()) == 2
        last = peer.finished()[-1].roster
        assert swarm.peers[1].peer_id not in last.members and not last.banned and len(last.members) == 4


@pytest.mark.parametrize("lie", [CorruptedParts, WithheldParts])
def test_a_part_that_only_its_owner_does_not_get_comes_through_third_peers(lie: type[CorruptedParts]) -> None:
    victim = keys(7)[4].peer_id
    swarm = Swarm(7, steps=3, behaviours={1: lie({victim})}).run()
    swarm.check_agreement()
    for peer in swarm.peers:
        assert len(peer.finished()) == 3 and not voids(peer)


class Withholder(SimulatedPeer):
    """Gives the part of one owner to nobody, not even to third peers that ask for it."""

    victim: PeerId

    def _send_part(self, receiver: PeerId, header: Envelope, payload: Payload) -> None:
        machine = self.session.machine
        assert machine is not None
        owned = header.kind is MessageKind.PART and PartHeader.decode(header.body).part
        if header.author != self.peer_id or owned != machine.attempt.part_of.get(self.victim):
            super()._send_part(receiver, header, payload)


@pytest.mark.parametrize("mode", list(Eliminate))
def test_who_refuses_everybody_a_part_is_out_alone_and_with_its_victim_in_the_papers_mode(mode: Eliminate) -> None:
    rules = dataclasses.replace(RULES, verification=VerificationRules(eliminate=mode))
    swarm = one_liar(Withholder, 7, 1, rules)
    liar, victim = swarm.peers[1], swarm.peers[4]
    assert isinstance(liar, Withholder)
    liar.victim = victim.peer_id
    swarm.run()
    out = {liar.peer_id} if mode is Eliminate.SUSPEND else {liar.peer_id, victim.peer_id}
    goers = [peer for peer in swarm.peers if peer.peer_id not in out]
    for peer in goers:
        last = peer.finished()[-1].roster
        assert len(peer.finished()) == 2
        assert set(last.members) == {goer.peer_id for goer in goers}
        (void,) = voids(peer)
        if mode is Eliminate.SUSPEND:
            assert {gone for gone, _ in void.suspended} == out and not last.banned
        else:
            assert last.banned == out and {verdict.evidence.offence for verdict in void.verdicts} == {
                Offence.ELIMINATED
            }
            assert all("proves no lie" in verify(verdict.evidence) for verdict in void.verdicts)


def test_rows_that_are_not_finite_ban_their_sender_by_arithmetic() -> None:
    swarm = Swarm(5, steps=2, behaviours={2: NotANumber()}, rule=RuleName.MEAN).run()
    swarm.check_agreement()
    liar = swarm.peers[2].peer_id
    for peer in swarm.honest:
        assert len(peer.finished()) == 2
        assert peer.finished()[-1].roster.banned == {liar}
        (verdict,) = voids(peer)[0].verdicts
        assert verdict.evidence.offence is Offence.NOT_FINITE and "by arithmetic" in verify(verdict.evidence)
        assert bool(torch.isfinite(peer.parameters).all())


@pytest.mark.parametrize("reason", list(LeaveReason))
def test_who_leaves_is_missed_by_nobody(reason: LeaveReason) -> None:
    swarm = Swarm(5, steps=3, behaviours={0: Leaves(reason)}).run()
    swarm.check_agreement()
    gone = swarm.peers[0].peer_id
    for peer in swarm.honest:
        assert len(peer.finished()) == 3
        last = peer.finished()[-1].roster
        assert gone not in last.members
        assert last.banned == ({gone} if reason is LeaveReason.LOTTERY else set())
    assert swarm.network.now < 1.0, "a goodbye is not waited for"


class TwoFaced(SimulatedPeer):
    """Tells the second half of the swarm something else, in messages of one kind."""

    kind = MessageKind.COMMIT

    def _perform(self, actions) -> None:  # type: ignore[no-untyped-def]
        super()._perform([part for action in actions for part in self._split(action)])

    def _split(self, action):  # type: ignore[no-untyped-def]
        if not isinstance(action, Send):
            return [action]
        envelope = Envelope.decode(action.data)
        if envelope.kind is not self.kind:
            return [action]
        other = Envelope.sign(
            self.key,
            run=envelope.run,
            step=envelope.step,
            attempt=envelope.attempt,
            kind=envelope.kind,
            body=self.forge(envelope.body),
        )
        half = len(action.peers) // 2
        return [Send(action.peers[:half], action.data), Send(action.peers[half:], other.encode())]

    def forge(self, body: bytes) -> bytes:
        """Return another valid body: the last byte is part of a digest or of the last candidate."""
        commit = Commit.decode(body)
        return dataclasses.replace(commit, parts=(*commit.parts[:-1], digest(body))).encode()


def test_two_commitments_ban_whoever_signed_them() -> None:
    made = []

    def peer_type(network, key, *rest, **named):  # type: ignore[no-untyped-def]
        made.append((TwoFaced if len(made) == 2 else SimulatedPeer)(network, key, *rest, **named))
        return made[-1]

    swarm = Swarm(6, steps=2, behaviours={2: Behaviour()}, peer_type=peer_type).run()
    swarm.check_agreement()
    liar = swarm.peers[2].peer_id
    for peer in swarm.honest:
        assert len(peer.finished()) == 2
        assert peer.finished()[-1].roster.banned == {liar}
        assert len(peer.finished()[-1].roster.members) == 5


class FalseAlarm(SimulatedPeer):
    """Gives every attempt up at once, accusing an honest peer or nobody."""

    accused: PeerId | None = None

    def begin(self, roster) -> None:  # type: ignore[no-untyped-def]
        self.session.begin(self.network.now, roster, bytes(32))
        complaints = ((self.accused, Fault.NO_COMMIT),) if self.accused else ()
        body = Report(Phase.COMMIT, False, roster.members, complaints, None, ()).encode()
        envelope = Envelope.sign(self.key, run=self.rules.run, step=roster.step, kind=MessageKind.REPORT, body=body)
        others = tuple(peer for peer in roster.members if peer != self.peer_id)
        self._perform([Send(others, envelope.encode())])


@pytest.mark.parametrize("accuses", [False, True])
def test_a_false_alarm_costs_whoever_raises_it_its_place(accuses: bool) -> None:
    made = []

    def peer_type(network, key, *rest, **named):  # type: ignore[no-untyped-def]
        made.append((FalseAlarm if len(made) == 3 else SimulatedPeer)(network, key, *rest, **named))
        return made[-1]

    swarm = Swarm(7, steps=2, behaviours={3: Behaviour()}, peer_type=peer_type)
    if accuses:
        swarm.peers[3].accused = swarm.peers[0].peer_id  # type: ignore[attr-defined]
    swarm.run()
    swarm.check_agreement()
    goers = [peer for i, peer in enumerate(swarm.peers) if i != 3]
    assert all(len(peer.finished()) == 2 for peer in goers)
    assert set(goers[0].finished()[-1].roster.members) == {peer.peer_id for peer in goers}
    assert not goers[0].finished()[-1].roster.banned


def test_newcomers_enter_when_most_would_admit_them() -> None:
    swarm = Swarm(6, steps=3)
    newcomer, crowd = swarm.peers[-1], swarm.peers[:-1]
    for peer in crowd[:3]:
        peer.candidates = (newcomer.peer_id,)
    swarm.genesis = dataclasses.replace(swarm.genesis, members=tuple(peer.peer_id for peer in crowd))
    for peer in crowd:
        peer.begin(swarm.genesis)
    swarm.network.run(done=lambda: bool(crowd[0].finished()))
    roster = crowd[0].finished()[0].roster
    assert newcomer.peer_id in roster.members
    newcomer.parameters = crowd[0].parameters.clone()
    newcomer.begin(roster)
    swarm.network.run()
    swarm.check_agreement()
    assert [result.step for result in newcomer.finished()] == [1, 2]


def test_fewer_than_most_admit_nobody() -> None:
    swarm = Swarm(5, steps=1)
    stranger = IdentityKey.generate().peer_id
    for peer in swarm.peers[:2]:
        peer.candidates = (stranger,)
    swarm.run()
    assert all(stranger not in peer.finished()[0].roster.members for peer in swarm.peers)


@pytest.mark.parametrize("seed", range(40))
def test_a_bad_network_never_splits_the_swarm(seed: int) -> None:
    conditions = NetworkConditions(delay=(0.001, 1.0), loss=(0.0, 0.002, 0.02)[seed % 3])
    swarm = Swarm(4 + seed % 5, steps=4, seed=seed, conditions=conditions).run()
    swarm.check_agreement()
    if conditions.loss == 0.0:
        assert all(len(peer.finished()) == 4 for peer in swarm.peers), f"seed {seed}"


def test_a_seed_replays_exactly() -> None:
    def story() -> list[str]:
        conditions = NetworkConditions(delay=(0.001, 1.0), loss=0.01)
        swarm = Swarm(6, steps=5, seed=7, conditions=conditions).run()
        ends = [f"{peer.parameters.sum()} {len(peer.history)} {peer.stopped}" for peer in swarm.peers]
        return [str(swarm.network.now), *ends]

    assert story() == story()


class Sulker(SimulatedPeer):
    """Answers every attempt with nothing but a report, which gives no reason that concerns another member."""

    complaints: tuple[tuple[PeerId, Fault], ...] = ()
    attached: tuple[bytes, ...] = ()

    def begin(self, roster) -> None:  # type: ignore[no-untyped-def]
        self.session.begin(self.network.now, roster, bytes(32))
        others = tuple(peer for peer in roster.members if peer != self.peer_id)
        for attempt in range(20):
            report = Report(Phase.COMMIT, True, roster.members, self.complaints, None, self.attached)
            envelope = Envelope.sign(
                self.key,
                run=self.rules.run,
                step=roster.step,
                attempt=attempt,
                kind=MessageKind.REPORT,
                body=report.encode(),
            )
            self.network.at(self.network.now + 30.0 * attempt, partial(self._sulk, others, envelope.encode()))

    def _sulk(self, others: tuple[PeerId, ...], data: bytes) -> None:
        self._perform([Send(others, data)])


def one_liar(kind: type[SimulatedPeer], count: int, position: int, rules: StepRules = RULES) -> Swarm:
    """Return a swarm in which the peer at `position` is of another kind."""
    made: list[SimulatedPeer] = []

    def peer_type(network, key, *rest, **named):  # type: ignore[no-untyped-def]
        made.append((kind if len(made) == position else SimulatedPeer)(network, key, *rest, **named))
        return made[-1]

    return Swarm(count, steps=2, behaviours={position: Behaviour()}, peer_type=peer_type, rules=rules)


@pytest.mark.parametrize("reason", ["none", "itself", "garbage"])
def test_reports_without_a_reason_cannot_halt_the_swarm(reason: str) -> None:
    swarm = one_liar(Sulker, 7, 3)
    liar = swarm.peers[3]
    assert isinstance(liar, Sulker)
    if reason == "itself":
        liar.complaints = ((liar.peer_id, Fault.NO_PART),)
    elif reason == "garbage":
        liar.attached = (b"garbage",)
    swarm.run()
    swarm.check_agreement()
    for peer in swarm.honest:
        assert len(peer.finished()) == 2
        assert set(peer.finished()[-1].roster.members) == {other.peer_id for other in swarm.honest}


def test_two_goodbyes_in_one_step_are_both_believed() -> None:
    leavers = {i: Leaves(LeaveReason.LOTTERY) for i in (0, 4)}
    swarm = Swarm(7, steps=3, behaviours=leavers).run()
    swarm.check_agreement()
    gone = {swarm.peers[i].peer_id for i in leavers}
    for peer in swarm.honest:
        assert len(peer.finished()) == 3
        assert peer.finished()[-1].roster.banned == gone


def test_a_newcomer_that_loads_the_state_late_misses_no_commitment() -> None:
    swarm = Swarm(6, steps=3)
    newcomer, crowd = swarm.peers[-1], swarm.peers[:-1]
    for peer in crowd:
        peer.candidates = (newcomer.peer_id,)
    swarm.genesis = dataclasses.replace(swarm.genesis, members=tuple(peer.peer_id for peer in crowd))
    for peer in crowd:
        peer.begin(swarm.genesis)
    swarm.network.run(done=lambda: bool(crowd[0].finished()))
    first = crowd[0].finished()[0]

    def enter() -> None:
        newcomer.parameters = crowd[0].parameters.clone()
        newcomer.begin(first.roster)

    swarm.network.at(swarm.network.now + 5.0, enter)
    swarm.network.run(done=swarm.done)
    assert [result.step for result in newcomer.finished()] == [1, 2]
    assert not any(isinstance(event, Voided) for peer in crowd for event in peer.history)


class DiesWhileSigning(SimulatedPeer):
    """Dies in the middle of the broadcast of its digest: one member gets it, the others do not."""

    def _perform(self, actions) -> None:  # type: ignore[no-untyped-def]
        for action in actions:
            if isinstance(action, Send) and Envelope.decode(action.data).kind is MessageKind.DIGEST:
                super()._perform([Send(action.peers[:1], action.data)])
                self.crash()
                return
            super()._perform([action])


@pytest.mark.parametrize("count", [3, 4, 7])
def test_a_digest_that_reached_one_member_only_divides_nobody(count: int) -> None:
    swarm = one_liar(DiesWhileSigning, count, 1)
    swarm.run()
    swarm.check_agreement()
    for peer in swarm.honest:
        assert len(peer.finished()) == 2, peer.history
        assert peer.stopped is None
    assert set(swarm.honest[0].finished()[-1].roster.members) == {peer.peer_id for peer in swarm.honest}


class Flips(Behaviour):
    """Sends the gradient with the other sign."""

    def gradient(self, step: int, gradient: torch.Tensor) -> torch.Tensor:
        return -gradient


def audited(liar: int, count: int) -> Swarm:
    """Return a swarm that has finished step 0, after which somebody must look at the gradient of the liar."""
    for seed in range(1000):
        swarm = Swarm(count, steps=2, seed=seed, behaviours={liar: Flips()})
        for peer in swarm.peers:
            peer.begin(swarm.genesis)
        swarm.network.run(done=lambda: all(peer.finished() for peer in swarm.peers))  # noqa: B023
        audits = swarm.peers[0].finished()[0].roster.audits
        if audits and audits[0].target == swarm.peers[liar].peer_id:
            return swarm
    raise AssertionError("the draw never hits the liar")


@pytest.mark.parametrize("while_it_looks", ["nothing happens", "somebody leaves"])
def test_what_a_validator_finds_is_not_forgotten_when_the_attempt_fails_meanwhile(while_it_looks: str) -> None:
    swarm = audited(3, 7)
    (audit,) = swarm.peers[0].finished()[0].roster.audits
    if while_it_looks == "somebody leaves":
        leaver = next(p for i, p in enumerate(swarm.peers) if i != 3 and p.peer_id != audit.validator)
        swarm.network.at(swarm.network.now + 0.085, lambda: leaver.leave(LeaveReason.SHUTDOWN))
    swarm.network.run(done=swarm.done)
    swarm.check_agreement()
    for peer in swarm.honest:
        verdicts = [verdict for void in voids(peer) for verdict in void.verdicts]
        assert [(v.peer, v.evidence.offence) for v in verdicts] == [(audit.target, Offence.GRADIENT)]
        assert len(peer.finished()) == 2
