"""What counts as a fork, a parting, an honest peer out; by what peers tell."""

from __future__ import annotations

import dataclasses

import pytest

from btard.hashing import digest
from btard.lab.adversary.knowledge import Ring
from btard.lab.adversary.play import Arena
from btard.lab.adversary.scores import Aim, Watcher
from btard.lab.simulation.peer import Event, LabPeer
from btard.lab.simulation.simulation import Simulation
from btard.round.actions import Finished, OutcomeKind, Stopped, Voided

ARENA = Arena(peers=4, byzantine=1, steps=2, validators=0.0)


class Stage:
    """A swarm that nobody lies in; peers tell what the test lets them."""

    def __init__(self) -> None:
        self.simulation = Simulation(ARENA.settings(1).model_copy(update={"attack": ["NONE"]}))
        self.ring = Ring(1)
        self.watcher = Watcher(self.simulation, self.ring)
        self.simulation.run()
        self.honest = self.watcher.cost()
        *_, self.liar = self.simulation.peers
        self.ring.join(self.liar)

    def tell(self, peer: LabPeer, event: Event) -> None:
        for listener in self.simulation.listeners:
            listener.happened(peer, event)

    def last(self, peer: LabPeer) -> Finished:
        (event,) = peer.history
        assert isinstance(event, Finished)
        return event


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_two_results_of_a_step_are_a_fork(stage: Stage) -> None:
    assert stage.watcher.scores(stage.honest).of(Aim.FORKS) == 0.0
    peer = stage.simulation.peers[1]
    stage.tell(peer, dataclasses.replace(stage.last(peer), flat=memoryview(bytes(4))))
    assert stage.watcher.scores(stage.honest).forks == 1


def test_what_a_liar_tells_is_no_fork(stage: Stage) -> None:
    stage.tell(stage.liar, dataclasses.replace(stage.last(stage.liar), flat=memoryview(bytes(4))))
    assert stage.watcher.scores(stage.honest).forks == 0


def test_two_outcomes_of_an_attempt_are_a_parting(stage: Stage) -> None:
    first, second, third = stage.simulation.peers[:3]
    for peer, suspended in ((first, ()), (second, ()), (third, ((stage.liar.peer_id, "did not answer"),))):
        stage.tell(peer, Voided(1, 0, suspended, (), ()))
    scores = stage.watcher.scores(stage.honest)
    assert (scores.partings, scores.forks) == (1, 0) and 0 < scores.of(Aim.FORKS) < 1


@pytest.mark.parametrize(
    ("kind", "step", "out"),
    [
        (OutcomeKind.SUSPENDED, 1, 1),
        (OutcomeKind.BANNED, 1, 1),
        (OutcomeKind.OUT_OF_SYNC, 1, 1),
        (OutcomeKind.NO_MAJORITY, 1, 1),
        (OutcomeKind.NO_MAJORITY, 2, 0),
    ],
)
def test_an_honest_peer_is_out_unless_all_stop(kind: OutcomeKind, step: int, out: int, stage: Stage) -> None:
    """Without a majority nobody goes on; a peer that finds none while others do is left behind."""
    stage.tell(stage.simulation.peers[0], Stopped(step, kind, "why"))
    stage.tell(stage.liar, Stopped(step, OutcomeKind.BANNED, "why"))
    assert stage.watcher.scores(stage.honest).honest_out == out


def test_only_poison_that_is_applied_counts(stage: Stage) -> None:
    """The attempt must be the one that finished, and the colluder one of its members."""
    peer = stage.simulation.peers[0]
    result = stage.last(peer)
    stranger = digest(b"somebody")
    stage.ring.poisoned |= {(result.step, result.attempt + 1, stage.liar.peer_id), (result.step, 0, stranger)}  # type: ignore[arg-type]
    stage.tell(peer, result)
    assert stage.watcher.scores(stage.honest).poisoned == 0
    stage.ring.poisoned.add((result.step, result.attempt, stage.liar.peer_id))
    stage.tell(peer, result)
    assert stage.watcher.scores(stage.honest).poisoned == 1
