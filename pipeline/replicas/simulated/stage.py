"""A stage of one of several pipelines in a simulated network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import methodcaller

from btard.identity import PeerId
from btard.pipeline.machine.memory import SimulatedStage
from btard.pipeline.machine.plan import StageEffect, TellReplicas
from btard.pipeline.replicas.machine import ReplicaMachine


@dataclass
class ReplicaStage(SimulatedStage):
    """One stage, which also tells those of other pipelines about its rows.

    Attributes:
        row_bytes: that it has told them.
    """

    machine: ReplicaMachine
    row_bytes: int = 0

    def perform(self, effects: Sequence[StageEffect]) -> None:
        """Carry out what the stage wants."""
        super().perform(effects)
        for effect in effects:
            if isinstance(effect, TellReplicas):
                self.row_bytes += len(effect.data) * len(effect.peers)
                arrive = methodcaller("hear", self.peer_id, effect.data)
                self.network.deliver_all(self.peer_id, effect.peers, arrive)

    def hear(self, sender: PeerId, data: bytes) -> None:
        """A stage of another pipeline tells something about rows."""
        self.perform(self.machine.hear(sender, data))
