"""The life of a run in stages as its coordinator sees it: seat, follow, seat again after a loss, save, end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from functools import partial

import torch

from btard.coordinator.manifest_maker import PreparedRun
from btard.coordinator.pipeline.bans import StageBans
from btard.coordinator.pipeline.figures import StageFigures
from btard.coordinator.pipeline.saving import save_stages
from btard.coordinator.run_directory import RunDirectory
from btard.durable import write_durably
from btard.errors import UserError
from btard.identity import IdentityKey, Malformed, PeerId
from btard.pipeline.live.build import StageBuilder, beginning_of
from btard.pipeline.live.gate import SEATING_MARK
from btard.pipeline.seats.seating import Seating
from btard.pipeline.seats.statements import MAX_STANCE, Stance
from btard.pipeline.seats.usher import Errand, Usher, UsherPlan
from btard.swarm.door.door import Door, call_over
from btard.swarm.door.reception import Reception, Rooms
from btard.swarm.events.coordinator import (
    CoordinatorEvent,
    PeerRefused,
    PeerWelcomed,
    RunFinished,
    StageAwaited,
    StagesSeated,
)
from btard.swarm.events.log import EventLog
from btard.swarm.questions import Directory, Question, Want
from btard.swarm.records.stages import MOST_TOLD_BANS, StageLine, seat_words
from btard.transport.base import PeerAddress
from btard.transport.libp2p import FetchError, Libp2pNode
from btard.vocabulary import ExitCode

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
"""Seconds between two looks at the peers."""

CLOSED_SECONDS = 2.0
"""Seconds after which a stage is lost whose connection has been closed, and that cannot be dialled."""

FAREWELL_SECONDS = 15.0
"""Seconds that peers have for reading that the run is over."""

_LOAD_SECONDS = 600.0
_ANSWERS_IN_SILENCE = 3.0
"""How many times a peer may be asked in vain before it counts as lost."""


class PipelineSupervisor:
    """Runs one run in stages to its end."""

    def __init__(
        self,
        run: PreparedRun,
        node: Libp2pNode,
        key: IdentityKey,
        directory: RunDirectory,
        log: EventLog[CoordinatorEvent],
        reception: Reception,
    ) -> None:
        """Go on from the directory's seating and bans, if there are any; raises UserError if they are damaged."""
        terms = run.manifest.pipeline
        assert terms is not None and run.task is not None
        torch.set_num_threads(1)  # proofs are computed again, and several round differently from one call to the next
        self._manifest, self._node, self._key = run.manifest, node, key
        self._directory, self._log = directory, log
        self._ask_seconds = min(5.0, terms.silent_seconds / _ANSWERS_IN_SILENCE)
        name, first = run.manifest.run, beginning_of(terms)
        self._usher = Usher(UsherPlan(name, terms.stages, terms.silent_seconds, _LOAD_SECONDS, first, terms.replicas))
        self._usher.seating = self._load_seating()
        call = partial(call_over, node.transport, reception.manifest)
        self._door = Door(run.manifest, call, node.transport.connected, tell=self._refuse)
        reception.open(Rooms(self._door, self._newest_seating, self._where, stages=self._show_stages))
        builder = StageBuilder(run.manifest, run.task)
        self._bans = StageBans(builder, node.transport, directory, log, self._usher, self._open_door)
        self._asking: dict[PeerId, asyncio.Task[None]] = {}
        self._figures = StageFigures(run.manifest, directory)
        self._unconnected: dict[PeerId, float] = {}
        self._welcomed: set[PeerId] = set()
        self._refused: set[tuple[PeerId, str]] = set()
        self._awaited: tuple[int, ...] = ()
        self._began = time.time()

    async def run(self) -> ExitCode:
        """Return when the run is over; cancel to end before."""
        self._open_door()
        calling = asyncio.ensure_future(self._door.run())
        judging = asyncio.ensure_future(self._bans.run())
        working = asyncio.ensure_future(self._work())
        try:
            await asyncio.wait({calling, judging, working}, return_when=asyncio.FIRST_COMPLETED)
            for helping in (calling, judging):
                if helping.done():
                    helping.result()
            return await working
        finally:
            tasks = [calling, judging, working, *self._asking.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._figures.close()

    def _open_door(self) -> None:
        """Let no peer wait for a seat that has lost one by lying."""
        self._door.open((), self._usher.banned)

    def is_member(self, peer: PeerId) -> bool:
        """Whether a peer has a seat, or waits for one."""
        seating = self._usher.seating
        return peer in self._door or (seating is not None and peer in seating.seats)

    async def _work(self) -> ExitCode:
        loop = asyncio.get_running_loop()
        if self._usher.seating is not None:
            self._tell(self._usher.seating)
            for peer, maddrs in self._usher.seating.directory.addresses.items():
                self._node.transport.remember(PeerAddress(peer, maddrs))
        while True:
            waiting = self._welcome()
            self._usher.forget(waiting)
            self._ask(waiting)
            now = loop.time()
            await self._notice_closed_connections(now)
            seating = self._usher.look(now, waiting)
            if seating is not None:
                self._seat(seating)
            self._tell_awaited(now)
            if self._usher.is_finished(now):
                return await self._finish()
            await asyncio.sleep(POLL_SECONDS)

    def _seats(self) -> tuple[PeerId, ...]:
        return () if self._usher.seating is None else self._usher.seating.seats

    def _welcome(self) -> dict[PeerId, tuple[str, ...]]:
        waiting, wanted = self._door.waiting(), self._usher.plan.seats
        for peer in [peer for peer in waiting if peer not in self._welcomed]:
            self._welcomed.add(peer)
            self._log.write(PeerWelcomed(peer=str(peer), count=len(waiting), wanted=wanted))
            logger.info("%s waits for a stage", peer)
        self._welcomed &= waiting.keys()
        return waiting

    async def _notice_closed_connections(self, now: float) -> None:
        """Let the stages go whose connections have been closed for a while, although they are asked all the time."""
        connected = await self._node.transport.connected()
        if connected is None:
            return
        away = [peer for peer in self._seats() if peer not in connected]
        self._unconnected = {peer: self._unconnected.get(peer, now) for peer in away}
        for peer, since in self._unconnected.items():
            if now - since > CLOSED_SECONDS:
                self._usher.gone(peer)

    def _ask(self, waiting: Iterable[PeerId]) -> None:
        """Ask each peer where it stands that is not being asked already: a slow one keeps none waiting.

        Those without a seat are told on this occasion which state to keep.
        """
        seats = self._seats()
        idle = [peer for peer in waiting if peer not in seats]
        for peer in (*seats, *idle):
            if peer not in self._asking:
                errand = self._usher.errand(idle.index(peer)) if peer in idle else None
                self._asking[peer] = asyncio.ensure_future(self._ask_one(peer, errand))

    async def _ask_one(self, peer: PeerId, errand: Errand | None) -> None:
        question = Question(want=Want.STANCE)
        if errand is not None:
            question = Question(want=Want.STANCE, step=errand.step, known=errand.state.hex(), chunk=errand.stage)
        try:
            answer = await self._node.transport.fetch(
                peer, question.encode(), limit=MAX_STANCE, timeout_seconds=self._ask_seconds
            )
            stance = Stance.decode(answer)
        except (FetchError, Malformed) as error:
            logger.debug("%s does not say where it stands: %s", peer.short, error)
            return
        finally:
            del self._asking[peer]
        self._usher.hear(asyncio.get_running_loop().time(), peer, stance)
        seating = self._usher.seating
        if seating is not None:
            self._figures.take(seating, peer, stance)
            if peer in seating.seats:
                self._bans.hear(peer, stance)
            if stance.number < seating.number:
                self._send(peer, seating.sign(self._key))

    def _seat(self, seating: Seating) -> None:
        """Write a seating down, so that a restart does not go back behind it, then tell all."""
        data = seating.sign(self._key)
        self._remember(seating, data)
        former = self._figures.seats
        self._tell(seating)
        for peer in dict.fromkeys([*former, *seating.seats, *self._door.waiting()]):
            self._send(peer, data)

    def _remember(self, seating: Seating, data: bytes) -> None:
        maddrs = [_full(peer, told[0]) for peer, told in seating.directory.addresses.items() if told]
        try:
            write_durably(self._directory.seating_file, data)
            self._directory.save_addresses(maddrs)
        except OSError as error:
            logger.error("cannot remember seating %d for a restart: %s", seating.number, error.strerror)

    def _tell(self, seating: Seating) -> None:
        former = self._figures.seats
        changed = tuple(n for n, peer in enumerate(seating.seats) if n >= len(former) or former[n] != peer)
        self._figures.seated(seating)
        self._bans.seated(seating)
        self._log.write(
            StagesSeated(
                number=seating.number, step=seating.step, seats=tuple(map(str, seating.seats)), changed=changed
            )
        )
        logger.info(
            "seating %d: all go on from step %d; new peers: %s",
            seating.number,
            seating.step,
            seat_words(changed, seating.stages, seating.replicas) if changed else "none",
        )

    def _send(self, peer: PeerId, seating: bytes) -> None:
        self._node.transport.send(peer, SEATING_MARK + seating)

    def _tell_awaited(self, now: float) -> None:
        seating = self._usher.seating
        lost = () if seating is None else tuple(self._usher.lost(now))
        if lost and lost != self._awaited and seating is not None:
            words = seat_words(lost, seating.stages, seating.replicas)
            logger.warning("no peer is here for %s; training waits", words)
            self._log.write(StageAwaited(step=seating.step, stages=lost))
        self._awaited = lost

    async def _newest_seating(self) -> bytes | None:
        return None if self._usher.seating is None else self._usher.seating.sign(self._key)

    def _show_stages(self) -> bytes:
        """Return what a look from outside is shown: the rows of the page, and the bans."""
        seating, bans = self._usher.seating, self._bans.bans[-MOST_TOLD_BANS:]
        return StageLine(
            seating=0 if seating is None else seating.number,
            over=seating is not None and seating.over,
            lost=list(self._awaited),
            stages=self._figures.rows(),
            bans=[ban.row() for ban in bans],
        ).encode()

    def _where(self) -> Directory:
        known = {} if self._usher.seating is None else dict(self._usher.seating.directory.addresses)
        waiting = self._door.waiting()
        return Directory(known | waiting, tuple(waiting))

    def _load_seating(self) -> Seating | None:
        path = self._directory.seating_file
        try:
            return Seating.decode(path.read_bytes(), self._manifest.run, self._key.peer_id)
        except FileNotFoundError:
            return None
        except (OSError, Malformed) as error:
            raise UserError(f"{path} is damaged ({error}); give another --directory") from None

    def _refuse(self, peer: PeerId, reason: str, detail: str = "") -> None:
        if (peer, reason) not in self._refused and len(self._refused) < 1024:
            self._refused.add((peer, reason))
            logger.warning("%s is not welcome: %s%s", peer, reason, f" ({detail[:200]!r})" if detail else "")
            self._log.write(PeerRefused(peer=str(peer), reason=reason))

    async def _finish(self) -> ExitCode:
        """Save the last states, and tell all that they may go."""
        step, states = self._usher.final_states()
        saved = await save_stages(self._node.transport, self._directory, self._manifest, step, states, self._usher)
        over = self._usher.end(asyncio.get_running_loop().time())
        self._seat(over)
        await self._say_farewell(over)
        banned = tuple(str(ban.proof.peer) for ban in self._bans.bans)
        self._log.write(RunFinished(step=step, members=len(over.seats), banned=banned, evaluation_loss=None))
        summary = {
            "experiment": self._manifest.experiment,
            "run_id": self._manifest.run_id,
            "start_step": 0,
            "step": step,
            "members": [str(peer) for peer in over.seats],
            "banned": list(banned),
            "bans": [ban.told() for ban in self._bans.bans],
            "final_checkpoint": None if saved is None else str(saved),
            "states": [state.hex() for state in states],
            "seatings": over.number - 1,
            "training_loss": self._figures.loss,
            "seconds": round(time.time() - self._began, 1),
        }
        try:
            self._directory.save_summary(summary)
        except OSError as error:
            logger.error("cannot write the summary: %s", error.strerror)
        logger.info("the run is over after step %d", step)
        return ExitCode.FAILED if saved is None else ExitCode.FINISHED

    async def _say_farewell(self, over: Seating) -> None:
        """Tell all that the run is over until none is there any more."""
        data, question = over.sign(self._key), Question(want=Want.STANCE).encode()
        present = {*over.seats, *self._door.waiting()}
        deadline = asyncio.get_running_loop().time() + FAREWELL_SECONDS

        async def is_here(peer: PeerId) -> bool:
            self._send(peer, data)
            try:
                await self._node.transport.fetch(peer, question, limit=MAX_STANCE, timeout_seconds=self._ask_seconds)
            except FetchError:
                return False
            return True

        while present and asyncio.get_running_loop().time() < deadline:
            answers = await asyncio.gather(*map(is_here, present))
            present = {peer for peer, here in zip(present, answers, strict=True) if here}
            if present:
                await asyncio.sleep(POLL_SECONDS)


def _full(peer: PeerId, maddr: str) -> str:
    return maddr if maddr.endswith(f"/p2p/{peer}") else f"{maddr}/p2p/{peer}"
