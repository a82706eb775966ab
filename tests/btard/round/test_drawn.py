"""An audit outlives membership: a target is examined, and pays for a lie, wherever it has gone since it was drawn."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Container, Sequence

import pytest
import torch

from btard.behaviour import Behaviour, LeaveReason
from btard.byzantine.control.hasty_validator import HastyValidator
from btard.byzantine.gradients.live.alone import SignFlipping
from btard.byzantine.membership.drawn_and_gone import DrawnAndGone
from btard.byzantine.settings import BehaviourSettings, Escape
from btard.identity import IdentityKey, PeerId
from btard.round.actions import Action, Examine
from btard.round.attempt.seats import Seats
from btard.round.draw import Audit
from btard.round.evidence.evidence import Offence
from btard.round.evidence.file import from_json, to_json
from btard.round.messages.accusations import Fault
from btard.round.messages.bodies import Phase
from btard.round.proof import Unproven, verify
from btard.round.roster import Roster
from btard.round.step import StepMachine
from btard.round.work.answers import GradientComputed, TargetExamined
from btard.round.work.examination import UNKNOWN
from btard.transport.memory import NetworkConditions, SimulatedPeer
from btard.vocabulary import Validation
from tests.btard.round.bans import verified
from tests.btard.round.swarm import RULES, Swarm, keys, offences, one_of, suspended, verdicts, voids
from tests.quick import quick, stride

COUNT, GONE, STEPS = 8, 3, 14
ALWAYS = BehaviourSettings(attack_start=0)


class Leaves(Behaviour):
    """Honest, but gone as soon as it is drawn as a target."""

    def attach(self, key: IdentityKey) -> None:
        self.me = key.peer_id

    def leaves(self, step: int, following: Roster) -> LeaveReason | None:
        return LeaveReason.SHUTDOWN if self.me in following.validators.values() else None


def swarm_of(behaviours: dict[int, Behaviour], seed: int, **rules: object) -> Swarm:
    """Return a swarm that has run."""
    swarm = Swarm(COUNT, steps=STEPS, seed=seed, behaviours=behaviours, rules=verified(validators=2.0, **rules)).run()
    swarm.check_agreement()
    assert all(len(peer.finished()) == STEPS for peer in swarm.honest), [peer.stopped for peer in swarm.honest]
    return swarm


def check_banned(swarm: Swarm) -> None:
    """Assert that the peer GONE is banned for its vector, with evidence, and nobody else loses anything."""
    gone = swarm.peers[GONE].peer_id
    for peer in swarm.honest:
        (verdict,) = verdicts(peer)
        assert (verdict.peer, verdict.evidence.offence) == (gone, Offence.GRADIENT)
        assert verify(from_json(to_json(verdict.evidence)))
        last = peer.finished()[-1].roster
        assert last.banned == {gone} and gone not in last.former, "it never comes back"


@pytest.mark.parametrize("escape", [Escape.GOODBYE, Escape.SILENCE])
@pytest.mark.parametrize("seed", range(2))
def test_a_liar_that_leaves_when_it_is_drawn_is_banned(escape: Escape, seed: int) -> None:
    liar = DrawnAndGone(BehaviourSettings(attack_start=0, escape=escape), b"")
    swarm = swarm_of({GONE: liar}, seed)
    check_banned(swarm)
    assert not any(map(suspended, swarm.honest))


class Quits(SimulatedPeer):
    """Complains falsely when it is drawn, which costs its place before anybody has examined it."""

    quits = False

    def begin(self, roster: Roster) -> None:
        super().begin(roster)
        machine = self.session.machine
        if machine is None or self.quits or self.peer_id not in roster.validators.values():
            return
        self.quits = True
        complaint = {machine.attempt.seats.others[0]: Fault.NO_COMMIT}
        self.perform(machine._settlement.freeze(self.network.now, Phase.COMMIT, complaint, [], None))


@pytest.mark.parametrize("seed", range(2))
def test_a_liar_that_is_suspended_first_is_banned_later(seed: int) -> None:
    swarm = Swarm(
        COUNT,
        steps=STEPS,
        seed=seed,
        behaviours={GONE: SignFlipping(ALWAYS, b"")},
        rules=verified(validators=2.0),
        peer_type=one_of(Quits, GONE),
    ).run()
    swarm.check_agreement()
    assert all(len(peer.finished()) == STEPS for peer in swarm.honest)
    check_banned(swarm)
    gone = swarm.peers[GONE].peer_id
    assert all(suspended(peer) == {gone} for peer in swarm.honest)


class ShowsOnce(SignFlipping):
    """Shows its validator what its vector was built on, and its judges nothing."""

    shown = -1

    def shown_momentum(self, step: int, asker: PeerId, base: bytes | None) -> bytes | None:
        if step == self.shown:
            return None
        self.shown = step
        return base


@pytest.mark.parametrize("seed", range(2))
def test_what_was_shown_to_the_validator_alone_convicts(seed: int) -> None:
    """Else a liar would have an honest accuser lose its place, by a goodbye at the right moment."""
    swarm = swarm_of({GONE: ShowsOnce(ALWAYS, b"")}, seed, momentum=0.9)
    check_banned(swarm)
    assert not any(map(suspended, swarm.honest))


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("seed", range(2))
def test_an_honest_peer_that_leaves_is_found_innocent(momentum: float, seed: int) -> None:
    """With momentum it shows its validator nothing, and that is no offence of a peer that is gone."""
    swarm = swarm_of({GONE: Leaves()}, seed, momentum=momentum)
    for peer in swarm.honest:
        assert [void.attempt for void in voids(peer)] == [0], "its goodbye is all that disturbs"
        assert not offences(peer) and not suspended(peer)
        assert swarm.peers[GONE].peer_id in peer.finished()[-1].roster.former


def test_a_false_charge_against_one_that_has_left_is_paid_for() -> None:
    hasty = {i: HastyValidator(ALWAYS, b"") for i in range(COUNT) if i % 2 and i != GONE}
    paid = []
    for seed in range(6):
        swarm = swarm_of({**hasty, GONE: Leaves()}, seed)
        honest = swarm.honest[0]
        assert set(offences(honest).values()) <= {Offence.FALSE_ACCUSATION}
        assert offences(honest).keys() <= {swarm.peers[i].peer_id for i in hasty}
        for void in voids(honest):
            later = [verdict.evidence for verdict in void.verdicts if void.attempt > 0]
            paid += [verify(evidence) for evidence in later]
    assert paid


def test_only_the_vector_is_proven_of_one_that_is_gone() -> None:
    swarm = swarm_of({GONE: DrawnAndGone(ALWAYS, b"")}, 0)
    (verdict,) = verdicts(swarm.honest[0])
    assert verdict.peer not in verdict.evidence.scene.members
    for offence in Offence:
        if offence is not Offence.GRADIENT:
            with pytest.raises(Unproven):
                verify(dataclasses.replace(verdict.evidence, offence=offence))


class Deserts(Behaviour):
    """Honest, but gone as soon as it is drawn as the validator of one of these."""

    def __init__(self, targets: Container[PeerId]) -> None:
        self.targets = targets

    def attach(self, key: IdentityKey) -> None:
        self.me = key.peer_id

    def leaves(self, step: int, following: Roster) -> LeaveReason | None:
        return LeaveReason.SHUTDOWN if following.validators.get(self.me) in self.targets else None


PEERS = tuple(key.peer_id for key in keys(COUNT))


def deserted(deserters: dict[int, Behaviour], others: dict[int, Behaviour], seed: int, **rules: object) -> Swarm:
    """Return a swarm that has run, of which the deserters are honest."""
    behaviours = {**deserters, **others}
    swarm = Swarm(COUNT, steps=STEPS, seed=seed, behaviours=behaviours, rules=verified(validators=2.0, **rules))
    swarm.liars = set(others)
    swarm.run().check_agreement()
    assert all(len(peer.finished()) == STEPS for peer in swarm.honest), [peer.stopped for peer in swarm.honest]
    assert not any(map(suspended, swarm.honest))
    return swarm


@pytest.mark.parametrize("validation", list(Validation))
@pytest.mark.parametrize(
    "liar, momentum",
    [(SignFlipping, 0.0), (SignFlipping, 0.9), (DrawnAndGone, 0.0)],
    ids=["stays", "with momentum", "leaves"],
)
def test_a_validator_that_leaves_does_not_save_its_target(
    liar: type[SignFlipping], momentum: float, validation: Validation
) -> None:
    """All are gone as soon as they are drawn for the liar; there is always another one."""
    for seed in range(0, 2, stride(2)):
        deserters: dict[int, Behaviour] = {i: Deserts({PEERS[GONE]}) for i in range(COUNT)}
        swarm = deserted(deserters, {GONE: liar(ALWAYS, b"")}, seed, momentum=momentum, validation=validation)
        check_banned(swarm)
        (deserter,) = (peer.peer_id for i, peer in enumerate(swarm.peers) if peer.crashed and i != GONE)
        rosters = [result.roster for result in swarm.honest[0].finished()]
        assert next(roster for roster in rosters if deserter not in roster.members).banned == {PEERS[GONE]}


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("seed", quick(1, range(12)))
def test_honest_deputies_and_their_targets_lose_nothing(momentum: float, seed: int) -> None:
    """A deputy has computed a vector that it does not send; the next one that it sends is not built on it."""
    deserters: dict[int, Behaviour] = {i: Deserts(PEERS) for i in (1, 4, 6)}
    swarm = deserted(deserters, {}, seed, momentum=momentum)
    assert any(peer.crashed for peer in swarm.peers)
    for peer in swarm.honest:
        assert not offences(peer)
        assert [void.attempt for void in voids(peer)] == [0] * len(voids(peer)), "a goodbye is all that disturbs"


def test_a_deputy_looks_at_each_target_that_comes_to_it() -> None:
    """When a second validator goes, the first deputy gets its target, and hands the other one on."""
    swarm = Swarm(COUNT, steps=2)
    roster = dataclasses.replace(swarm.genesis, audits=(Audit(PEERS[0], PEERS[1]), Audit(PEERS[2], PEERS[3])))
    later, last = (tuple(peer for peer in PEERS if peer not in gone) for gone in (PEERS[2:3], PEERS[:3:2]))
    (deputy,) = (peer for peer in swarm.peers if targets_of(roster, later).get(peer.peer_id) == PEERS[3])
    assert targets_of(roster, last)[deputy.peer_id] == PEERS[1]
    deputy.begin(roster)
    machine = deputy.session.machine
    assert machine is not None
    machine._new_attempt(1, later)
    assert examining(machine) == [PEERS[3]]
    vector = GradientComputed(roster.step, torch.zeros(swarm.rules.dimension))
    assert machine.answer(0.0, vector) == [], "it sends nothing in this attempt"
    machine.own.examined[PEERS[3]] = TargetExamined(roster.step, PEERS[3], UNKNOWN)
    machine._new_attempt(2, later)
    assert examining(machine) == []
    machine._new_attempt(3, last)
    assert examining(machine) == [PEERS[1]]
    machine.standing = dataclasses.replace(machine.standing, banned=frozenset({PEERS[1]}))
    machine._new_attempt(4, last)
    assert examining(machine) == [], "there is nothing left to find out"


def targets_of(roster: Roster, members: tuple[PeerId, ...]) -> dict[PeerId, PeerId]:
    return Seats(verified(), roster, 1, members, members[-1]).validators


def examining(machine: StepMachine) -> list[PeerId]:
    """Return the targets that a peer examines when it begins an attempt."""
    return [action.target for action in machine._begin(0.0) if isinstance(action, Examine)]


class Shy(DrawnAndGone):
    """Is gone, too, when it is drawn as the validator of another liar."""

    def leaves(self, step: int, following: Roster) -> LeaveReason | None:
        shielded = following.validators.get(self.me) in {PEERS[1], PEERS[GONE], PEERS[6]}
        return LeaveReason.SHUTDOWN if shielded else super().leaves(step, following)


@pytest.mark.parametrize("seed", quick(2, range(12)))
def test_goodbyes_and_deaths_at_any_time_harm_nobody_honest(seed: int) -> None:
    draw = random.Random(seed)
    rules = verified(
        validators=draw.choice([1.0, 2.0, 3.0]),
        momentum=draw.choice([0.0, 0.0, 0.9]),
        validation=draw.choice(list(Validation)),
    )
    kinds = [draw.choice([Shy, DrawnAndGone, SignFlipping]) for _ in range(2)]
    liars = dict(zip(draw.sample((1, GONE, 6), 2), (kind(escape_of(draw), b"") for kind in kinds), strict=True))
    delay = NetworkConditions(draw.choice([(0.01, 0.01), (0.01, 0.2)]))
    swarm = Swarm(COUNT, steps=10, seed=seed, behaviours=liars, rules=rules, conditions=delay)
    for peer in swarm.peers:
        peer.compute_seconds = draw.choice([0.01, 0.1, 0.3])
    leaver = swarm.peers[draw.choice([0, 2, 4])]
    goes = (lambda: leaver.leave(LeaveReason.SHUTDOWN)) if draw.random() < 0.6 else leaver.crash
    swarm.network.at(draw.uniform(0.0, 4.0), goes)
    swarm.run().check_agreement()
    guilty = {PEERS[i] for i in liars}
    for peer in swarm.honest:
        assert len(peer.finished()) == 10, peer.stopped
        assert set(offences(peer).values()) <= {Offence.GRADIENT} and offences(peer).keys() <= guilty
        assert suspended(peer) <= guilty | {leaver.peer_id}
        assert all(verify(verdict.evidence) for verdict in verdicts(peer))


def escape_of(draw: random.Random) -> BehaviourSettings:
    return BehaviourSettings(attack_start=draw.choice([0, 2]), escape=draw.choice(list(Escape)))


class Watched(SimulatedPeer):
    """Notes what it is asked to examine."""

    asked: list[Examine]

    def perform(self, actions: Sequence[Action]) -> None:
        noted = self.__dict__.setdefault("asked", [])
        noted += [action for action in actions if isinstance(action, Examine)]
        super().perform(actions)


def test_a_validator_waits_for_no_answer_till_it_is_late() -> None:
    """A target that is silent would else make its validator late, and the others leave that one out."""
    swarm = Swarm(6, steps=5, peer_type=Watched).run()
    asked = [task for peer in swarm.peers for task in peer.asked]  # type: ignore[attr-defined]
    assert len(asked) >= 4 and all(task.within_seconds < RULES.delay_bound_seconds for task in asked)
