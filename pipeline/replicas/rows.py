"""The rows that stages tell of averaged gradients: each counts once most replicas of its stage have told the same.

After the average all replicas of a stage hold the same gradients, so honest ones tell the same bytes. A stage that
tells its own pipeline something else would otherwise lead all of it away from the other pipelines.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import torch

from btard.pipeline.justice.accusation import Accusation
from btard.pipeline.machine.messages import StageMessage, StageMessageKind
from btard.pipeline.replicas.gradients import flat_gradient, set_flat_gradient
from btard.pipeline.step.rows import RowExchange

ROW_KINDS = (StageMessageKind.TIED, StageMessageKind.NORMS)


@dataclass
class AveragedRows(RowExchange):
    """The rows of an attempt.

    Attributes:
        replicas: how many pipelines there are.
        own: what this stage has summed itself, float32 of shape (d,); None until its passes are done.
        averaged: whether that has been replaced.
        telling: rows that the other pipelines are yet to be told.
    """

    replicas: int = 1
    own: torch.Tensor | None = None
    averaged: bool = False
    telling: list[StageMessage] = field(default_factory=list)
    _heard: dict[tuple[StageMessageKind, int, int], bytes] = field(default_factory=dict)

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

    def hear(self, replica: int, message: StageMessage) -> None:
        """Note a row that a stage of another pipeline has told, and its signature verifies: the first one counts."""
        kind, stage, size = message.header.kind, message.header.stage, len(message.payload)
        if size == 4 * self._numbers(kind, stage):
            self._heard.setdefault((kind, stage, replica), message.payload)

    def _tell_others(self, kind: StageMessageKind) -> None:
        message = self.context.sent(kind)
        assert message is not None
        self.telling.append(message)

    def _numbers(self, kind: StageMessageKind, stage: int) -> int:
        exchange = self.context.exchange
        return exchange.tied_numbers(stage) if kind is StageMessageKind.TIED else exchange.norm_numbers(stage)

    def _told(self, kind: StageMessageKind) -> dict[int, torch.Tensor] | None:
        """Return the rows of all stages, None while there is one of which most replicas have not told the same."""
        found = {stage: self._of_most(kind, stage) for stage in self.context.lineup.learning}
        self.wanted = [(kind, stage, 0) for stage, row in found.items() if row is None]
        if self.wanted:
            return None
        return {stage: self.context.exchange.read_row(row) for stage, row in found.items() if row is not None}

    def _of_most(self, kind: StageMessageKind, stage: int) -> bytes | None:
        votes = Counter(row for (known, of, _), row in self._heard.items() if (known, of) == (kind, stage))
        here = self.context.find(kind, stage)
        if here is not None:
            votes[here.payload] += 1
        row, count = votes.most_common(1)[0] if votes else (None, 0)
        return row if 2 * count > self.replicas else None
