"""A banned peer comes back under another key: it works through its probation without influence, like any stranger."""

from __future__ import annotations

from typing import Any

from btard.hashing import digest
from btard.identity import PeerId
from btard.lab.simulation.invariants import run_checked
from btard.lab.simulation.peer import Event, LabPeer
from btard.lab.simulation.settings import SimulateSettings
from btard.lab.simulation.simulation import Simulation
from btard.round.actions import Finished
from btard.round.roster import Roster

PROBATION = 8
OLD, NEW = 5, 6
"""Numbers of the banned peer and of its second identity."""


class Diary:
    """What honest peers hold after each step; `names`: a key that all of them want to admit from then on."""

    def __init__(self, names: PeerId | None = None) -> None:
        self.rosters: dict[int, Roster] = {}
        self.states: dict[int, bytes] = {}
        self._names = names

    def happened(self, peer: LabPeer, event: Event) -> None:
        """Nothing: only finished steps count."""

    def moved(self, peer: LabPeer, result: Finished) -> None:
        if peer.honest:
            self.rosters[result.roster.step] = result.roster
            self.states[result.step] = digest(peer.parameters.numpy().tobytes())
        if self._names is not None:
            peer.candidates = (self._names,)


def live(second: str, **chosen: Any) -> tuple[Simulation, Diary]:
    """Run a swarm whose liar is banned at once, and comes back to do as the attack `second`, which nobody audits."""
    values = {"peers": 6, "byzantine": 1, "sybils": 1, "steps": 24, "task": "quadratic", "dimension": 24, "cut": []}
    values |= {"attack": ["FALSE_PRODUCT", second], "probation": PROBATION, "validators": 0, **chosen}
    simulation, diary = Simulation(SimulateSettings.model_validate(values)), Diary()
    simulation.listeners.append(diary)
    run_checked(simulation)
    return simulation, diary


def test_a_new_key_after_a_ban_begins_with_a_whole_probation() -> None:
    simulation, diary = live("SIGN_FLIPPING")
    old, new = simulation.peers[OLD].peer_id, simulation.peers[NEW].peer_id
    banned_in = next(ban.step for ban in simulation.chronicle.bans if ban.peer.number == OLD)
    member_in = sorted(step for step, roster in diary.rosters.items() if new in roster.members)
    first = member_in[0]
    assert first > banned_in
    for step, roster in diary.rosters.items():
        assert (old in roster.banned) is (old not in roster.members) is (step > banned_in)
        assert (new in roster.newcomers) is (first <= step < first + PROBATION)
        assert (new in roster.voters) is (step >= first + PROBATION)


def test_what_it_sends_on_probation_moves_nothing() -> None:
    lying, diary = live("SIGN_FLIPPING")
    _, honest = live("NONE")
    new = lying.peers[NEW].peer_id
    first = min(step for step, roster in diary.rosters.items() if new in roster.members)
    same = [step for step in sorted(diary.states) if diary.states[step] == honest.states[step]]
    assert same == list(range(first + PROBATION)), "until it counts, and no longer"


def test_a_banned_key_stays_out_even_if_all_want_it_back() -> None:
    values = {"peers": 6, "byzantine": 1, "attack": ["FALSE_PRODUCT"], "steps": 8, "task": "none", "dimension": 24}
    simulation = Simulation(SimulateSettings.model_validate({**values, "cut": []}))
    diary = Diary(simulation.peers[OLD].peer_id)
    simulation.listeners.append(diary)
    run_checked(simulation)
    assert [simulation.peers[OLD].peer_id in diary.rosters[step].members for step in (2, 8)] == [False, False]
