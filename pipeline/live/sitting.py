"""One seat in one seating: the stage computes, speaks with the others, and averages with its replicas."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from btard.identity import PeerId
from btard.pipeline.live.background import Background
from btard.pipeline.live.driver import Look, Looked, StageDriver
from btard.pipeline.live.gate import header_of
from btard.pipeline.live.rounds import ReplicaRounds
from btard.pipeline.machine.machine import StageMachine
from btard.pipeline.machine.plan import (
    AwaitAverage,
    SendStage,
    StageBanned,
    StageEffect,
    StageReport,
    StageStalled,
    TellReplicas,
)
from btard.pipeline.replicas.machine import as_replica
from btard.pipeline.seats.report import StepReport
from btard.pipeline.seats.seating import Seating
from btard.transport.libp2p import Libp2pTransport

Tell = Callable[[Seating, StageReport | StageStalled | StageBanned], None]
"""Is told what happens to the stage of a seating."""


@dataclass
class _Tally:
    """What a step has taken so far."""

    began_at: float = field(default_factory=time.monotonic)
    sent_bytes: int = 0
    received_bytes: int = 0


class Sitting:
    """A stage in its seat. Use from one event loop.

    Attributes:
        seating: that has given the seat.
        seat: which.
        machine: the stage.
        rounds: in which it averages; None where it is the only one of its kind.
    """

    def __init__(
        self,
        seating: Seating,
        seat: int,
        machine: StageMachine,
        rounds: ReplicaRounds | None,
        transport: Libp2pTransport,
        worker: ThreadPoolExecutor,
        looked: Looked,
        tell: Tell,
    ) -> None:
        """Take a seat that nothing happens in before `run`; see `StageDriver` for `worker` and `looked`."""
        self.seating, self.seat, self.machine, self.rounds = seating, seat, machine, rounds
        self._transport, self._tell = transport, tell
        self._driver = StageDriver(machine, worker, self._perform, looked)
        self._averaging = Background()
        self._tally, self._sent = _Tally(), 0

    async def run(self) -> None:
        """Run the stage until cancelled."""
        try:
            await self._driver.run()
        finally:
            if self.rounds is not None:
                self.rounds.end()
            self._averaging.cancel()
            self.machine.context.channels.close()

    def begin(self, step: int) -> None:
        """Begin a step."""
        self._tally = _Tally()
        self._driver.begin(step)
        if self.rounds is not None:
            self._averaging.start(self._average(self.rounds, step))

    def look_at(self, sender: PeerId, size: int, look: Look) -> None:
        """Let the stage look at so many bytes of a sender, in turn."""
        self._tally.received_bytes += size
        self._driver.put(look, sender, size)

    def report(self, report: StageReport) -> StepReport:
        """Return what is to be shown of a step that is over now."""
        tally, duplicate = self._tally, self.machine.duplicate
        return StepReport(
            self.seating.run,
            self.seating.number,
            self.seat,
            report.step,
            round(time.monotonic() - tally.began_at, 4),
            math.nan if report.loss is None else report.loss,
            tally.sent_bytes,
            tally.received_bytes,
            0 if duplicate is None else self.machine.plan.micro_batches,
            report.alarm,
            report.passed_by,
        )

    def _perform(self, effects: Sequence[StageEffect]) -> None:
        seating = self.seating
        for effect in effects:
            match effect:
                case SendStage(stages, data):
                    roster = seating.pipeline(seating.replica_of(self.seat))
                    self._send(seating.messages_run, [roster[stage] for stage in stages], data)
                case TellReplicas(peers, data):
                    self._send(seating.notes_run, peers, data)
                case AwaitAverage():
                    assert self.rounds is not None
                    self._averaging.start(self.rounds.submit(effect))
                case StageReport() | StageStalled() | StageBanned():
                    self._tell(seating, effect)

    def _send(self, run: bytes, peers: Iterable[PeerId], data: bytes) -> None:
        for peer in peers:
            self._sent += 1
            self._tally.sent_bytes += len(data)
            self._transport.send_part(peer, header_of(run, self._sent), data)

    async def _average(self, rounds: ReplicaRounds, step: int) -> None:
        """Go through the round of a step, and let the stage go on with what it comes to."""
        vector = await rounds.average()
        if vector is None:
            self._tell(self.seating, StageStalled(step, "the round of its replicas, which go on without it"))
            return
        now = asyncio.get_running_loop().time()
        self._driver.put(lambda machine: as_replica(machine).average(now, vector))
