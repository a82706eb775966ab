"""Gamblers, who refuse the draws that they do not like: what that costs them, in whatever way they do it."""

from __future__ import annotations

import pytest

from btard.behaviour import Behaviour
from btard.byzantine.court.gambler import Gambler
from btard.byzantine.settings import BehaviourSettings, Escape
from btard.lab.invariants import run_checked
from btard.lab.settings import SimulateSettings
from btard.lab.simulation import Simulation
from btard.round.evidence.evidence import Offence
from btard.vocabulary import Validation

PEERS, LIARS, STEPS = 8, 3, 40


def gamble(escape: Escape, validation: Validation) -> Simulation:
    """Run a swarm in which all liars gamble from the first step on."""

    def make(settings: SimulateSettings, number: int, turn: int, meeting: str) -> Behaviour:
        chosen = BehaviourSettings(
            attack_type="GAMBLER", attack_start=0, escape=escape, collude_at=f"memory:{meeting}", collude_patience=0.0
        )
        return Gambler(chosen, bytes([number]))

    settings = SimulateSettings(
        peers=PEERS,
        byzantine=LIARS,
        steps=STEPS,
        task="none",
        dimension=40,
        validation=validation,
        rejoin="none",
        seed=1,
    )
    simulation = Simulation(settings, make_attacker=make)
    run_checked(simulation)
    return simulation


@pytest.mark.parametrize("escape", list(Escape))
@pytest.mark.parametrize("validation", list(Validation))
def test_gamblers_lose_their_places_and_nobody_else_does(escape: Escape, validation: Validation) -> None:
    chronicle = gamble(escape, validation).chronicle
    assert chronicle.voided and chronicle.all_out is not None
    assert not any(ban.peer.honest for ban in chronicle.bans)
    assert not any(suspension.peer.honest for suspension in chronicle.suspensions)


@pytest.mark.parametrize("validation", list(Validation))
def test_each_draw_that_gamblers_refuse_costs_a_place(validation: Validation) -> None:
    chronicle = gamble(Escape.CHARGE, validation).chronicle
    refused = [ban for ban in chronicle.bans if ban.offence is Offence.FALSE_ACCUSATION]
    caught = [ban for ban in chronicle.bans if ban.offence is Offence.GRADIENT]
    assert refused, "a charge that nobody has reason to raise bans its author"
    assert len(refused) + len(caught) + len(chronicle.suspensions) == LIARS
