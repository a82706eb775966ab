"""How few and how many bytes each kind of message has: what a stranger sends beyond that is dropped unread."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from btard.pipeline.justice.accusation import MAX_ACCUSATION
from btard.pipeline.machine.messages import MAX_MICRO_BATCHES, MAX_SIGNED_HEADER, MAX_STAGE_HEADER, StageMessageKind
from btard.pipeline.machine.plan import PipelinePlan
from btard.pipeline.schedule.exchange import StepExchange
from btard.pipeline.schedule.state import weights_size
from btard.pipeline.stages.model_stage import Cut

CHUNK_BYTES = 1 << 20
"""Of what is sent in chunks, bytes in each but the last."""

PLEDGE_BYTES = 4 * 32
SEAL_BYTES = 32 + 2
MAX_ALARM = MAX_ACCUSATION + MAX_STAGE_HEADER + MAX_SIGNED_HEADER
"""Bytes of a signed alarm."""

CASE_STEPS = 8
"""For how many steps after its own a case is heard."""

_STATE_FACTOR = 4
"""Bytes of a state, as a multiple of those of its weights, are below this: AdamW keeps two numbers for each."""


@dataclass(frozen=True)
class MessageSizes:
    """The bounds in one pipeline.

    Attributes:
        plan: what all agree on.
        exchange: which rows are told.
        micro_batch: most bytes of one, in either direction.
        cut: of the model.
    """

    plan: PipelinePlan
    exchange: StepExchange
    micro_batch: int
    cut: Cut

    def bounds(self, kind: StageMessageKind, stage: int) -> tuple[int, int]:
        """Return the least and the most bytes of a message's payload."""
        match kind:
            case StageMessageKind.ACTIVATION:
                return 1, self.micro_batch
            case StageMessageKind.GRADIENT:
                return 0, self.micro_batch  # none of one that has overflown
            case StageMessageKind.TIED:
                return (4 * self.exchange.tied_numbers(stage),) * 2
            case StageMessageKind.NORMS:
                return (4 * self.exchange.norm_numbers(stage),) * 2
            case StageMessageKind.ALARM:
                return 1, MAX_ACCUSATION
            case StageMessageKind.RAW | StageMessageKind.AUDITED:
                return 0, 0
            case StageMessageKind.REDO:
                return 1, MAX_ALARM
            case StageMessageKind.PLEDGE:
                return PLEDGE_BYTES, PLEDGE_BYTES
            case StageMessageKind.SEAL:
                return SEAL_BYTES, SEAL_BYTES
            case StageMessageKind.ACCEPT:
                return 0, 2 * len(self.plan.roster)
            case StageMessageKind.ECHO:
                return 1, self._shown
            case StageMessageKind.WITNESS:
                return 1, 8 + self.plan.micro_batches * self._shown
            case StageMessageKind.RECORD | StageMessageKind.CASE | StageMessageKind.VERDICT:
                return 0, max(CHUNK_BYTES, 8 + 36 * self.chunks)
            case StageMessageKind.ASK:
                return 1, 32

    @cached_property
    def chunks(self) -> int:
        """Most messages of a record or a case: a state, and twice what travels in a step, with what is kept of it."""
        state = max(weights_size(self.cut, stage) for stage in range(self.cut.stages))
        travelled = 8 * self.plan.micro_batches * (self.micro_batch + 4 * MAX_STAGE_HEADER)
        tied = sum(4 * self.exchange.tied_numbers(stage) for stage in range(self.cut.stages))
        whole = 2 * _STATE_FACTOR * state + travelled + 2 * tied + (1 << 20)
        return min(2 + whole // CHUNK_BYTES, MAX_MICRO_BATCHES)

    @property
    def memory(self) -> int:
        """For how many steps after its own a case is heard."""
        return CASE_STEPS if self.plan.checked else 0

    @property
    def _shown(self) -> int:
        """Most bytes of a message as a third stage is shown it: with its payload where bits may differ."""
        return MAX_SIGNED_HEADER + 16 + (0 if self.plan.comparison.exact else self.micro_batch)
