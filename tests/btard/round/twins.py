"""Two instances of correct code with one identity: they receive different messages, and nobody lies."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import torch

from btard.identity import PeerId
from btard.round.rules import StepRules
from btard.transport.memory import Network, NetworkConditions, SimulatedPeer
from btard.transport.vector_trainer import VectorTrainer
from tests.btard.round.swarm import RULES, Swarm, seeded_gradient


class Hearing(StrEnum):
    """Which of the two instances hears a message, or is heard."""

    BOTH = "both"
    EITHER = "either"
    HALVES = "halves"
    FIRST = "first"


@dataclass(frozen=True)
class Twins:
    """How the instances differ.

    Attributes:
        hears: which instance a message to the identity reaches.
        heard: of which instance the others hear.
        late: seconds by which the second instance begins later, as after a restart.
        rounding: relative difference of the second instance's gradients, as of another machine.
    """

    hears: Hearing
    heard: Hearing
    late: float
    rounding: float


class TwinNetwork(Network):
    """Delivers what is meant for the twin identity to one or both of its instances."""

    def __init__(self, seed: int, conditions: NetworkConditions, twins: Twins) -> None:
        super().__init__(seed, conditions)
        self.how = twins
        self.instances: list[SimulatedPeer] = []
        self.order: tuple[PeerId, ...] = ()
        self.chance = random.Random(seed)

    def _chosen(self, policy: Hearing, other: PeerId) -> Sequence[int]:
        match policy:
            case Hearing.BOTH:
                return (0, 1)
            case Hearing.EITHER:
                return self.chance.choice(((0,), (1,), (0, 1)))
            case Hearing.HALVES:
                return (int(2 * self.order.index(other) >= len(self.order)),)
        return (0,)

    def _arrive(self, sender: PeerId, receivers: Sequence[PeerId], arrive: Callable[[SimulatedPeer], None]) -> None:
        twin = self.instances[0].peer_id
        for receiver in receivers:
            if receiver != twin:
                super()._arrive(sender, (receiver,), arrive)
                continue
            for number in self._chosen(self.how.hears, sender):
                if not self.instances[number].crashed:
                    arrive(self.instances[number])

    def hears(self, instance: SimulatedPeer, other: PeerId) -> bool:
        """Whether something that an instance sends reaches another peer."""
        return self.instances.index(instance) in self._chosen(self.how.heard, other)


class Twin(SimulatedPeer):
    """One of the two instances."""

    network: TwinNetwork

    def perform(self, actions) -> None:  # type: ignore[no-untyped-def]
        with _SenderOnly(self):
            super().perform(actions)


class _SenderOnly:
    """While a twin acts, its network delivers only to those that hear of this instance."""

    def __init__(self, twin: Twin) -> None:
        self.twin, self.network = twin, twin.network

    def __enter__(self) -> None:
        self.before = self.network.__dict__.get("deliver_all")
        network, twin = self.network, self.twin

        def deliver_all(sender, receivers, arrive, wait=0.0, size=0):  # type: ignore[no-untyped-def]
            chosen = tuple(peer for peer in receivers if network.hears(twin, peer))
            if chosen:
                Network.deliver_all(network, sender, chosen, arrive, wait, size)

        network.deliver_all = deliver_all  # type: ignore[method-assign]

    def __exit__(self, *_: object) -> None:
        if self.before is None:
            del self.network.deliver_all
        else:
            self.network.deliver_all = self.before  # type: ignore[method-assign]


class TwinSwarm(Swarm):
    """A swarm in which the peer at `position` exists twice."""

    def __init__(
        self,
        count: int,
        twins: Twins,
        *,
        position: int = 1,
        steps: int = 3,
        seed: int = 0,
        conditions: NetworkConditions | None = None,
        rules: StepRules = RULES,
    ) -> None:
        super().__init__(count, steps=steps, seed=seed, rules=rules)
        self.network = TwinNetwork(seed, conditions or NetworkConditions(), twins)
        self.liars = {position}
        first = self.peers[position]

        def rounded(batch: bytes, parameters: torch.Tensor) -> torch.Tensor:
            return seeded_gradient(batch, parameters) * (1 + twins.rounding)

        for peer in self.peers:
            peer.network = self.network
            self.network.peers[peer.peer_id] = peer
        for gradient in (seeded_gradient, rounded):
            trainer = VectorTrainer(gradient, torch.zeros(rules.dimension), momentum=rules.verification.momentum)
            twin = Twin(self.network, first.key, first.rules, trainer, last_step=first.last_step)
            self.network.instances.append(twin)
        self.peers[position] = self.network.instances[0]
        self.network.order = self.genesis.members
        self.late = twins.late

    def run(self) -> TwinSwarm:
        """Let all begin, and let things happen until every honest peer has done its steps or stopped."""
        for peer in self.peers:
            peer.begin(self.genesis)
        second = self.network.instances[1]  # type: ignore[attr-defined]
        self.network.at(self.late, lambda: second.begin(self.genesis))
        self.network.run(done=self.done)
        return self
