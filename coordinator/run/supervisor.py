"""The life of a run as the coordinator sees it: welcome, follow, save, end."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from typing import Any

from btard.coordinator.manifest_maker import PreparedRun
from btard.coordinator.network.address_book import AddressBook
from btard.coordinator.network.network import SwarmNetwork
from btard.coordinator.network.publisher import Publisher
from btard.coordinator.network.serving import InitialState
from btard.coordinator.run.ban_keeper import BanKeeper
from btard.coordinator.run.checkpoints import CheckpointKeeper
from btard.coordinator.run.follower import Follower
from btard.coordinator.run.welcome import Welcome
from btard.coordinator.run_directory import RunDirectory
from btard.coordinator.telemetry.meter import SwarmMeter
from btard.coordinator.telemetry.metrics import MetricsBoard, Sink, status_line
from btard.coordinator.telemetry.peer_details import DetailsBoard
from btard.identity import IdentityKey, MessageKind, PeerId
from btard.round.roster import Roster
from btard.swarm.bans import BanBook
from btard.swarm.door.reception import Reception, Rooms
from btard.swarm.events.coordinator import (
    CoordinatorEvent,
    FirstRoster,
    ReportsMissed,
    RunFinished,
    ValidationResumed,
    ValidationStopped,
)
from btard.swarm.events.log import EventLog
from btard.swarm.questions import Directory
from btard.swarm.telemetry.validation_watch import ValidationWatch
from btard.vocabulary import ExitCode

logger = logging.getLogger(__name__)

BAN_PATIENCE_SECONDS = 20.0
"""Seconds after the last checkpoint in which peers may still show the evidence of bans."""

FAREWELL_SECONDS = 15.0
"""Seconds that peers have for reading that the run is over."""

ADDRESS_PERIOD_SECONDS = 15.0
"""Seconds between two looks at the members' addresses."""

_END_POLL_SECONDS = 0.3
_SHOWN_RANGES = 20


class Supervisor:
    """Runs one run to its end."""

    def __init__(
        self,
        run: PreparedRun,
        network: SwarmNetwork,
        key: IdentityKey,
        directory: RunDirectory,
        log: EventLog[CoordinatorEvent],
        initial: InitialState,
        reception: Reception,
        *,
        refresh_seconds: float,
        meter: SwarmMeter,
        sinks: tuple[Sink, ...] = (),
    ) -> None:
        self._manifest = run.manifest
        self._network = network
        self._directory = directory
        self._log = log
        self._initial = initial
        self._refresh_seconds = refresh_seconds
        self._began = time.time()
        self._me = key.peer_id
        self._addresses = AddressBook(network, run.manifest, directory)
        self._publisher = Publisher(network, key, run.manifest)
        self._welcome = Welcome(network, run.manifest, log)
        reception.open(Rooms(self._welcome.door, self._newest_roster, self._where))
        self._bans = BanKeeper(network, BanBook(directory.bans, run.manifest.step_rules), log)
        assert run.state is not None, "a run in stages has another supervisor"
        self._keeper = CheckpointKeeper(network, run.manifest, run.state, directory, log)
        patience_seconds = 3 * run.manifest.metrics_period + refresh_seconds
        self._meter = meter
        self._details = details = DetailsBoard(directory, log)
        self._board = MetricsBoard(
            run.manifest,
            directory,
            patience_seconds=patience_seconds,
            sinks=(meter, *sinks),
            details=details,
            missed=self._miss_reports,
        )
        self._watch = ValidationWatch(run.manifest.validators, self._tell_validation)
        self._follower: Follower | None = None
        self._checking: asyncio.Task[None] | None = None
        self._announced = self._logged_step = -1
        self._disk_complains = True
        self._unreported: list[tuple[int, int]] = []

    async def run(self) -> ExitCode:
        """Return when the run is over; cancel to end before.

        Raises:
            UserError: the directory's files are damaged.
        """
        working = asyncio.create_task(self._work())
        # These two never end, unless by a mistake that must not be waited out.
        loops = [asyncio.create_task(self._publisher.run()), asyncio.create_task(self._report())]
        tasks: set[asyncio.Task[Any]] = {working, *loops}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in loops:
                if task.done():
                    task.result()
            return await working
        finally:
            if self._checking is not None:
                tasks.add(self._checking)
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._follower is not None:
                await self._follower.close()
            await self._keeper.close()
            self._board.close()

    def is_member(self, peer: PeerId) -> bool:
        """Whether a peer belongs to the last roster that is believed."""
        return self._follower is not None and peer in self._follower.trusted.members

    def knows(self, peer: PeerId) -> bool:
        """Whether the coordinator's DHT node keeps records of an author: a member, or a peer that waits to be one."""
        if self._follower is None:
            return self._welcome.door.is_guest(peer)
        return peer in self._follower.trusted.members

    def _where(self) -> Directory:
        waiting = self._welcome.door.waiting() if self._follower is None else {}
        return Directory(self._addresses.known | waiting, tuple(waiting))

    async def _newest_roster(self) -> bytes | None:
        found = await self._network.read(self._manifest.run, MessageKind.GENESIS, [self._me])
        return found[self._me].encode() if self._me in found else None

    async def _work(self) -> ExitCode:
        trusted = self._directory.load_roster()
        if trusted is None:
            trusted = await self._genesis()
        else:
            logger.info("following the run from step %d with %d members", trusted.step, len(trusted.members))
        self._announce(trusted)
        follower = self._follower = Follower(self._network, self._manifest, trusted, self._log)
        await self._follow(follower)
        return await self._finish(follower)

    async def _genesis(self) -> Roster:
        roster = await self._welcome.first_roster()
        self._addresses.learn({peer: m for peer, m in self._welcome.door.waiting().items() if peer in roster.members})
        self._remember(roster)
        logger.info("the first roster has %d members; the run begins at step %d", len(roster.members), roster.step)
        self._log.write(FirstRoster(step=roster.step, members=tuple(map(str, roster.members))))
        return roster

    async def _follow(self, follower: Follower) -> None:
        """Return when the run's steps are done, and all its checkpoints are saved or given up."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            if await follower.refresh():
                self._remember(follower.trusted)
                self._announce(follower.trusted)
            self._meter.followed(follower.trusted, len(follower.heads), len(follower.waiting))
            self._watch.look(follower.trusted)
            if follower.trusted.step > self._manifest.start_step:
                self._initial.release()
            self._check_bans(follower.trusted)
            self._keeper.consider(follower.trusted, follower.heads)
            if self._keeper.stored != self._announced:
                self._announce(follower.trusted)
            ended = follower.trusted.step >= self._manifest.total_steps
            if ended and self._keeper.is_done(follower.trusted):
                await self._check_last_bans(follower.trusted)
                return
            pause = min(self._refresh_seconds, _END_POLL_SECONDS) if ended else self._refresh_seconds
            await asyncio.sleep(max(0.0, began + pause - loop.time()))

    def _announce(self, trusted: Roster, *, finished: bool = False) -> None:
        self._announced = self._keeper.stored
        self._publisher.announce(trusted, finished=finished, stored=self._announced)

    def _tell_validation(self, step: int, words: str | None) -> None:
        if words is None:
            self._log.write(ValidationResumed(step=step))
        else:
            self._log.write(ValidationStopped(step=step, words=words))

    def _check_bans(self, trusted: Roster) -> None:
        """Check bans beside following: members that do not answer, or slowly, would hold it up."""
        if self._checking is not None and self._checking.done():
            self._checking.result()
            self._checking = None
        if self._checking is None:
            self._checking = asyncio.create_task(self._bans.consider(trusted))

    async def _check_last_bans(self, trusted: Roster) -> None:
        """Check the bans of the last steps before the peers are told that they may go."""
        try:
            async with asyncio.timeout(BAN_PATIENCE_SECONDS):
                if self._checking is not None:
                    await self._checking
                await self._bans.consider(trusted)
        except TimeoutError:
            logger.warning("the evidence of some bans did not come within %g s", BAN_PATIENCE_SECONDS)

    async def _report(self) -> None:
        """Read metrics until cancelled; apart from following, since a slow DHT may not delay that."""
        noted = -math.inf
        while True:
            if self._follower is not None:
                await self._read_metrics(self._follower)
                self._log_status(self._follower)
                if time.monotonic() - noted > ADDRESS_PERIOD_SECONDS:
                    noted = time.monotonic()
                    await self._addresses.refresh(self._follower.trusted)
            await asyncio.sleep(self._refresh_seconds)

    async def _read_metrics(self, follower: Follower) -> None:
        trusted = follower.trusted
        records = await self._network.read(self._manifest.run, MessageKind.METRICS, trusted.members)
        gaps = self._board.gaps(records, trusted)
        while gaps:
            gaps = self._board.take_earlier(records, gaps, await self._network.reports(gaps), trusted)
        self._board.take(records, trusted)
        self._tell_missed_reports()
        self._meter.details(self._details.latest)

    def _miss_reports(self, first: int, last: int) -> None:
        self._unreported.append((first, last))
        self._log.write(ReportsMissed(first=first, last=last))

    def _tell_missed_reports(self) -> None:
        """Tell in one line of what nobody has reported since the last time."""
        lost, self._unreported = self._unreported, []
        if lost:
            ranges = ", ".join(
                str(first) if first == last else f"{first}-{last}" for first, last in lost[:_SHOWN_RANGES]
            )
            logger.warning(
                "nobody has shown what the peers report of %d steps: %s%s",
                sum(last - first + 1 for first, last in lost),
                ranges,
                ", and more" if len(lost) > _SHOWN_RANGES else "",
            )

    def _log_status(self, follower: Follower) -> None:
        latest = self._board.latest
        if latest is not None and latest.step > self._logged_step:
            self._logged_step = latest.step
            logger.info("%s", status_line(latest, len(follower.heads)))

    def _remember(self, roster: Roster) -> None:
        try:
            self._directory.save_roster(roster)
        except OSError as error:
            if self._disk_complains:
                logger.error("cannot remember the roster for a restart: %s", error.strerror)
            self._disk_complains = False

    async def _finish(self, follower: Follower) -> ExitCode:
        """Tell the peers that they may go, and write what the run came to."""
        trusted = follower.trusted
        self._announce(trusted, finished=True)
        if not await self._publisher.flush(FAREWELL_SECONDS):
            logger.warning("could not tell the peers that the run is over; they will find out by waiting")
        loop = asyncio.get_running_loop()
        deadline = loop.time() + FAREWELL_SECONDS
        while loop.time() < deadline and await self._network.heads(trusted.members):  # noqa: ASYNC110 - others' state
            await asyncio.sleep(_END_POLL_SECONDS)
        # Peers publish their last metrics on their way out.
        await self._read_metrics(follower)
        self._board.flush(trusted)
        self._tell_missed_reports()
        saved = self._keeper.saved
        final = saved if saved is not None and saved.step == trusted.step else None
        loss = final.evaluation_loss if final is not None else None
        complete = self._directory.has_checkpoint(trusted.step)
        banned = tuple(str(peer) for peer in sorted(trusted.banned))
        self._log.write(
            RunFinished(step=trusted.step, members=len(trusted.members), banned=banned, evaluation_loss=loss)
        )
        summary = {
            "experiment": self._manifest.experiment,
            "run_id": self._manifest.run_id,
            "start_step": self._manifest.start_step,
            "step": trusted.step,
            "members": [str(peer) for peer in trusted.members],
            "banned": banned,
            "final_checkpoint": str(self._directory.checkpoint(trusted.step)) if complete else None,
            "state_digest": final.digest.hex() if final is not None else None,
            "evaluation_loss": loss,
            "training_loss": self._board.latest.loss if self._board.latest is not None else None,
            "seconds": round(time.time() - self._began, 1),
        }
        try:
            self._directory.save_summary(summary)
        except OSError as error:
            logger.error("cannot write the summary: %s", error.strerror)
        logger.info("the run is over after step %d", trusted.step)
        return ExitCode.FINISHED if complete else ExitCode.FAILED
