"""A stage of one of several pipelines in a simulated network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import methodcaller

from btard.identity import PeerId
from btard.pipeline.machine.memory import SimulatedStage
from btard.pipeline.machine.messages import StageMessageKind
from btard.pipeline.machine.plan import StageEffect
from btard.pipeline.replicas.machine import ReplicaMachine
from btard.pipeline.replicas.rows import Row


@dataclass
class ReplicaStage(SimulatedStage):
    """One stage, which also tells those of other pipelines the headers of its rows.

    Attributes:
        row_bytes: that it has told and shown them.
    """

    machine: ReplicaMachine
    row_bytes: int = 0
    _asked: set[Row] = field(default_factory=set)

    def begin(self, step: int) -> None:
        self._asked.clear()
        super().begin(step)

    def perform(self, effects: Sequence[StageEffect]) -> None:
        """Carry out what the stage wants, tell headers of rows, and ask for those that are lacking."""
        super().perform(effects)
        self._ask_again()
        for header in self.machine.take_headers():
            rosters = [known.facts.roster for known in self.machine.all_steps(header.header.step)]
            receivers = [peer for roster in rosters if self.peer_id not in roster for peer in roster]
            self._tell(receivers, "hear", self.peer_id, header.encode())
        for row, tellers in self.machine.lacking():
            if row not in self._asked:
                self._asked.add(row)
                self.network.deliver_all(self.peer_id, tellers, methodcaller("asked", self.peer_id, row))

    def _ask_again(self) -> None:
        """Ask for headers that have not come, and let rows be asked for once more."""
        questions = self.machine.take_questions()
        for kind, peers in questions:
            self.network.deliver_all(self.peer_id, peers, methodcaller("asked_header", self.peer_id, kind))
        if questions:
            self._asked.clear()

    def _tell(self, receivers: Sequence[PeerId], how: str, *what: PeerId | bytes) -> None:
        self.row_bytes += len(what[-1]) * len(receivers)
        self.network.deliver_all(self.peer_id, receivers, methodcaller(how, *what))

    def hear(self, sender: PeerId, data: bytes) -> None:
        """A stage of another pipeline tells the header of a row."""
        self.perform(self.machine.hear(sender, data))

    def asked(self, sender: PeerId, row: Row) -> None:
        """A stage of another pipeline lacks a row of this stage."""
        data = self.machine.show(row[0], row[2])
        if data is not None:
            self._tell([sender], "shown", data)

    def asked_header(self, sender: PeerId, kind: StageMessageKind) -> None:
        """A stage of another pipeline lacks the header of a row of this stage."""
        header = self.machine.header(kind)
        if header is not None:
            self._tell([sender], "hear", self.peer_id, header.encode())

    def shown(self, data: bytes) -> None:
        """A row has come that was asked for."""
        self.perform(self.machine.shown(data))
