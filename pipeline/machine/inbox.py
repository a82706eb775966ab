"""What has arrived at a stage: only what it can need, each thing once, and no more bytes than that has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from btard.identity import Malformed, PeerId
from btard.pipeline.machine.messages import StageMessage, StageMessageKind

Item = tuple[StageMessageKind, int, int]
"""Kind, stage of the author, micro-batch."""

OF_MICRO_BATCHES = frozenset({StageMessageKind.ACTIVATION, StageMessageKind.GRADIENT, StageMessageKind.ALARM})


@dataclass
class StageInbox:
    """The messages of the current step, and of the next one.

    A peer that is fast may be a step ahead, or redo a step before this one knows of the alarm. Nothing is kept of any
    other: what one author can make a stage hold is bounded.

    Attributes:
        run: the run's name.
        roster: the peer of each stage.
        micro_batches: of a step.
        sizes: least and most bytes of the numbers in a message of a kind by a stage.
        step: the current one.
    """

    run: bytes
    roster: Sequence[PeerId]
    micro_batches: int
    sizes: Callable[[StageMessageKind, int], tuple[int, int]]
    step: int = 0
    _held: dict[tuple[int, int, Item], StageMessage] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._most = max(self.sizes(kind, stage)[1] for kind in StageMessageKind for stage in range(len(self.roster)))

    def accept(self, sender: PeerId, data: bytes) -> bool:
        """File a message; whether it is new, and of the current step or the next.

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
        if header.micro_batch >= (self.micro_batches if header.kind in OF_MICRO_BATCHES else 1):
            raise Malformed(f"there is no micro-batch {header.micro_batch}")
        least, most = self.sizes(header.kind, header.stage)
        if not least <= len(message.payload) <= most:
            raise Malformed(f"{len(message.payload)} bytes of numbers where {least} to {most} belong")
        place = (header.step, header.attempt, (header.kind, header.stage, header.micro_batch))
        if not self.step <= header.step <= self.step + 1 or place in self._held:
            return False
        message.verify(sender)
        self._held[place] = message
        return True

    def find(self, attempt: int, kind: StageMessageKind, stage: int, micro_batch: int = 0) -> StageMessage | None:
        """Return what a stage has sent in the current step, None if it has not arrived."""
        return self._held.get((self.step, attempt, (kind, stage, micro_batch)))

    def first(self, attempt: int, kind: StageMessageKind) -> StageMessage | None:
        """Return the first message of a kind to arrive in the current step."""
        fits = (self.step, attempt, kind)
        return next((held for (*place, item), held in self._held.items() if (*place, item[0]) == fits), None)

    def begin(self, step: int) -> None:
        """Go on to a step, and forget all before it."""
        self.step = step
        self._held = {place: message for place, message in self._held.items() if place[0] >= step}
