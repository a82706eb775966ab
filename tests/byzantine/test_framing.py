"""Sums that are off since their owners were not told a number: however the attempt fails, a liar pays, and no owner."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence

import pytest

from btard.byzantine.scalars.frame_owner import FrameOwner
from btard.byzantine.settings import BehaviourSettings
from btard.identity import Envelope, Heading, MessageKind
from btard.lab.simulation.invariants import run_checked
from btard.lab.simulation.peer import LabPeer
from btard.lab.simulation.settings import SimulateSettings
from btard.lab.simulation.simulation import Simulation
from btard.round.actions import Action, Send
from btard.round.failure.court.hearing import Hearing
from btard.round.messages.accusations import Charge
from btard.round.messages.requests import Forward
from btard.round.step import StepMachine
from btard.transport.memory import SimulatedPeer
from tests.btard.round.swarm import Swarm
from tests.quick import quick

DELAYS = ["0.01", "0.01-0.4", "0.1-1.9"]
"""Seconds; the last ones come close to the bound."""


class Rash(Hearing):
    """Hears nobody before it accuses."""

    def concerns(self, charge: Charge) -> bool:
        return False


class RashMachine(StepMachine):
    def _new_attempt(self, number: int, members: tuple) -> None:  # type: ignore[type-arg]
        super()._new_attempt(number, members)
        self._hearing = Rash()


class RashPeer(LabPeer):
    """Accuses the owner of a sum that is off before that one can have been told why."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.session.machine_type = RashMachine


def run(attacks: list[str], delay: str, seed: int, attacker_type: type[LabPeer] = LabPeer) -> Simulation:
    settings = SimulateSettings(
        peers=8,
        byzantine=3,
        steps=7,
        task="none",
        dimension=40,
        validators=1.0,
        rejoin="none",
        seed=seed,
        attack=attacks,
        attack_start=2,
        delay=delay,
    )
    simulation = Simulation(settings, attacker_type=attacker_type)
    run_checked(simulation)
    assert simulation.chronicle.voided
    return simulation


@pytest.mark.parametrize("delay", DELAYS)
@pytest.mark.parametrize("seed", range(2))
def test_a_liar_that_frames_owners_is_banned_alone(delay: str, seed: int) -> None:
    simulation = run(["FRAME_OWNER", "NONE", "NONE"], delay, seed)
    assert len(simulation.chronicle.voided) == len(simulation.chronicle.bans) == 1
    assert not simulation.chronicle.suspensions


@pytest.mark.parametrize(("seed", "delay"), quick(4, itertools.product(range(3), DELAYS)))
def test_an_accomplice_that_accuses_at_once_pays_itself(delay: str, seed: int) -> None:
    simulation = run(["FRAME_OWNER", "NONE", "NONE"], delay, seed, RashPeer)
    paid = len(simulation.chronicle.bans) + len(simulation.chronicle.suspensions)
    assert paid >= len(simulation.chronicle.voided)


@pytest.mark.parametrize("delay", DELAYS)
def test_all_that_frame_or_spoil_lose_their_places(delay: str) -> None:
    simulation = run(["FRAME_OWNER", "WRONG_AGGREGATE", "HALF_SILENCE"], delay, 1, RashPeer)
    out = Counter(gone.peer.number for gone in (*simulation.chronicle.bans, *simulation.chronicle.suspensions))
    assert out and set(out) <= {5, 6, 7}


class Watched(SimulatedPeer):
    """Notes for how many peers it gives numbers to others."""

    def perform(self, actions: Sequence[Action]) -> None:
        noted = self.__dict__.setdefault("given", [])
        for action in actions:
            sent = Envelope.decode(action.data) if isinstance(action, Send) and len(action.peers) > 1 else None
            if sent is not None and sent.kind is MessageKind.FORWARD:
                inside = {Heading.read(data).kind for data in Forward.decode(sent.body).envelopes}
                noted += [len(action.peers)] if inside == {MessageKind.SCALARS} else []
        super().perform(actions)


def test_all_that_find_a_sum_off_give_all_its_numbers() -> None:
    """The owner of the sum is not told one of them, and neither may its judges be."""
    framing = FrameOwner(BehaviourSettings(attack_start=0), b"")
    swarm = Swarm(8, steps=2, behaviours={3: framing}, peer_type=Watched).run()
    given = [peer.__dict__["given"] for peer in swarm.honest]
    assert sorted(map(len, given)) == [0, *[1] * 6], "each once, but the owner, which knows the liar"
    assert all(receivers == 7 for numbers in given for receivers in numbers)
    calm = Swarm(8, steps=2, peer_type=Watched).run()
    assert not any(peer.__dict__["given"] for peer in calm.peers)
