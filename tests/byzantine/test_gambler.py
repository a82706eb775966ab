"""Gamblers, who refuse the draws that they do not like: what that costs them, in whatever way they do it."""

from __future__ import annotations

import pytest

from btard.behaviour import Behaviour, View
from btard.byzantine.aggregates.self_cover import SelfCover
from btard.byzantine.conspirator import Conspirator
from btard.byzantine.court.gambler import Gambler
from btard.byzantine.settings import BehaviourSettings, Escape
from btard.identity import PeerId
from btard.lab.simulation.invariants import run_checked
from btard.lab.simulation.settings import SimulateSettings
from btard.lab.simulation.simulation import Simulation
from btard.round.draw import draw_audits, draw_witnessed, witness_of
from btard.round.evidence.evidence import Offence
from btard.round.messages.accusations import Charge, ChargeKind
from btard.round.messages.bodies import Phase
from btard.vocabulary import Validation
from tests.quick import quick

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


@pytest.mark.parametrize(
    ("escape", "validation"), quick(2, [(escape, validation) for validation in Validation for escape in Escape])
)
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


class CoverGambler(SelfCover, Conspirator):
    """Hides a wrong aggregate by a false own product; if the draw lets an honest witness look at a colluder, or an
    honest validator, the first of them voids the attempt."""

    name = "COVER_GAMBLER"

    def charge(self, step: int, phase: Phase, honest: Charge | None, view: View) -> Charge | None:
        mine = self.colluders.intersection(view.members)
        others = [(owner, part) for part, owner in enumerate(view.owners) if owner not in mine]
        if phase is Phase.MEASURE and self.me == min(mine) and others and self.threatened(mine, view):
            return Charge(ChargeKind.WRONG_AGGREGATE, *others[view.attempt % len(others)])
        return None if phase is Phase.CHECK else honest

    def threatened(self, mine: frozenset[PeerId], view: View) -> bool:
        """Whether somebody honest will look at what a colluder has published."""
        voters = [peer for peer in view.members if peer in view.roster.voters]
        submitters = [peer for peer in view.members if peer not in view.targets]
        drawn = draw_witnessed(view.randomness, view.owners, view.validators)
        seen = [owner for owner in drawn if owner in mine and witness_of(view.randomness, owner, voters) not in mine]
        audits = draw_audits(view.randomness, voters, submitters, view.validators, view.attempt)
        return bool(seen) or any(audit.target in mine and audit.validator not in mine for audit in audits)


@pytest.mark.parametrize("seed", quick(1, range(3)))
def test_false_numbers_of_a_failed_attempt_are_paid_for(seed: int) -> None:
    """Nobody looks at them later, and nothing was moved by them; each draw that is refused has cost a place."""

    def make(settings: SimulateSettings, number: int, turn: int, meeting: str) -> Behaviour:
        chosen = BehaviourSettings(attack_start=0, collude_at=f"memory:{meeting}", collude_patience=0.0)
        return CoverGambler(chosen, bytes([number]))

    settings = SimulateSettings(
        peers=PEERS, byzantine=LIARS, steps=STEPS, task="none", dimension=40, validators=1.0, rejoin="none", seed=seed
    )
    simulation = Simulation(settings, make_attacker=make)
    run_checked(simulation)
    chronicle = simulation.chronicle
    paid = {gone.peer.number for gone in (*chronicle.bans, *chronicle.suspensions)}
    assert chronicle.all_out is not None and len(paid) == LIARS
    assert len(chronicle.voided) <= LIARS, "a refusal, or an examination, costs at least one place"
