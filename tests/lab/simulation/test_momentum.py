"""Worker momentum in simulated swarms: validators follow the chain, and a peer that breaks or hides it is out."""

from __future__ import annotations

from typing import Any

import pytest

from btard.lab.simulation.invariants import run_checked
from btard.lab.simulation.report import report
from btard.lab.simulation.settings import SimulateSettings
from btard.lab.simulation.simulation import Simulation
from btard.round.evidence.evidence import Offence


def run(**chosen: Any) -> Simulation:
    quick = {"peers": 6, "steps": 12, "task": "quadratic", "dimension": 24, "momentum": 0.9, "attack": ["NONE"]}
    simulation = Simulation(SimulateSettings.model_validate({**quick, "cut": [], "validators": 2, **chosen}))
    run_checked(simulation)
    return simulation


def reasons(simulation: Simulation) -> set[str]:
    return {suspension.reason for suspension in simulation.chronicle.suspensions}


def test_an_honest_swarm_examines_its_chains_and_finds_nothing() -> None:
    simulation = run(steps=20)
    assert not simulation.chronicle.voided and simulation.chronicle.finished == 19
    assert simulation.final_digest != run(steps=20, momentum=0.0).final_digest
    assert simulation.final_digest == run(steps=20).final_digest


@pytest.mark.parametrize("attack", ["WITHHOLD_MOMENTUM", "OTHER_MOMENTUM"])
@pytest.mark.parametrize("validation", ["exact", "tolerant"])
def test_only_peers_that_withhold_or_change_momentum_are_out(attack: str, validation: str) -> None:
    simulation = run(byzantine=2, attack=[attack], attack_start=2, steps=40, validation=validation, rejoin="honest")
    assert {suspension.peer.number for suspension in simulation.chronicle.suspensions} == {4, 5}
    assert reasons(simulation) == {"did not show what its vector was built on, or the vector"}
    assert simulation.chronicle.all_out is not None


def test_a_run_without_momentum_has_nothing_to_withhold() -> None:
    simulation = run(byzantine=2, attack=["WITHHOLD_MOMENTUM", "OTHER_MOMENTUM"], momentum=0.0)
    assert not simulation.chronicle.voided


def test_a_false_vector_on_a_true_momentum_is_a_ban() -> None:
    simulation = run(byzantine=2, attack=["SIGN_FLIPPING"], attack_start=2, steps=40)
    assert {ban.offence for ban in simulation.chronicle.bans} == {Offence.GRADIENT}
    assert {ban.peer.number for ban in simulation.chronicle.bans} == {4, 5}


def test_a_chain_begins_anew_with_those_that_come_back_or_join() -> None:
    cut_off = report(run(steps=45, delay="0.6", cut=["12-40:1"]))
    assert cut_off["honest_suspended"] >= 1 and cut_off["admitted"] >= 1 and cut_off["members"] == 6
    joined = report(run(steps=28, newcomers=2, newcomers_at=2, probation=4))
    assert (joined["members"], joined["attempts_failed"]) == (8, 0)


def test_a_liar_about_momentum_that_returns_is_caught_again() -> None:
    simulation = run(byzantine=1, attack=["WITHHOLD_MOMENTUM"], steps=60, rejoin="all")
    again = [suspension for suspension in simulation.chronicle.suspensions if suspension.peer.number == 5]
    assert len(again) >= 2 and len(again) == len(simulation.chronicle.suspensions)
