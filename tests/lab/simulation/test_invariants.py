"""The checker sees what it is there for: each invariant is broken on purpose."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from btard.behaviour import Behaviour
from btard.identity import MessageKind
from btard.lab.simulation.invariants import Violation, run_checked
from btard.lab.simulation.peer import Event, LabPeer
from btard.lab.simulation.settings import SimulateSettings
from btard.lab.simulation.simulation import Simulation
from btard.round.actions import Finished, Voided
from btard.round.evidence.evidence import Evidence, Offence


def simulation(**chosen: Any) -> Simulation:
    quick = {"peers": 5, "steps": 12, "task": "none", "dimension": 10, "attack": ["SIGN_FLIPPING"], "cut": []}
    return Simulation(SimulateSettings.model_validate({**quick, **chosen}))


def violation(broken: Simulation) -> Violation:
    with pytest.raises(Violation) as caught:
        run_checked(broken)
    assert broken.settings.command in str(caught.value) and f"seed {broken.settings.seed}" in str(caught.value)
    return caught.value


def forged(change: Callable[[LabPeer, Event], Event], broken: Simulation) -> Violation:
    """Run with peers whose events are changed before anybody hears of them."""
    for peer in broken.peers:
        original = peer.note
        peer.note = lambda event, peer=peer, told=original: told(change(peer, event))  # type: ignore[method-assign, misc]
    return violation(broken)


def test_two_states_are_found() -> None:
    broken = simulation()
    broken.network.at(0.15, lambda: broken.peers[1].parameters.add_(1.0))
    assert violation(broken).invariant == "I1"


def test_two_rosters_are_found() -> None:
    def change(peer: LabPeer, event: Event) -> Event:
        if peer.number == 3 and not isinstance(event, Voided) and hasattr(event, "roster"):
            return dataclasses.replace(event, roster=dataclasses.replace(event.roster, randomness=bytes(32)))
        return event

    assert forged(change, simulation()).invariant == "I1"


def bans_changed(change: Callable[[LabPeer, Evidence], Evidence]) -> Violation:
    def of_event(peer: LabPeer, event: Event) -> Event:
        if not isinstance(event, Voided):
            return event
        verdicts = tuple(dataclasses.replace(v, evidence=change(peer, v.evidence)) for v in event.verdicts)
        return dataclasses.replace(event, verdicts=verdicts)

    return forged(of_event, simulation(byzantine=2, steps=60, validators=2))


def test_two_lists_of_bans_are_found() -> None:
    broken = simulation(byzantine=2, steps=60, validators=2)

    def forget(peer: LabPeer, event: Event) -> Event:
        if peer.number != 1 or not isinstance(event, Voided) or not event.verdicts:
            return event
        banned = tuple((verdict.peer, "late") for verdict in event.verdicts)
        return dataclasses.replace(event, verdicts=(), suspended=event.suspended + banned)

    assert forged(forget, broken).invariant == "I1"


@pytest.mark.parametrize("honest", [False, True])
def test_a_failure_at_the_wrong_cost_is_found(honest: bool) -> None:
    broken = simulation(byzantine=2, steps=60, validators=2)
    victim = broken.peers[2].peer_id

    def change(peer: LabPeer, event: Event) -> Event:
        if peer.number != 1 or not isinstance(event, Voided):
            return event
        return dataclasses.replace(event, verdicts=(), suspended=((victim, "late"),) if honest else ())

    assert forged(change, broken).invariant == "I9"


def test_evidence_that_proves_nothing_is_found() -> None:
    assert bans_changed(lambda peer, evidence: dataclasses.replace(evidence, envelopes=())).invariant == "I3"
    changed = bans_changed(lambda peer, evidence: dataclasses.replace(evidence, offence=Offence.EQUIVOCATION))
    assert changed.invariant == "I3"


def test_a_banned_honest_peer_is_found() -> None:
    broken = simulation(byzantine=2, steps=60, validators=2)
    for peer in broken.peers:
        peer.honest = True
    assert violation(broken).invariant == "I2"


def test_a_failed_attempt_among_honest_peers_is_found() -> None:
    broken = simulation()
    broken.network.at(1.0, broken.peers[2].crash)
    broken.peers[2].honest = True
    assert violation(broken).invariant == "I4"


class Raises(Behaviour):
    def batch_seed(self, roster: Any, seed: bytes) -> bytes:
        raise RuntimeError("on purpose")


def test_an_exception_is_found() -> None:
    broken = simulation()
    broken.peers[0].behaviour.batch_seed = Raises().batch_seed  # type: ignore[method-assign]
    found = violation(broken)
    assert found.invariant == "I6" and "on purpose" in found.words


def test_what_piles_up_is_found() -> None:
    broken = simulation()

    def pile() -> None:
        machine = broken.peers[0].session.machine
        assert machine is not None
        stranger = broken.peers[1].peer_id
        machine.attempt.carried.pulled.update((stranger, (MessageKind.PART, stranger, number)) for number in range(99))

    broken.network.at(0.05, pile)
    assert violation(broken).invariant == "I6"


def test_a_swarm_that_stands_still_is_found() -> None:
    broken = simulation()
    broken.network.at(0.05, lambda: setattr(broken.network, "_events", []))
    assert violation(broken).invariant == "I7"


def test_a_crowd_that_comes_in_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("btard.round.admission.quota", lambda members: members)
    found = violation(simulation(newcomers=2, newcomers_at=2))
    assert found.invariant == "I8" and "2 beside 5 members" in found.words


def test_a_banned_key_that_comes_back_is_found() -> None:
    def change(peer: LabPeer, event: Event) -> Event:
        if not isinstance(event, Finished) or event.step % 2:
            return event
        members = tuple(sorted({*event.roster.members, *event.roster.banned}))
        return dataclasses.replace(event, roster=dataclasses.replace(event.roster, members=members))

    assert forged(change, simulation(byzantine=2, steps=60, validators=2)).invariant == "I8"
