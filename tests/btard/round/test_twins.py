"""Two instances of correct code with one identity, in every phase: the others agree, and none of them is banned.

TEST_EVERY=1 runs all of the cases, otherwise each fourth.
"""

from __future__ import annotations

import itertools

import pytest

from btard.round.actions import Finished, OutcomeKind, Voided
from btard.round.evidence.evidence import Offence
from btard.round.proof import verify
from btard.transport.memory import NetworkConditions
from tests.btard.round.twins import Hearing, Twins, TwinSwarm
from tests.quick import quick, stride

ALIKE, OTHERWISE = 0.0, 1e-6
PATIENT = NetworkConditions()
SHAKY = NetworkConditions(delay=(0.001, 1.0))
THINNED = stride(4)
CASES = list(itertools.product(Hearing, Hearing, (0.0, 0.105, 3.0), (ALIKE, OTHERWISE)))


def check(swarm: TwinSwarm, label: str) -> None:
    """Assert that nobody but the twin identity can be blamed for anything."""
    swarm.check_agreement()
    twin = swarm.network.instances[0].peer_id  # type: ignore[attr-defined]
    for peer in swarm.honest:
        assert peer.stopped is None or peer.stopped.kind is not OutcomeKind.BANNED, (label, peer.history)
        for event in peer.history:
            if isinstance(event, Finished):
                assert event.roster.banned <= {twin}, label
            if isinstance(event, Voided):
                for verdict in event.verdicts:
                    assert verdict.peer == twin, label
                    assert verify(verdict.evidence), label
                    assert verdict.evidence.offence in (Offence.EQUIVOCATION, Offence.PART_MISMATCH), label
    if len(swarm.peers) >= 5:
        done = [peer for peer in swarm.honest if len(peer.finished()) > peer.last_step]
        assert len(done) >= len(swarm.honest) - 1, (label, [peer.stopped for peer in swarm.honest])


@pytest.mark.parametrize("count", quick(1, [4, 5, 6, 7]))
@pytest.mark.parametrize("conditions", quick(1, [PATIENT, SHAKY]), ids=["patient", "shaky"])
def test_nobody_pays_for_an_identity_that_runs_twice(count: int, conditions: NetworkConditions) -> None:
    for number, (hears, heard, late, rounding) in list(enumerate(CASES))[::THINNED]:
        twins = Twins(hears, heard, late, rounding)
        seed = 1000 * count + number
        swarm = TwinSwarm(count, twins, seed=seed, conditions=conditions, position=number % count)
        check(swarm.run(), f"{count} peers, {twins}, position {number % count}, seed {seed}")


def test_twins_that_hear_the_same_and_compute_the_same_are_one() -> None:
    swarm = TwinSwarm(6, Twins(Hearing.BOTH, Hearing.BOTH, 0.0, ALIKE), steps=3).run()
    check(swarm, "alike")
    for peer in swarm.peers:
        assert [type(event) for event in peer.history] == [Finished] * 3


def test_twins_that_compute_differently_are_banned() -> None:
    swarm = TwinSwarm(6, Twins(Hearing.BOTH, Hearing.BOTH, 0.0, OTHERWISE), steps=3).run()
    check(swarm, "otherwise")
    for peer in swarm.honest:
        assert peer.finished()[-1].roster.banned == {swarm.network.instances[0].peer_id}  # type: ignore[attr-defined]


def test_a_second_instance_that_nobody_hears_changes_nothing() -> None:
    swarm = TwinSwarm(5, Twins(Hearing.BOTH, Hearing.FIRST, 0.0, OTHERWISE), steps=3).run()
    check(swarm, "mute")
    assert all(len(peer.finished()) == 3 for peer in swarm.peers)
