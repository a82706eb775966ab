"""Small simulated swarms, and what must hold at the end of every one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from btard.behaviour import Behaviour
from btard.hashing import tagged_digest
from btard.identity import IdentityKey, PeerId
from btard.round.actions import Action, Finished, Send, Verdict, Voided
from btard.round.evidence.evidence import Offence
from btard.round.roster import Roster, first_randomness
from btard.round.rules import AggregationRules, StepRules, VerificationRules
from btard.transport.memory import Network, NetworkConditions, SimulatedPeer
from btard.transport.vector_trainer import VectorTrainer
from btard.vocabulary import WireType

torch.set_num_threads(1)  # vectors are tiny, and tests run side by side

RULES = StepRules(
    nonce=b"simulated-run-00",
    dimension=40,
    wire=WireType.FLOAT32,
    commit_seconds=20.0,
    scatter_seconds=10.0,
    gather_seconds=10.0,
    agree_seconds=5.0,
    delay_bound_seconds=2.0,
    aggregation=AggregationRules("centered_clip", tau=1.0, reference_peers=4),
    verification=VerificationRules(validators=1.0),
)

PeerType = Callable[..., SimulatedPeer]


def rules_of(count: int, rules: StepRules = RULES, rule: str = "centered_clip", tau: float = 1.0) -> StepRules:
    """Return the rules of a swarm of so many peers; other rules are another run."""
    return replace(rules, aggregation=AggregationRules(rule, tau, count, rules.aggregation.max_norm))


def keys(count: int) -> list[IdentityKey]:
    """Return keys in roster order, the same in every test."""
    made = [IdentityKey.from_seed(tagged_digest("test key", bytes([i]))) for i in range(count)]
    return sorted(made, key=lambda key: key.peer_id)


def seeded_gradient(seed: bytes, parameters: torch.Tensor) -> torch.Tensor:
    """A common direction and noise that the public seed fixes, around the parameters."""
    generator = torch.Generator().manual_seed(int.from_bytes(seed[:8], "big") >> 1)
    return 1.0 + 0.01 * parameters + 0.1 * torch.randn(len(parameters), generator=generator)


class Swarm:
    """`count` simulated peers, of which those named in `behaviours` (by position) are not honest."""

    network_type: type[Network] = Network

    def __init__(
        self,
        count: int,
        *,
        steps: int = 3,
        seed: int = 0,
        conditions: NetworkConditions | None = None,
        behaviours: dict[int, Behaviour] | None = None,
        rules: StepRules = RULES,
        rule: str = "centered_clip",
        tau: float = 1.0,
        peer_type: PeerType = SimulatedPeer,
    ) -> None:
        self.network = self.network_type(seed, conditions or NetworkConditions())
        self.rules = rules = rules_of(count, rules, rule, tau)
        self.seed = seed
        behaviours = behaviours or {}
        self.peers = [
            peer_type(
                self.network,
                key,
                rules,
                VectorTrainer(seeded_gradient, torch.zeros(rules.dimension), momentum=rules.verification.momentum),
                behaviours.get(i, Behaviour()),
                last_step=steps - 1,
            )
            for i, key in enumerate(keys(count))
        ]
        self.liars = set(behaviours)
        members = tuple(peer.peer_id for peer in self.peers)
        self.genesis = Roster(0, members, frozenset(), first_randomness(seed, 0))

    @property
    def honest(self) -> list[SimulatedPeer]:
        """The honest peers that have not crashed."""
        return [peer for i, peer in enumerate(self.peers) if i not in self.liars and not peer.crashed]

    def run(self) -> Swarm:
        """Let all begin, and let things happen until every honest peer has done its steps or stopped."""
        for peer in self.peers:
            peer.begin(self.genesis)
        self.network.run(done=self.done)
        return self

    def done(self) -> bool:
        """Whether no honest peer has anything left to do."""
        return all(peer.stopped or len(peer.finished()) > peer.last_step for peer in self.honest)

    def check_agreement(self) -> None:
        """Assert that all that finished a step finished it with the same bytes and the same next roster."""
        steps: dict[int, Finished] = {}
        for peer in self.honest:
            for result in peer.finished():
                first = steps.setdefault(result.step, result)
                assert bytes(result.flat) == bytes(first.flat), f"two results of step {result.step}, seed {self.seed}"
                assert result.roster == first.roster, f"two rosters after step {result.step}, seed {self.seed}"


def one_by_one(action: Action) -> Sequence[Action]:
    """Return an action as one for each of its receivers, if it is a message."""
    return [replace(action, peers=(peer,)) for peer in action.peers] if isinstance(action, Send) else [action]


def one_of(kind: PeerType, position: int) -> PeerType:
    """Return what makes the peers of one swarm: of this kind the one at `position`, and the others as usual."""
    numbers = itertools.count()

    def peer_type(*arguments: Any, **named: Any) -> SimulatedPeer:
        return (kind if next(numbers) == position else SimulatedPeer)(*arguments, **named)

    return peer_type


def one_liar(kind: PeerType, count: int, position: int, rules: StepRules = RULES) -> Swarm:
    """Return a swarm of two steps in which the peer at `position` is a liar, of another kind."""
    behaviours = {position: Behaviour()}
    return Swarm(count, steps=2, behaviours=behaviours, peer_type=one_of(kind, position), rules=rules)


def voids(peer: SimulatedPeer) -> list[Voided]:
    """Return the attempts that failed, as one peer saw it."""
    return [event for event in peer.history if isinstance(event, Voided)]


def verdicts(peer: SimulatedPeer) -> list[Verdict]:
    """Return all bans, as one peer saw it."""
    return [verdict for void in voids(peer) for verdict in void.verdicts]


def offences(peer: SimulatedPeer) -> dict[PeerId, Offence]:
    """Return each banned peer and its offence, as one peer saw it."""
    return {verdict.peer: verdict.evidence.offence for verdict in verdicts(peer)}


def suspended(peer: SimulatedPeer) -> set[PeerId]:
    """Return the peers that lost their place without a ban, as one peer saw it."""
    return {gone for void in voids(peer) for gone, _ in void.suspended}
