"""Disputes among whole swarms: what an author keeps from one member, and which of two is believed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from btard.behaviour import Behaviour, Outgoing, View
from btard.hashing import Payload, digest
from btard.identity import Envelope, MessageKind, PeerId
from btard.round.messages.accusations import Fault, Report
from btard.round.messages.bodies import Commit, Phase
from btard.round.rules import VerificationRules
from btard.transport.memory import NetworkConditions, SimulatedPeer
from tests.btard.round.swarm import RULES, Swarm, keys, suspended, voids
from tests.quick import stride

COUNT = 8
PEERS = tuple(key.peer_id for key in keys(COUNT))
VICTIM, REFUSER, ALARM = 0, 3, 6
STEP = 1
HEARD: Counter[MessageKind] = Counter()


class Refuses(Behaviour):
    """Gives the victim's part to nobody, and tells the victim nothing once the attempt has failed."""

    def __init__(self) -> None:
        self._refused = -1

    def commit(self, step: int, commit: Commit, view: View) -> Commit | None:
        self._refused = view.owners.index(PEERS[VICTIM]) if step == STEP and PEERS[VICTIM] in view.owners else -1
        self._hash = commit.parts[self._refused] if self._refused >= 0 and commit.parts else b""
        return commit

    def part(self, step: int, receiver: PeerId, payload: Payload) -> Payload | None:
        return None if digest(payload) == self._hash else payload

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> Sequence[Outgoing] | None:
        told = envelope.kind in (MessageKind.REPORT, MessageKind.RELAY, MessageKind.FORWARD)
        return [] if told and receiver == PEERS[VICTIM] else None


class Alarm(Behaviour):
    """Complains falsely right after its commitment, to all but `deaf`, and says nothing else."""

    def __init__(self, deaf: Sequence[PeerId]) -> None:
        self._deaf = deaf

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> Sequence[Outgoing] | None:
        if envelope.step != STEP or envelope.attempt:
            return None
        if envelope.kind is not MessageKind.COMMIT:
            return []
        report = Report(Phase.SCATTER, False, PEERS, ((PEERS[1], Fault.NO_PART),), None, ())
        alarm = Envelope.sign(
            keys(COUNT)[ALARM],
            run=envelope.run,
            step=envelope.step,
            attempt=envelope.attempt,
            kind=MessageKind.REPORT,
            body=report.encode(),
        )
        return [Outgoing(envelope.encode()), *([] if receiver in self._deaf else [Outgoing(alarm.encode(), 0.05)])]


def gone(swarm: Swarm) -> set[PeerId]:
    return set().union(*map(suspended, swarm.honest))


@pytest.mark.parametrize("deaf", [(), (PEERS[VICTIM],)], ids=["all hear the alarm", "all but the victim hear it"])
def test_a_peer_that_knows_a_reason_does_not_complain_and_stays(deaf: Sequence[PeerId]) -> None:
    """Others have stopped for that reason before they could say what they have not got."""
    rules = replace(RULES, verification=VerificationRules())  # all own parts, the victim too
    swarm = Swarm(COUNT, steps=3, behaviours={REFUSER: Refuses(), ALARM: Alarm(deaf)}, rules=rules).run()
    swarm.check_agreement()
    assert all(len(peer.finished()) == 3 for peer in swarm.honest), [peer.stopped for peer in swarm.honest]
    assert gone(swarm) == {PEERS[REFUSER], PEERS[ALARM]}


class Counts(SimulatedPeer):
    """Counts what arrives."""

    def receive(self, sender: PeerId, data: bytes) -> None:
        HEARD[Envelope.decode(data).kind] += 1
        super().receive(sender, data)


@pytest.mark.parametrize("delay", [(0.01, 0.01), (0.3, 0.3)])
def test_nobody_asks_for_what_takes_no_longer_than_usual(delay: tuple[float, float]) -> None:
    for seed in range(4):
        HEARD.clear()
        swarm = Swarm(COUNT, steps=3, seed=seed, conditions=NetworkConditions(delay), peer_type=Counts).run()
        assert all(len(peer.finished()) == 3 for peer in swarm.peers)
        witnessed = 3 * COUNT  # a witness asks an owner for its own row
        assert HEARD[MessageKind.FORWARD] == 0 and HEARD[MessageKind.PULL] <= witnessed


@pytest.mark.parametrize("delay", [(0.001, 1.0), (0.001, 1.2)])
def test_on_a_shaky_network_nobody_is_left_out(delay: tuple[float, float]) -> None:
    for seed in range(0, 4, stride(2)):
        HEARD.clear()
        swarm = Swarm(COUNT, steps=12, seed=seed, conditions=NetworkConditions(delay), peer_type=Counts).run()
        assert all(len(peer.finished()) == 12 for peer in swarm.peers)
        assert HEARD[MessageKind.OVERDUE] == HEARD[MessageKind.REPORT] == 0


@pytest.mark.parametrize("kind", [MessageKind.COMMIT, MessageKind.REVEAL, MessageKind.SCALARS, MessageKind.DIGEST])
@pytest.mark.parametrize("delay", [(0.01, 0.01), (0.001, 1.0)])
def test_a_message_kept_from_some_reaches_them_through_others(kind: MessageKind, delay: tuple[float, float]) -> None:
    class Keeps(Behaviour):
        def transmit(
            self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
        ) -> Sequence[Outgoing] | None:
            return [] if envelope.kind in (kind, MessageKind.FORWARD) and receiver in PEERS[2:6] else None

    swarm = Swarm(COUNT, steps=3, behaviours={REFUSER + 3: Keeps()}, conditions=NetworkConditions(delay)).run()
    swarm.check_agreement()
    assert not any(voids(peer) for peer in swarm.peers)
    for peer in swarm.honest:
        assert len(peer.finished()) == 3, peer.stopped


@pytest.mark.parametrize("kind", [MessageKind.COMMIT, MessageKind.REVEAL, MessageKind.SCALARS, MessageKind.DIGEST])
def test_a_message_kept_from_all_suspends_its_author_alone(kind: MessageKind) -> None:
    later = 5  # in the first steps nothing is held against a member for which an attempt need not be repeated

    class Keeps(Behaviour):
        def transmit(
            self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
        ) -> Sequence[Outgoing] | None:
            return [] if envelope.kind in (kind, MessageKind.FORWARD) and envelope.step >= later else None

    swarm = Swarm(COUNT, steps=later + 6, behaviours={i: Keeps() for i in (1, 4, 6)}).run()
    swarm.check_agreement()
    assert all(len(peer.finished()) == later + 6 for peer in swarm.honest), [peer.stopped for peer in swarm.honest]
    out = set(PEERS) - set(swarm.honest[0].finished()[-1].roster.members)
    assert len(out) >= 2, "one may be a validator, and publish no scalars"
    assert out <= {PEERS[i] for i in (1, 4, 6)}
