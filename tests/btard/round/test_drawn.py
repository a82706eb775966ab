"""An audit outlives membership: a target is examined, and pays for a lie, wherever it has gone since it was drawn."""

from __future__ import annotations

import dataclasses

import pytest

from btard.behaviour import Behaviour, LeaveReason
from btard.byzantine.control.hasty_validator import HastyValidator
from btard.byzantine.gradients.sign_flipping import SignFlipping
from btard.byzantine.membership.drawn_and_gone import DrawnAndGone
from btard.byzantine.settings import BehaviourSettings, Escape
from btard.identity import IdentityKey
from btard.round.evidence.evidence import Offence
from btard.round.evidence.file import from_json, to_json
from btard.round.messages.accusations import Fault
from btard.round.messages.bodies import Phase
from btard.round.proof import Unproven, verify
from btard.round.roster import Roster
from btard.transport.memory import SimulatedPeer
from tests.btard.round.bans import verified
from tests.btard.round.swarm import Swarm, offences, one_of, suspended, verdicts, voids

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
@pytest.mark.parametrize("seed", range(4))
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


@pytest.mark.parametrize("seed", range(4))
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


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("seed", range(4))
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
