"""What has arrived at a stage: only what it can need, each thing once, and no more bytes than that has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from btard.hashing import DIGEST_SIZE
from btard.identity import Malformed, PeerId
from btard.pipeline.machine.messages import NOTHING, SignedHeader, StageHeader, StageMessage, StageMessageKind

Item = tuple[StageMessageKind, int, int]
"""Kind, stage of the author, micro-batch."""

OF_MICRO_BATCHES = frozenset(
    {StageMessageKind.ACTIVATION, StageMessageKind.GRADIENT, StageMessageKind.ALARM, StageMessageKind.ECHO}
)
OF_STAGES = frozenset({StageMessageKind.RAW, StageMessageKind.AUDITED, StageMessageKind.WITNESS})
IN_CHUNKS = frozenset({StageMessageKind.RECORD, StageMessageKind.CASE, StageMessageKind.VERDICT})
_COMPUTED = frozenset({StageMessageKind.ACTIVATION, StageMessageKind.GRADIENT})
_PATIENT = frozenset({StageMessageKind.CASE, StageMessageKind.VERDICT})
"""Kinds that belong to the step that they are about, whichever is the current one."""


@dataclass
class StageInbox:
    """The messages of the current step, and of the next one.

    A peer that is fast may be a step ahead, or redo a step before this one knows of the alarm. Nothing is kept of any
    other: what one author can make a stage hold is bounded.

    Attributes:
        run: the run's name.
        roster: the peer of each stage.
        micro_batches: of a step.
        sizes: least and most bytes of the payload in a message of a kind by a stage.
        chunks: most messages of which something large is made.
        step: the current one.
        attempt: the current one at that step.
        memory: for how many steps after its own a case may be heard.
    """

    run: bytes
    roster: Sequence[PeerId]
    micro_batches: int
    sizes: Callable[[StageMessageKind, int], tuple[int, int]]
    chunks: int = 1
    step: int = 0
    attempt: int = 0
    memory: int = 0
    _held: dict[tuple[int, int, Item], StageMessage] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._most = max(self.sizes(kind, stage)[1] for kind in StageMessageKind for stage in range(len(self.roster)))

    def accept(self, sender: PeerId, data: bytes) -> StageMessage | None:
        """File a message, and return it if it is new, and of the current step or the next.

        Args:
            sender: the peer that the connection has proved.
            data: untrusted bytes.

        Raises:
            Malformed: no honest peer sends this.
        """
        message = StageMessage.decode(data, most=self._most)
        header = message.header
        if header.run != self.run or header.stage >= len(self.roster) or self.roster[header.stage] != sender:
            raise Malformed("a message of another run or another stage")
        if header.micro_batch >= self._numbers(header.kind):
            raise Malformed(f"there is no micro-batch {header.micro_batch}")
        least, most = self.sizes(header.kind, header.stage)
        if not least <= len(message.payload) <= most:
            raise Malformed(f"{len(message.payload)} bytes of numbers where {least} to {most} belong")
        place = (header.step, header.attempt, (header.kind, header.stage, header.micro_batch))
        if not self._is_timely(header) or place in self._held:
            return None
        message.verify(sender)
        self._check_basis(message)
        if header.kind is not StageMessageKind.ASK:
            self._held[place] = message
        return message

    def find(self, attempt: int, kind: StageMessageKind, stage: int, micro_batch: int = 0) -> StageMessage | None:
        """Return what a stage has sent in the current step, None if it has not arrived."""
        return self._held.get((self.step, attempt, (kind, stage, micro_batch)))

    def find_of(
        self, step: int, attempt: int, kind: StageMessageKind, stage: int, micro_batch: int = 0
    ) -> StageMessage | None:
        """Return what a stage has sent about a step."""
        return self._held.get((step, attempt, (kind, stage, micro_batch)))

    def first(self, attempt: int, kind: StageMessageKind) -> StageMessage | None:
        """Return the first message of a kind to arrive in the current step."""
        fits = (self.step, attempt, kind)
        return next((held for (*place, item), held in self._held.items() if (*place, item[0]) == fits), None)

    def begin(self, step: int) -> None:
        """Go on to a step, and forget all before it but cases that are not closed."""
        self.step, self.attempt = step, 0
        self._held = {
            place: message
            for place, message in self._held.items()
            if place[0] >= step or (place[2][0] in _PATIENT and place[0] >= step - self.memory)
        }

    def _is_timely(self, header: StageHeader) -> bool:
        if header.kind in _PATIENT:
            return self.step - self.memory <= header.step <= self.step + 1
        if header.kind is StageMessageKind.ASK:
            return self.step - 1 <= header.step <= self.step + 1
        if header.step == self.step:
            return header.attempt <= self.attempt + 1
        return header.step == self.step + 1 and header.attempt <= 1

    def _numbers(self, kind: StageMessageKind) -> int:
        if kind in OF_MICRO_BATCHES:
            return self.micro_batches
        if kind in OF_STAGES:
            return len(self.roster)
        return self.chunks if kind in IN_CHUNKS else 1

    def _check_basis(self, message: StageMessage) -> None:
        """Check that what a message says it was computed from was signed by another stage, for the same place."""
        header = message.header
        if header.kind not in _COMPUTED:
            if message.attached:
                raise Malformed("nothing is attached to such a message")
            return
        if header.basis == NOTHING and not message.attached:
            return
        source = SignedHeader.decode(message.attached)
        told = source.header
        same = (told.run, told.step, told.attempt, told.micro_batch)
        if (
            same != (header.run, header.step, header.attempt, header.micro_batch)
            or told.kind not in _COMPUTED
            or told.payload != header.basis
            or told.stage == header.stage
            or told.stage >= len(self.roster)
            or len(header.basis) != DIGEST_SIZE
        ):
            raise Malformed("a message was not computed from what is attached to it")
        source.verify(self.roster[told.stage])
