"""What is decided about the difference between the wanted fleet and the real one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from btard.deploy.aws.fleet import DONE, HONEST, Machine, MachineRole, State, Wanted, by_slot, chain_cost, total_cost
from btard.deploy.aws.reconcile import COORDINATOR_SLOT, Decision, End, decide

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LIE = "ATTACK_TYPE=SIGN_FLIPPING ATTACK_START=1000"
SPOT = "Server.SpotInstanceTermination"


def wanted(**changed: Any) -> Wanted:
    given = {"workers": 3, "attackers": 1, "behaviour": LIE, "expires": NOW + timedelta(hours=1)}
    return Wanted.model_validate(given | changed)


def machine(slot: int, minutes: float = 10, **changed: Any) -> Machine:
    role = MachineRole.COORDINATOR if slot == COORDINATOR_SLOT else wanted().role_of(slot)
    given = {
        "id": f"i-{slot}-{minutes}",
        "role": role,
        "slot": slot,
        "generation": 0,
        "behaviour": wanted().behaviour_of(role),
        "state": State.RUNNING,
        "launched": NOW - timedelta(minutes=minutes),
        "price": 1.0,
        "private_ip": "10.77.0.4",
    }
    return Machine.model_validate(given | changed)


def dead(slot: int, why: str, minutes: float = 20, **changed: Any) -> Machine:
    return machine(slot, minutes, state=State.TERMINATED, why=why, **changed)


COORDINATOR = machine(COORDINATOR_SLOT)
ALL = [COORDINATOR, *(machine(slot) for slot in range(3))]


def names(decision: Decision) -> tuple[list[str], list[str]]:
    return [m.id for m, _ in decision.terminate], [start.name for start in decision.start]


def decided(machines: list[Machine], want: Wanted | None = None, *, restorable: bool = False) -> Decision:
    return decide(want or wanted(), machines, NOW, restorable=restorable)


def test_a_complete_fleet_is_left_alone() -> None:
    assert decided(ALL).settled


def test_peers_wait_for_the_coordinator() -> None:
    assert names(decided([])) == ([], ["coordinator"])
    pending = machine(COORDINATOR_SLOT, state=State.PENDING, private_ip=None)
    assert decided([pending]).settled
    assert names(decided([COORDINATOR])) == ([], ["worker-0", "worker-1", "attacker-2"])


@pytest.mark.parametrize("why", [SPOT, "Client.UserInitiatedShutdown", "Server.InternalError", ""])
def test_a_lost_peer_is_replaced(why: str) -> None:
    decision = decided([*ALL[:2], dead(1, why), ALL[3]])
    assert names(decision) == ([], ["worker-1"])
    assert decision.start[0].replaces and decision.start[0].earlier == pytest.approx(20 / 60)


def test_a_peer_that_ended_banned_or_done_stays_away() -> None:
    assert decided([*ALL[:3], dead(2, DONE)]).settled


def test_a_stopped_machine_is_terminated_and_replaced() -> None:
    stopped = machine(1, state=State.STOPPED)
    assert names(decided([*ALL[:2], stopped, ALL[3]])) == ([stopped.id], ["worker-1"])


def test_two_in_one_place_are_one_too_many() -> None:
    younger = machine(1, 1)
    assert names(decided([*ALL, younger])) == ([younger.id], [])


def test_peers_that_turned_or_left_honestly_are_replaced() -> None:
    turned = wanted(attackers=2)
    assert names(decided(ALL, turned)) == ([ALL[2].id], ["attacker-1"])
    assert names(decided([*ALL[:2], dead(1, DONE), ALL[3]], turned)) == ([], ["attacker-1"])
    assert names(decided(ALL, wanted(behaviour="ATTACK_TYPE=ALIE"))) == ([ALL[3].id], ["attacker-2"])
    assert names(decided(ALL, wanted(attackers=0, behaviour=HONEST))) == ([ALL[3].id], ["worker-2"])


def test_fewer_peers() -> None:
    assert names(decided(ALL, wanted(workers=2, attackers=0))) == ([ALL[3].id], [])


def test_a_new_generation_replaces_the_coordinator_first() -> None:
    fresh = wanted(generation=1)
    gone, started = names(decided(ALL, fresh))
    assert sorted(gone) == sorted(m.id for m in ALL) and started == ["coordinator"]
    coordinator = machine(COORDINATOR_SLOT, 1, generation=1)
    after = [machine.model_copy(update={"state": State.TERMINATED}) for machine in ALL]
    assert names(decided([*after, coordinator], fresh)) == ([], ["worker-0", "worker-1", "attacker-2"])


def test_how_it_ends() -> None:
    assert decided(ALL, wanted(expires=NOW)).end is End.TIME
    assert decided([dead(COORDINATOR_SLOT, DONE), *ALL[1:]]).end is End.OVER
    assert decided([dead(COORDINATOR_SLOT, SPOT), *ALL[1:]]).end is End.LOST
    assert names(decided([dead(COORDINATOR_SLOT, SPOT), *ALL[1:]], restorable=True)) == ([], ["coordinator"])


def test_the_cost_of_forgotten_machines_is_remembered() -> None:
    old = dead(0, SPOT, 60, earlier=5.0, ended=NOW - timedelta(minutes=30))
    new = machine(0, 24, earlier=5.5)
    assert chain_cost([old, new], NOW) == pytest.approx(5.0 + 0.5 + 0.4)
    assert chain_cost([new], NOW) == pytest.approx(5.5 + 0.4)
    unknown = old.model_copy(update={"ended": None})
    assert chain_cost([unknown, new], NOW) == pytest.approx(5.0 + 0.6 + 0.4), "until the next one came"
    assert total_cost([new, old, machine(1, 60)], NOW) == pytest.approx(6.9)
    assert [m.id for m in by_slot([new, old])[0]] == [old.id, new.id]
