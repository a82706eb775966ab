"""The rows that stages tell of averaged gradients: each counts once most replicas of its stage have told the same.

After the average all replicas of a stage hold the same gradients, so honest ones tell the same bytes. A stage that
tells its own pipeline something else would otherwise lead all of it away from the other pipelines. To those go headers
alone; a stage that was told another row than most have told is shown that one when it asks.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import torch

from btard.hashing import digest
from btard.pipeline.justice.accusation import Accusation
from btard.pipeline.machine.messages import SignedHeader, StageHeader, StageMessageKind
from btard.pipeline.replicas.gradients import flat_gradient, set_flat_gradient
from btard.pipeline.step.rows import RowExchange

ROW_KINDS = (StageMessageKind.TIED, StageMessageKind.NORMS)

Row = tuple[StageMessageKind, int, bytes]
"""Kind, stage and digest."""


@dataclass
class AveragedRows(RowExchange):
    """The rows of an attempt.

    Attributes:
        replicas: how many pipelines there are.
        own: what this stage has summed itself, float32 of shape (d,); None until its passes are done.
        averaged: whether that has been replaced.
        telling: headers of rows that the other pipelines are yet to be told.
        lacking: rows that most replicas of a stage have told, and that have not come: kind, stage, digest.
    """

    replicas: int = 1
    own: torch.Tensor | None = None
    averaged: bool = False
    telling: list[SignedHeader] = field(default_factory=list)
    lacking: list[Row] = field(default_factory=list)
    _heard: dict[tuple[StageMessageKind, int, int], bytes] = field(default_factory=dict)
    """Digests, by kind, stage and replica."""
    _shown: dict[bytes, bytes] = field(default_factory=dict)
    """Rows, by digest."""

    def tell_tied(self) -> None:
        self.own = flat_gradient(self.context.worker)

    def add_tied(self) -> Accusation | bool:
        if self.averaged:
            return super().add_tied()
        self.wanted = []  # what is missing comes from the replicas, not from stages
        return False

    def go_on_with(self, average: torch.Tensor) -> None:
        """Tell the rows of these gradients, float32 of shape (d,)."""
        set_flat_gradient(self.context.worker, average)
        self.averaged = True
        super().tell_tied()
        self._tell_others(StageMessageKind.TIED)

    def tell_norms(self) -> None:
        super().tell_norms()
        self._tell_others(StageMessageKind.NORMS)

    def hear(self, replica: int, header: StageHeader) -> None:
        """Note what a stage of another pipeline has told, and its signature verifies: the first header counts."""
        self._heard.setdefault((header.kind, header.stage, replica), header.payload)

    def tellers(self, row: Row) -> list[int]:
        """Return the replicas of a stage that have told a row."""
        return [n for (kind, stage, n), told in sorted(self._heard.items()) if (kind, stage, told) == row]

    def unheard(self) -> list[tuple[StageMessageKind, int, list[int]]]:
        """Return the rows that are missing, each with the replicas of its stage that have told no header of it."""
        told = {
            (kind, stage): {n for k, s, n in self._heard if (k, s) == (kind, stage)} for kind, stage, _ in self.wanted
        }
        return [(*row, [n for n in range(self.replicas) if n not in heard]) for row, heard in told.items()]

    def shown(self, data: bytes) -> None:
        """Take a row that was asked for; any other bytes are dropped."""
        wanted = {row for _, _, row in self.lacking}
        if wanted and digest(data) in wanted:
            self._shown[digest(data)] = data

    def _tell_others(self, kind: StageMessageKind) -> None:
        message = self.context.sent(kind)
        assert message is not None
        self.telling.append(message.signed)

    def _told(self, kind: StageMessageKind) -> dict[int, torch.Tensor] | None:
        """Return the rows of all stages, None while there is one of which most replicas have not told the same."""
        self.lacking = []
        found = {stage: self._of_most(kind, stage) for stage in self.context.lineup.learning}
        self.wanted = [(kind, stage, 0) for stage, row in found.items() if row is None]
        if self.wanted:
            return None
        return {stage: self.context.exchange.read_row(row) for stage, row in found.items() if row is not None}

    def _of_most(self, kind: StageMessageKind, stage: int) -> bytes | None:
        votes = Counter(row for (known, of, _), row in self._heard.items() if (known, of) == (kind, stage))
        here = self.context.find(kind, stage)
        if here is not None:
            votes[here.header.payload] += 1
        row, count = votes.most_common(1)[0] if votes else (b"", 0)
        if 2 * count <= self.replicas:
            return None
        if here is not None and here.header.payload == row:
            return here.payload
        if row not in self._shown:
            self.lacking.append((kind, stage, row))
        return self._shown.get(row)
