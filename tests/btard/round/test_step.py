"""One step under the simulated network: honest peers, those that die or are late, and what networks do to them."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from btard.identity import Envelope, MessageKind
from btard.round.actions import OutcomeKind, Send
from btard.tensors import bytes_of
from btard.transport.memory import NetworkConditions, SimulatedPeer
from btard.vocabulary import WireType
from tests.btard.round.swarm import RULES, Swarm, one_liar, voids
from tests.quick import quick


@pytest.mark.parametrize("count", [1, 2, 3, 8, 16])
def test_honest_peers_finish_with_the_same_bytes(count: int) -> None:
    swarm = Swarm(count, steps=4).run()
    swarm.check_agreement()
    for peer in swarm.peers:
        assert [result.step for result in peer.finished()] == [0, 1, 2, 3]
        assert not voids(peer)
        assert torch.equal(peer.parameters, swarm.peers[0].parameters)


def test_the_aggregate_is_the_rule_applied_to_each_part() -> None:
    swarm = Swarm(4, steps=1, rule="mean").run()
    honest = [peer.trainer.gradient(swarm.genesis.batch_seed(peer.peer_id), torch.zeros(40)) for peer in swarm.peers]
    assert torch.allclose(-swarm.peers[0].parameters, torch.stack(honest).mean(0), atol=1e-6)


@pytest.mark.parametrize("wire", list(WireType))
def test_every_wire_type_gives_all_the_same_bytes(wire: WireType) -> None:
    swarm = Swarm(5, steps=2, rules=dataclasses.replace(RULES, wire=wire, dimension=41)).run()
    swarm.check_agreement()
    assert all(len(peer.finished()) == 2 for peer in swarm.peers)


def test_more_peers_than_numbers_leaves_some_parts_empty() -> None:
    swarm = Swarm(8, steps=2, rules=dataclasses.replace(RULES, dimension=5)).run()
    swarm.check_agreement()
    assert all(len(peer.finished()) == 2 for peer in swarm.peers)


def test_a_peer_that_dies_is_left_out_by_all() -> None:
    swarm = Swarm(5, steps=3)
    victim = swarm.peers[2]
    swarm.network.at(0.05, victim.crash)
    swarm.run()
    swarm.check_agreement()
    for peer in swarm.honest:
        assert len(peer.finished()) == 3
        assert victim.peer_id not in peer.finished()[0].roster.members
        assert [event.step for event in voids(peer)] == [0]


@pytest.mark.parametrize("moment", [0.105, 0.115, 0.125, 0.135])
def test_a_peer_that_dies_in_any_phase_stops_nobody_else(moment: float) -> None:
    swarm = Swarm(5, steps=3)
    victim = swarm.peers[0]
    swarm.network.at(moment, victim.crash)
    swarm.run()
    swarm.check_agreement()
    assert all(len(peer.finished()) == 3 for peer in swarm.honest)


def test_a_slow_peer_is_suspended_not_banned() -> None:
    swarm = Swarm(5, steps=2)
    swarm.peers[1].compute_seconds = 1000.0
    swarm.run()
    others = [peer for i, peer in enumerate(swarm.peers) if i != 1]
    assert all(len(peer.finished()) == 2 for peer in others)
    assert all(not peer.finished()[-1].roster.banned for peer in others)
    assert swarm.peers[1].stopped is not None


def test_half_a_swarm_cannot_go_on_alone() -> None:
    swarm = Swarm(6, steps=3)
    for victim in swarm.peers[:3]:
        swarm.network.at(0.01, victim.crash)
    swarm.run()
    for peer in swarm.honest:
        assert peer.stopped is not None and peer.stopped.kind is OutcomeKind.NO_MAJORITY
        assert not peer.finished()


def test_a_partition_lets_only_the_majority_go_on() -> None:
    swarm = Swarm(7, steps=3)
    swarm.network.partition([peer.peer_id for peer in swarm.peers[:3]])
    swarm.run()
    swarm.check_agreement()
    assert all(not peer.finished() and peer.stopped for peer in swarm.peers[:3])
    assert all(len(peer.finished()) == 3 for peer in swarm.peers[3:])


def test_peers_on_another_state_step_out() -> None:
    swarm = Swarm(5, steps=2)
    swarm.peers[3].take_over(bytes(bytes_of(torch.ones(RULES.dimension))), 0)
    swarm.run()
    stopped = swarm.peers[3].stopped
    assert stopped is not None and stopped.kind is OutcomeKind.OUT_OF_SYNC
    rest = [peer for i, peer in enumerate(swarm.peers) if i != 3]
    assert all(len(peer.finished()) == 2 and not peer.finished()[-1].roster.banned for peer in rest)
    assert rest[0].history[0] == voids(rest[0])[0] and swarm.network.now < RULES.commit_seconds, (
        "nobody waits for it in vain"
    )


@pytest.mark.parametrize("seed", quick(6, range(40), slow=10))
def test_a_bad_network_never_splits_the_swarm(seed: int) -> None:
    conditions = NetworkConditions(delay=(0.001, 1.0), loss=(0.0, 0.002, 0.02)[seed % 3])
    swarm = Swarm(4 + seed % 5, steps=4, seed=seed, conditions=conditions).run()
    swarm.check_agreement()
    if conditions.loss == 0.0:
        assert all(len(peer.finished()) == 4 for peer in swarm.peers), f"seed {seed}"


def test_a_seed_replays_exactly() -> None:
    def story() -> list[str]:
        conditions = NetworkConditions(delay=(0.001, 1.0), loss=0.01)
        swarm = Swarm(6, steps=5, seed=7, conditions=conditions).run()
        ends = [f"{peer.parameters.sum()} {len(peer.history)} {peer.stopped}" for peer in swarm.peers]
        return [str(swarm.network.now), *ends]

    assert story() == story()


class DiesWhileSigning(SimulatedPeer):
    """Dies in the middle of the broadcast of its digest: one member gets it, the others do not."""

    def perform(self, actions) -> None:  # type: ignore[no-untyped-def]
        for action in actions:
            if isinstance(action, Send) and Envelope.decode(action.data).kind is MessageKind.DIGEST:
                super().perform([Send(action.peers[:1], action.data)])
                self.crash()
                return
            super().perform([action])


@pytest.mark.parametrize("count", [3, 4, 7])
def test_a_digest_that_reached_one_member_only_divides_nobody(count: int) -> None:
    swarm = one_liar(DiesWhileSigning, count, 1)
    swarm.run()
    swarm.check_agreement()
    for peer in swarm.honest:
        assert len(peer.finished()) == 2, peer.history
        assert peer.stopped is None
    assert set(swarm.honest[0].finished()[-1].roster.members) == {peer.peer_id for peer in swarm.honest}
