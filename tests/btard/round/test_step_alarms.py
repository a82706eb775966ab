"""One step under the simulated network: reports that give no reason halt nobody."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial

import pytest
import torch

from btard.behaviour import Behaviour, LeaveReason
from btard.identity import Envelope, MessageKind, PeerId
from btard.round.actions import Action, ComputeGradient, EncodeParts, Send
from btard.round.messages.accusations import Fault, Report
from btard.round.messages.bodies import Phase
from btard.round.rules import VerificationRules
from btard.transport.memory import SimulatedPeer
from tests.btard.round.swarm import RULES, Swarm, one_liar


class FalseAlarm(SimulatedPeer):
    """Gives every attempt up at once, accusing an honest peer or nobody."""

    accused: PeerId | None = None

    def begin(self, roster) -> None:  # type: ignore[no-untyped-def]
        complaints = ((self.accused, Fault.NO_COMMIT),) if self.accused else ()
        body = Report(Phase.COMMIT, False, roster.members, complaints, None, ()).encode()
        envelope = Envelope.sign(self.key, run=self.rules.run, step=roster.step, kind=MessageKind.REPORT, body=body)
        others = tuple(peer for peer in roster.members if peer != self.peer_id)
        self.perform([Send(others, envelope.encode())])

    def receive(self, sender: PeerId, data: bytes | Envelope) -> None:
        """Say nothing more, whatever comes: a second report would contradict the first."""


@pytest.mark.parametrize("accuses", [False, True])
def test_a_false_alarm_costs_its_author_its_place(accuses: bool) -> None:
    swarm = one_liar(FalseAlarm, 7, 3)
    liar = swarm.peers[3]
    assert isinstance(liar, FalseAlarm)
    if accuses:
        liar.accused = swarm.peers[0].peer_id
    swarm.run()
    swarm.check_agreement()
    goers = [peer for i, peer in enumerate(swarm.peers) if i != 3]
    assert all(len(peer.finished()) == 2 for peer in goers)
    assert set(goers[0].finished()[-1].roster.members) == {peer.peer_id for peer in goers}
    assert not goers[0].finished()[-1].roster.banned


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
        self.perform([Send(others, data)])


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


class Asked(SimulatedPeer):
    """Keeps what it is asked to compute and to encode."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.tasks: list[Action] = []

    def perform(self, actions: Sequence[Action]) -> None:
        self.tasks += [action for action in actions if isinstance(action, ComputeGradient | EncodeParts)]
        super().perform(actions)


@pytest.mark.parametrize("seconds, attempts", [(0.1, [0, 1]), (10.0, [1])], ids=["before", "after"])
def test_a_vector_is_computed_once_for_all_attempts_of_a_step(seconds: float, attempts: list[int]) -> None:
    """The vector is there before the first attempt fails, or after that."""
    rules = dataclasses.replace(RULES, verification=VerificationRules())
    swarm = Swarm(7, steps=1, behaviours={3: Behaviour()}, peer_type=Asked, rules=rules)
    for peer in swarm.peers:
        peer.compute_seconds = seconds
    leaver = swarm.peers[3]
    leaver.compute_seconds = 100.0
    swarm.network.at(0.5, lambda: leaver.leave(LeaveReason.SHUTDOWN))
    swarm.run().check_agreement()
    for peer in swarm.honest:
        assert isinstance(peer, Asked) and [result.attempt for result in peer.finished()] == [1]
        assert [task for task in peer.tasks if isinstance(task, ComputeGradient)] == [ComputeGradient(swarm.genesis)]
        encoded = [task for task in peer.tasks if isinstance(task, EncodeParts)]
        assert [task.attempt for task in encoded] == attempts
        assert len({task.vector.data_ptr() for task in encoded}) == 1


class Fickle(Behaviour):
    """Submits another vector in each attempt."""

    def vector(self, step: int, attempt: int, vector: torch.Tensor) -> torch.Tensor:
        return vector + attempt


def test_each_attempt_asks_anew_what_to_submit() -> None:
    swarm = Swarm(5, steps=1, behaviours={1: Fickle(), 3: Behaviour()}, peer_type=Asked)
    swarm.peers[3].compute_seconds = 100.0
    swarm.network.at(0.5, lambda: swarm.peers[3].leave(LeaveReason.SHUTDOWN))
    swarm.run().check_agreement()
    honest, fickle = swarm.peers[0], swarm.peers[1]
    assert isinstance(honest, Asked) and isinstance(fickle, Asked)
    sent = [[task.vector for task in peer.tasks if isinstance(task, EncodeParts)] for peer in (honest, fickle)]
    assert torch.equal(*sent[0]) and torch.equal(sent[1][0] + 1, sent[1][1])
    assert not swarm.peers[0].finished()[0].roster.banned
