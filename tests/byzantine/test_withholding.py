"""Targets that do not show what they must, and validators that say so of others: they pay, and nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from btard.behaviour import Behaviour
from btard.byzantine.conspirator import Conspirator
from btard.byzantine.court.perjury import Perjury
from btard.byzantine.settings import BehaviourSettings
from btard.identity import PeerId
from btard.lab.simulation.invariants import run_checked
from btard.lab.simulation.settings import SimulateSettings
from btard.lab.simulation.simulation import Simulation
from btard.round.messages.accusations import Charge, Opinion
from tests.quick import quick

SILENT = "did not show what its vector was built on, or the vector"
FALSE = "convinced too few of its accusation"


class ShowsFriends(Conspirator, Perjury):
    """Shows what it must to its accomplices alone, who acquit it."""

    name = "SHOWS_FRIENDS"

    def shown_momentum(self, step: int, asker: PeerId, base: bytes | None) -> bytes | None:
        return base if asker in self.colluders else None

    def passed_on(self, step: int, asker: PeerId, target: PeerId, shown: bytes | None) -> bytes | None:
        return shown if asker in self.colluders else None

    def opinion(self, step: int, charge: Charge, opinion: Opinion) -> Opinion:
        return Opinion.INNOCENT if charge.accused in self.colluders else Opinion.GUILTY


def run(attacks: list[str], **chosen: Any) -> Simulation:
    """Run a swarm with momentum, whose invariants hold: each failed attempt costs a liar its place."""
    given: dict[str, Any] = {"peers": 8, "byzantine": 2, "steps": 24, "task": "none", "dimension": 40, "seed": 1}
    given |= {"momentum": 0.9, "validators": 2.0, "attack": attacks, "attack_start": 2, "rejoin": "none"} | chosen
    simulation = Simulation(SimulateSettings.model_validate(given))
    run_checked(simulation)
    return simulation


def reasons(simulation: Simulation) -> set[str]:
    assert not simulation.chronicle.bans, simulation.chronicle.bans[0].offence
    return {suspension.reason for suspension in simulation.chronicle.suspensions}


@pytest.mark.parametrize("validation", ["exact", "tolerant"])
def test_a_validator_that_denies_what_it_is_shown_is_out(validation: str) -> None:
    simulation = run(["DENY_SHOWN"], validation=validation)
    assert reasons(simulation) == {FALSE} and simulation.chronicle.all_out is not None


@pytest.mark.parametrize("delay", ["0.01", "0.01-0.2"])
def test_a_target_that_shows_it_to_one_has_shown_it_to_all(delay: str) -> None:
    simulation = run(["WITHHOLD_FROM_SOME"], delay=delay)
    assert not simulation.chronicle.voided and simulation.chronicle.all_out is None


def test_a_target_that_shows_nothing_is_out_and_nobody_else() -> None:
    simulation = run(["WITHHOLD_MOMENTUM"])
    assert reasons(simulation) == {SILENT} and simulation.chronicle.all_out is not None


MIXED = ["DENY_SHOWN", "WITHHOLD_FROM_SOME", "WITHHOLD_MOMENTUM", "OTHER_MOMENTUM", "PERJURY"]


@pytest.mark.parametrize("seed", quick(1, range(3)))
@pytest.mark.parametrize("validation", quick(1, ["exact", "tolerant"]))
def test_seven_of_sixteen_pay_for_each_attempt_they_void(seed: int, validation: str) -> None:
    simulation = run(MIXED, peers=16, byzantine=7, steps=30, seed=seed, validation=validation, delay="0.01-0.2")
    assert reasons(simulation) and reasons(simulation) <= {SILENT, FALSE}
    assert len(simulation.chronicle.voided) <= len(simulation.chronicle.suspensions)


def test_accomplices_do_not_pass_on_what_they_are_shown() -> None:
    def make(settings: SimulateSettings, number: int, turn: int, meeting: str) -> Behaviour:
        chosen = BehaviourSettings(attack_start=0, collude_at=f"memory:{meeting}", collude_patience=0.0)
        return ShowsFriends(chosen, bytes([number]))

    settings = SimulateSettings(
        peers=8, byzantine=3, steps=24, task="none", dimension=40, momentum=0.9, validators=2.0, rejoin="none", seed=2
    )
    simulation = Simulation(settings, make_attacker=make)
    run_checked(simulation)
    assert reasons(simulation) == {SILENT} and simulation.chronicle.all_out is not None
