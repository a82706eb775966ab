"""What stages tell all others before a step: gradients of tied weights, and norms, and who checks them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from btard.hashing import tagged_digest
from btard.pipeline.justice.accusation import Accusation, Claim
from btard.pipeline.machine.context import StageContext
from btard.pipeline.machine.messages import StageMessageKind, to_payload
from btard.pipeline.schedule.worker import StageWorker

CLAIMS = {StageMessageKind.TIED: Claim.TIED, StageMessageKind.NORMS: Claim.NORMS}


def transcript(activations: Sequence[bytes], gradients: Sequence[bytes]) -> bytes:
    """Return the digest under which a stage signs what it has computed a step's rows from.

    Args:
        activations: digests of those that it was sent, by micro-batch; none for the first stage.
        gradients: likewise; none for the last stage.
    """
    return tagged_digest("btard pipeline transcript", b"".join(activations), b"".join(gradients))


@dataclass
class RowExchange:
    """The rows of one attempt.

    Attributes:
        context: of the stage.
        wanted: what is missing.
        norms: of all gradients by name, once all have told theirs.
    """

    context: StageContext
    wanted: list[tuple[StageMessageKind, int, int]] = field(default_factory=list)
    norms: dict[str, torch.Tensor] = field(default_factory=dict)

    def tell_tied(self) -> None:
        """Tell all the gradients of the own tied weights."""
        self._tell(StageMessageKind.TIED, self._row(StageMessageKind.TIED, self.context.worker))

    def tell_norms(self) -> None:
        """Tell all the norms of the own gradients."""
        context = self.context
        row = self._row(StageMessageKind.NORMS, context.worker)
        self._tell(StageMessageKind.NORMS, context.behaviour.norms(context.place(), row))

    def add_tied(self) -> Accusation | bool:
        """Give each tied weight the sum of its copies' gradients; whether those of all are there."""
        context = self.context
        rows = self._told(StageMessageKind.TIED)
        if rows is None:
            return False
        if accusation := self._compared(StageMessageKind.TIED):
            return accusation
        copies = {
            place: part for n, row in rows.items() for place, part in context.exchange.tied_gradients(n, row).items()
        }
        for worker in context.workers:
            if worker.stage.number in context.lineup.learning:
                worker.set_tied(copies)
        return True

    def collect_norms(self) -> Accusation | bool:
        """Whether the norms of all are there, in `norms`."""
        context = self.context
        rows = self._told(StageMessageKind.NORMS)
        if rows is None:
            return False
        if accusation := self._compared(StageMessageKind.NORMS):
            return accusation
        self.norms = {name: norm for n, row in rows.items() for name, norm in context.exchange.norms(n, row).items()}
        return True

    def _tell(self, kind: StageMessageKind, row: torch.Tensor) -> None:
        context = self.context
        if context.learns:
            context.send(kind, context.others(), to_payload(row), kept=transcript(*self._consumed()))

    def _consumed(self) -> tuple[list[bytes], list[bytes]]:
        """Return the digests of all activations and of all gradients that this stage has computed from."""
        context, lineup = self.context, self.context.lineup
        before, after = lineup.before(context.number), lineup.after(context.number)
        numbers = range(context.plan.micro_batches)
        found = []
        for kind, stage in ((StageMessageKind.ACTIVATION, before), (StageMessageKind.GRADIENT, after)):
            messages = [] if stage is None else [context.find(kind, stage, number) for number in numbers]
            found.append([message.header.payload for message in messages if message is not None])
        return found[0], found[1]

    def _told(self, kind: StageMessageKind) -> dict[int, torch.Tensor] | None:
        """Return the rows of all stages that learn, None while one is missing."""
        context = self.context
        found = {stage: context.find(kind, stage) for stage in context.lineup.learning}
        self.wanted = [(kind, stage, 0) for stage, message in found.items() if message is None]
        return (
            None
            if self.wanted
            else {s: context.exchange.read_row(message.payload) for s, message in found.items() if message}
        )

    def _row(self, kind: StageMessageKind, worker: StageWorker) -> torch.Tensor:
        exchange, number = self.context.exchange, worker.stage.number
        if kind is StageMessageKind.TIED:
            return exchange.tied_row(number, worker.tied_gradients())
        return exchange.norm_row(number, worker.norms())

    def _compared(self, kind: StageMessageKind) -> Accusation | None:
        """Compare the row of the stage before with that of its duplicate, if there is one."""
        context = self.context
        if context.follower is None:
            return None
        told = context.find(kind, context.number - 1)
        assert told is not None
        own = self._row(kind, context.follower)
        same = context.plan.comparison.same(own, context.exchange.read_row(told.payload))
        if same or context.behaviour.tolerates(context.place(), context.number - 1):
            return None
        return Accusation(CLAIMS[kind], told.signed)
