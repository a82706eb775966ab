"""A stage of one of several pipelines in a simulated network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import methodcaller

from btard.identity import PeerId
from btard.pipeline.machine.memory import SimulatedStage
from btard.pipeline.machine.plan import StageEffect
from btard.pipeline.replicas.machine import ReplicaMachine


@dataclass
class ReplicaStage(SimulatedStage):
    """One stage, which also tells those of other pipelines its rows.

    Attributes:
        row_bytes: that it has told them.
    """

    machine: ReplicaMachine
    row_bytes: int = 0

    def perform(self, effects: Sequence[StageEffect]) -> None:
        super().perform(effects)
        for row in self.machine.take_rows():
            rosters = [known.facts.roster for known in self.machine.all_steps(row.header.step)]
            receivers = [peer for roster in rosters if self.peer_id not in roster for peer in roster]
            data = row.encode()
            self.row_bytes += len(data) * len(receivers)
            self.network.deliver_all(self.peer_id, receivers, methodcaller("hear", self.peer_id, data))

    def hear(self, sender: PeerId, data: bytes) -> None:
        """A stage of another pipeline tells a row."""
        self.perform(self.machine.hear(sender, data))
