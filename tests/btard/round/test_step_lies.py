"""One step under the simulated network: parts withheld, spoiled or contradicted, and what must follow."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from btard.behaviour import Behaviour, LeaveReason, View
from btard.hashing import Payload, digest
from btard.identity import Envelope, IdentityKey, MessageKind, PeerId
from btard.round.actions import Send
from btard.round.evidence.evidence import Offence
from btard.round.messages.bodies import Commit, PartHeader
from btard.round.proof import Unproven, verify
from btard.round.rules import VerificationRules
from btard.transport.memory import SimulatedPeer
from btard.vocabulary import Eliminate
from tests.btard.round.swarm import RULES, Swarm, keys, one_liar, suspended, verdicts, voids


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


def test_a_part_against_its_commitment_bans_with_evidence() -> None:
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


def test_a_peer_that_sends_corrupted_bytes_to_most_is_suspended() -> None:
    swarm = Swarm(5, steps=2, behaviours={1: CorruptedParts()}).run()
    swarm.check_agreement()
    for peer in swarm.honest:
        assert len(peer.finished()) == 2
        last = peer.finished()[-1].roster
        assert swarm.peers[1].peer_id not in last.members and not last.banned and len(last.members) == 4


@pytest.mark.parametrize("lie", [CorruptedParts, WithheldParts])
def test_a_part_kept_from_its_owner_comes_through_third_peers(lie: type[CorruptedParts]) -> None:
    victim = keys(7)[4].peer_id
    swarm = Swarm(7, steps=3, behaviours={1: lie({victim})}).run()
    swarm.check_agreement()
    for peer in swarm.peers:
        assert len(peer.finished()) == 3 and not voids(peer)


class Withholder(SimulatedPeer):
    """Gives the part of one owner to nobody, not even to third peers that ask for it."""

    victim: PeerId

    def send_part(self, receiver: PeerId, header: Envelope, payload: Payload) -> None:
        machine = self.session.machine
        assert machine is not None
        owned = header.kind is MessageKind.PART and PartHeader.decode(header.body).part
        if header.author != self.peer_id or owned != machine.attempt.seats.part_of.get(self.victim):
            super().send_part(receiver, header, payload)


@pytest.mark.parametrize("mode", list(Eliminate))
def test_a_refused_part_costs_its_victim_too_in_paper_mode(mode: Eliminate) -> None:
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
            assert suspended(peer) == out and not last.banned
        else:
            assert last.banned == out and {verdict.evidence.offence for verdict in void.verdicts} == {
                Offence.ELIMINATED
            }
            for verdict in void.verdicts:
                with pytest.raises(Unproven, match="proves no lie"):
                    verify(verdict.evidence)


def test_rows_that_are_not_finite_ban_their_sender_by_arithmetic() -> None:
    swarm = Swarm(5, steps=2, behaviours={2: NotANumber()}, rule="mean").run()
    swarm.check_agreement()
    liar = swarm.peers[2].peer_id
    for peer in swarm.honest:
        assert len(peer.finished()) == 2
        assert peer.finished()[-1].roster.banned == {liar}
        (verdict,) = voids(peer)[0].verdicts
        assert verdict.evidence.offence is Offence.NOT_FINITE and "by arithmetic" in verify(verdict.evidence)
        assert bool(torch.isfinite(peer.parameters).all())


class TwoFaced(SimulatedPeer):
    """Tells the second half of the swarm something else, in messages of one kind."""

    kind = MessageKind.COMMIT

    def perform(self, actions) -> None:  # type: ignore[no-untyped-def]
        super().perform([part for action in actions for part in self._split(action)])

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


def test_two_commitments_ban_their_author() -> None:
    swarm = one_liar(TwoFaced, 6, 2).run()
    swarm.check_agreement()
    liar = swarm.peers[2].peer_id
    for peer in swarm.honest:
        assert len(peer.finished()) == 2
        assert peer.finished()[-1].roster.banned == {liar}
        assert len(peer.finished()[-1].roster.members) == 5


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
def test_a_validators_finding_survives_a_failed_attempt(while_it_looks: str) -> None:
    swarm = audited(3, 7)
    (audit,) = swarm.peers[0].finished()[0].roster.audits
    if while_it_looks == "somebody leaves":
        leaver = next(p for i, p in enumerate(swarm.peers) if i != 3 and p.peer_id != audit.validator)
        swarm.network.at(swarm.network.now + 0.085, lambda: leaver.leave(LeaveReason.SHUTDOWN))
    swarm.network.run(done=swarm.done)
    swarm.check_agreement()
    for peer in swarm.honest:
        assert [(v.peer, v.evidence.offence) for v in verdicts(peer)] == [(audit.target, Offence.GRADIENT)]
        assert len(peer.finished()) == 2
