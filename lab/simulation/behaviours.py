"""The behaviours of simulated attackers, by name."""

from __future__ import annotations

from btard.behaviour import Behaviour
from btard.byzantine.selection import make_behaviour
from btard.byzantine.settings import BehaviourSettings
from btard.hashing import tagged_digest
from btard.lab.simulation.settings import SimulateSettings

_DELAY_STEPS = 10
"""How old the gradients of DELAYED_GRADIENT are; the published 1000 would never come in a short run."""


def attacker(settings: SimulateSettings, number: int, turn: int, meeting: str) -> Behaviour:
    """Return the behaviour of a Byzantine peer.

    Args:
        settings: of the simulation.
        number: the peer's, which seeds its own draws.
        turn: how many Byzantine peers there are before it: names are dealt in turn.
        meeting: names the place where the colluders of this simulation meet.

    Raises:
        UserError: no such attack is installed.
    """
    chosen = BehaviourSettings(
        attack_type=settings.attack[turn % len(settings.attack)],
        attack_start=settings.attack_start,
        attack_every=settings.attack_every,
        attack_proba=settings.attack_proba,
        delay_steps=_DELAY_STEPS,
        collude_at=f"memory:{meeting}",
        collude_patience=0.0,  # everything happens in one thread: waiting would not bring anything
    )
    seed = tagged_digest("btard simulated attacker", settings.seed.to_bytes(8, "big"), number.to_bytes(8, "big"))
    return make_behaviour(chosen, seed=seed)
