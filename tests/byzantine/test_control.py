"""Honest peers under bad circumstances, peers on probation, and liars that a simulation cannot show in full."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from btard.behaviour import Behaviour, View
from btard.byzantine.control.drift import Drift
from btard.byzantine.control.hasty_validator import HastyValidator
from btard.byzantine.membership.false_door import FalseDoor
from btard.byzantine.membership.forged_evidence import ForgedEvidence
from btard.byzantine.membership.poisoned_state import PoisonedState
from btard.byzantine.membership.sybil_crowd import SybilCrowd
from btard.byzantine.membership.sybil_sleeper import SybilSleeper
from btard.byzantine.settings import BehaviourSettings
from btard.executor import Executor, TimeLeft
from btard.hashing import digest
from btard.identity import Envelope, MessageKind, PeerId
from btard.round.actions import Examine, Stopped, Voided
from btard.round.attempt.attempt import Attempt
from btard.round.evidence.evidence import Offence
from btard.round.evidence.file import to_json
from btard.round.messages.accusations import Opinion
from btard.round.messages.bodies import Commit
from btard.round.rules import VerificationRules
from btard.round.work.examination import Finding, Recomputed
from btard.swarm.bans import BanBook
from btard.transport.memory import SimulatedPeer
from btard.vocabulary import WireType
from tests.btard.round.bans import evidence_of
from tests.btard.round.swarm import RULES, Swarm, keys, verdicts, voids

CHECKED = dataclasses.replace(RULES, verification=VerificationRules(validators=3.0))


def settings(**values: object) -> BehaviourSettings:
    return BehaviourSettings.model_validate({"attack_start": 0, "collude_patience": 0.0} | values)


class Imprecise(Executor):
    """Recomputes others' gradients with rounding errors of its own."""

    error = 1e-3

    async def required(
        self, record: Attempt, task: Examine, time_left: TimeLeft, *, continuing: bool = True
    ) -> torch.Tensor | None:
        true = await super().required(record, task, time_left, continuing=continuing)
        assert true is not None
        noise = torch.randn(true.shape, generator=torch.Generator().manual_seed(record.seats.me[-1]))
        return true + self.error * true.norm() * noise / noise.norm()


class OtherHardware(SimulatedPeer):
    """Rounds otherwise than others."""

    executor_type = Imprecise


def quiet(swarm: Swarm) -> bool:
    """Whether nothing but finished steps has happened to anybody."""
    return not any(isinstance(event, Voided | Stopped) for peer in swarm.peers for event in peer.history)


def begin(swarm: Swarm) -> None:
    """Run a swarm in which nobody counts as honest, until nothing is left to happen."""
    for peer in swarm.peers:
        peer.begin(swarm.genesis)
    swarm.network.run()


@pytest.mark.parametrize("drift", [1e-6, 1e-4, 1e-3, 5e-3])
def test_other_numerics_on_both_sides_give_no_verdict(drift: float) -> None:
    behaviours: dict[int, Behaviour] = {i: Drift(settings(drift=drift), bytes([i])) for i in range(8)}
    swarm = Swarm(8, steps=12, behaviours=behaviours, rules=CHECKED, peer_type=OtherHardware)
    begin(swarm)
    assert quiet(swarm)
    assert all(len(peer.finished()) == 12 for peer in swarm.peers)
    assert len({bytes(peer.finished()[-1].flat) for peer in swarm.peers}) == 1


def test_a_charge_between_the_thresholds_costs_its_author() -> None:
    """Everyone is off by something, and one accuses all that it checks: no majority finds guilt, nor innocence."""
    behaviours: dict[int, Behaviour] = {i: Drift(settings(drift=0.028), bytes([i])) for i in range(8)}
    behaviours[3] = HastyValidator(settings(), b"3")
    between = dataclasses.replace(CHECKED, verification=VerificationRules(validators=3.0, accuse=0.08, convict=0.04))
    swarm = Swarm(8, steps=6, seed=0, behaviours=behaviours, rules=between)
    begin(swarm)
    failed = voids(swarm.peers[0])
    assert failed, "it has accused somebody"
    assert not any(void.verdicts for void in failed)
    assert {peer for void in failed for peer, _ in void.suspended} == {swarm.peers[3].peer_id}, "it may come back"
    assert all(len(peer.finished()) == 6 for i, peer in enumerate(swarm.peers) if i != 3)


class Unsteady(Executor):
    """Finds a fault when it first looks at a vector, and none when it looks again: a bit has flipped in its memory."""

    looks = 0

    async def look(self, record: Attempt, task: Examine, time_left: TimeLeft) -> tuple[Finding, Recomputed | None]:
        self.looks += 1
        found, made = await super().look(record, task, time_left)
        return dataclasses.replace(found, opinion=Opinion.GUILTY, accuse=True) if self.looks % 2 else found, made


class Fleeting(SimulatedPeer):
    """Has an unsteady memory."""

    executor_type = Unsteady


def test_a_validator_accuses_only_of_what_it_finds_twice() -> None:
    swarm = Swarm(8, steps=6, rules=CHECKED, peer_type=Fleeting).run()
    swarm.check_agreement()
    assert quiet(swarm)
    assert sum(peer.executor.looks for peer in swarm.peers if isinstance(peer.executor, Unsteady)) >= 10


def test_an_accusation_that_no_judge_reproduces_costs_a_place() -> None:
    """The machine of one rounds so badly that it finds its targets far off; to the others they are between the
    thresholds, since everybody is off by something."""
    behaviours: dict[int, Behaviour] = {i: Drift(settings(drift=0.028), bytes([i])) for i in range(8)}
    between = dataclasses.replace(CHECKED, verification=VerificationRules(validators=3.0, accuse=0.08, convict=0.04))
    swarm = Swarm(8, steps=6, seed=0, behaviours=behaviours, rules=between, peer_type=OtherHardware)
    for i, peer in enumerate(swarm.peers):
        assert isinstance(peer.executor, Imprecise)
        peer.executor.error = 0.2 if i == 3 else 1e-9
    begin(swarm)
    failed = voids(swarm.peers[0])
    assert failed, "it has accused somebody"
    assert not any(void.verdicts for void in failed)
    assert {peer for void in failed for peer, _ in void.suspended} == {swarm.peers[3].peer_id}, "it may come back"
    assert all(len(peer.finished()) == 6 for i, peer in enumerate(swarm.peers) if i != 3)


def with_newcomers(behaviours: dict[int, Behaviour], *, probation: int, steps: int) -> Swarm:
    """Return a swarm whose liars are on probation in the first steps."""
    swarm = Swarm(8, steps=steps, behaviours=behaviours, rules=CHECKED)
    swarm.genesis = dataclasses.replace(
        swarm.genesis, probation=tuple((swarm.peers[i].peer_id, probation) for i in sorted(behaviours))
    )
    return swarm.run()


def test_a_sleeper_is_honest_on_probation_and_caught_after_it() -> None:
    swarm = with_newcomers({2: SybilSleeper(settings(), b"2")}, probation=4, steps=16)
    swarm.check_agreement()
    for peer in swarm.honest:
        (verdict,) = verdicts(peer)
        assert verdict.peer == swarm.peers[2].peer_id and verdict.evidence.offence is Offence.GRADIENT
        assert verdict.evidence.scene.roster.step > 4


def test_an_owner_of_idle_identities_is_caught_on_probation() -> None:
    crowd: dict[int, Behaviour] = {i: SybilCrowd(settings(collude_at="memory:crowd"), bytes([i])) for i in (1, 4)}
    swarm = with_newcomers(crowd, probation=100, steps=12)
    swarm.check_agreement()
    for peer in swarm.honest:
        (verdict,) = verdicts(peer)
        assert verdict.peer == max(swarm.peers[i].peer_id for i in crowd), "the lowest one's gradient is its own"
        assert verdict.evidence.offence is Offence.GRADIENT


def test_a_false_door_tells_of_a_run_of_its_own_while_it_attacks() -> None:
    liar = FalseDoor(settings(attack_start=1), b"")
    coordinator, key = keys(2)
    liar.attach(key)
    true = Envelope.sign(coordinator, run=bytes(16), step=0, kind=MessageKind.MANIFEST, body=b"{}")
    view = View(Swarm(2).genesis, Swarm(2).genesis.members[0], (), (), 1.0, {}, WireType.FLOAT32)
    commit = Commit(bytes(32), bytes(32), bytes(32), (), bytes(32), b"", (coordinator.peer_id,))
    assert liar.commit(0, commit, view) == commit
    assert liar.told_newcomer("manifest", true.encode()) == true.encode()
    told = liar.commit(1, commit, view)
    assert told is not None and told.candidates == ()
    false = Envelope.decode(liar.told_newcomer("manifest", true.encode()) or b"")
    assert (false.author, false.body) == (key.peer_id, true.body)
    assert liar.told_newcomer("knock", b"wait") is None


def test_a_poisoned_state_is_another_and_an_honest_one_is_not() -> None:
    server = PoisonedState(settings(attack_start=1), b"")
    state = bytes(10_000)
    view = View(Swarm(2).genesis, Swarm(2).genesis.members[0], (), (), 1.0, {}, WireType.FLOAT32)
    commit = Commit(bytes(32), bytes(32), bytes(32), (), bytes(32), b"", ())
    assert server.served_state(state) == state
    server.commit(0, commit, view)
    assert server.served_state(state) == state
    server.commit(1, commit, view)
    poisoned = server.served_state(state)
    assert len(poisoned) == len(state) and digest(poisoned) != digest(state)


async def test_newcomers_believe_true_evidence_and_no_forged_one(tmp_path: Path) -> None:
    forger, true = ForgedEvidence(settings(attack_start=1), b""), to_json(evidence_of(Offence.FALSE_SCALARS))
    roster = Swarm(2).genesis
    view = View(roster, roster.members[0], (), (), 1.0, {}, WireType.FLOAT32)
    commit = Commit(bytes(32), bytes(32), bytes(32), (), bytes(32), b"", ())
    forger.commit(0, commit, view)
    assert forger.served_evidence(true) == true and forger.served_evidence(None) is None
    forger.commit(1, commit, view)
    assert forger.served_evidence(None) is None
    shown = {roster.members[0]: forger.served_evidence(true), roster.members[1]: true}

    async def ask(source: PeerId, banned: PeerId) -> bytes | None:
        return shown[source]

    evidence = evidence_of(Offence.FALSE_SCALARS)
    newcomer = BanBook(tmp_path, evidence.rules)
    assert await newcomer.verify_all(ask, [evidence.accused], roster.members[:1]) == ([], [evidence.accused])
    verified, unproven = await newcomer.verify_all(ask, [evidence.accused], roster.members)
    assert [found for found, _ in verified] == [evidence] and unproven == []
