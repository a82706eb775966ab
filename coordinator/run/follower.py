"""Follows the swarm from roster to roster, each vouched for by more than half of the one before."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time

from btard.coordinator.network.network import SwarmNetwork
from btard.identity import MessageKind, PeerId
from btard.round.roster import Roster
from btard.swarm.events.coordinator import (
    CoordinatorEvent,
    MemberBanned,
    MemberJoined,
    MemberLeft,
    RosterChanged,
    RunPaused,
    RunWentOn,
    SwarmSilent,
    pausing,
)
from btard.swarm.events.log import EventLog
from btard.swarm.lineage import followed
from btard.swarm.manifest import RunManifest
from btard.swarm.questions import Head
from btard.swarm.records.record import Join, read_records
from btard.swarm.state_sync import newest_stand
from btard.transport.base import PeerAddress

logger = logging.getLogger(__name__)

SILENCE_SECONDS = 10.0
"""Seconds without any answer after which the swarm counts as silent."""

PAUSE_PERIOD_SECONDS = 10.0
"""Seconds between two lines about the voters that are missing."""

_SILENCE_AGAIN_SECONDS = 60.0
_CHAIN_PERIOD_SECONDS = 5.0
_CHAINS_AT_ONCE = 4
_REDIAL_PERIOD_SECONDS = 10.0
_REDIALS_AT_ONCE = 32


class Follower:
    """Keeps the newest trusted roster.

    Attributes:
        trusted: the newest roster that a majority of its predecessor stood in.
        incarnation: of the run, as far as members tell.
        heads: where the members stood at the last refresh, of those that answered.
    """

    def __init__(
        self, network: SwarmNetwork, manifest: RunManifest, trusted: Roster, log: EventLog[CoordinatorEvent]
    ) -> None:
        self._network = network
        self._manifest = manifest
        self._log = log
        self._heard = time.monotonic()
        self._heard_at = time.time()
        self._told = 0.0
        self._told_waiting = -math.inf
        self._missing: tuple[str, ...] | None = None
        self._redialled = 0.0
        self._asked_chains = 0.0
        self._redialling: asyncio.Task[None] | None = None
        self.trusted = trusted
        self.incarnation = 0
        self.heads: dict[PeerId, Head] = {}

    @property
    def waiting(self) -> frozenset[PeerId]:
        """Members that answered, and are in no step."""
        return frozenset(peer for peer, head in self.heads.items() if head.waits)

    async def refresh(self) -> bool:
        """Ask the members where they stand; returns whether the trusted roster has advanced."""
        members = self.trusted.members
        self.heads = await self._network.heads(members)
        now = time.monotonic()
        if self.heads:
            if self._told:
                logger.info("peers answer again")
            self._heard, self._heard_at, self._told = now, time.time(), 0.0
            self._tell_waiting(now)
        else:
            self._tell_silence(now)
        missing = [peer for peer in members if peer not in self.heads]
        idle = self._redialling is None or self._redialling.done()
        if missing and idle and now - self._redialled > _REDIAL_PERIOD_SECONDS:
            self._redialled = now
            # Not waited for: dialling the dead takes long, and a swarm that is lost sight of cannot be followed again.
            self._redialling = asyncio.create_task(self._redial(missing))
        stand = newest_stand(self.trusted, self.heads) or await self._by_chain(now)
        if stand is None or not self._follows(*stand):
            return False
        incarnation, newest = stand
        if incarnation > self.incarnation:
            logger.info("most peers are back: the run goes on from step %d, incarnation %d", newest.step, incarnation)
        self._note_changes(newest)
        self.incarnation, self.trusted = stand
        return True

    async def close(self) -> None:
        """Stop dialling."""
        if self._redialling is not None:
            self._redialling.cancel()
            await asyncio.gather(self._redialling, return_exceptions=True)

    async def _by_chain(self, now: float) -> tuple[int, Roster] | None:
        """Most of the members that this coordinator knew may be gone: those that came after them show whom they follow.
        Any peer may show it, since it is signed."""
        if now - self._asked_chains < _CHAIN_PERIOD_SECONDS:
            return None
        self._asked_chains = now
        others = sorted((await self._network.connected() or set()) | self.heads.keys())
        stand: tuple[int, Roster] = self.incarnation, self.trusted
        for chain in await self._network.chains(random.sample(others, min(len(others), _CHAINS_AT_ONCE))):
            stand, _ = await asyncio.to_thread(followed, chain, stand, self._manifest.step_rules)
        return stand if stand[1] is not self.trusted else None

    def _follows(self, incarnation: int, newest: Roster) -> bool:
        """Whether a roster can come after the trusted one: later, within the run, and with all bans kept, but for those
        of steps that were lost with an incarnation."""
        trusted, again = self.trusted, incarnation > self.incarnation
        if incarnation < self.incarnation or (newest.step <= trusted.step and not again):
            return False
        kept = again or trusted.banned <= newest.banned
        if newest.step > self._manifest.total_steps or not newest.members or not kept:
            logger.error("a majority stands in a roster of step %d that cannot be; ignoring it", newest.step)
            return False
        return True

    def _note_changes(self, newest: Roster) -> None:
        old = self.trusted
        for peer in sorted(newest.banned - old.banned):
            logger.warning("banned: %s, by the roster of step %d", peer, newest.step)
            self._log.write(MemberBanned(peer=str(peer), step=newest.step))
        for peer in sorted(set(old.members) - set(newest.members) - newest.banned):
            logger.info("left: %s, by the roster of step %d", peer, newest.step)
            self._log.write(MemberLeft(peer=str(peer), step=newest.step))
        for peer in sorted(set(newest.members) - set(old.members)):
            logger.info("joined: %s, by the roster of step %d", peer, newest.step)
            self._log.write(MemberJoined(peer=str(peer), step=newest.step))
        if newest.members != old.members:
            self._log.write(RosterChanged(step=newest.step, members=tuple(map(str, newest.members))))

    def _tell_silence(self, now: float) -> None:
        if now - self._heard < SILENCE_SECONDS or (self._told and now - self._told < _SILENCE_AGAIN_SECONDS):
            return
        if not self._told:
            self._log.write(SwarmSilent(step=self.trusted.step))
        self._told = now
        logger.warning(
            "no peer answers since %s; waiting for them: started again in their directories, they go on. Ctrl-C ends; "
            "--initial-state with a checkpoint and another --directory begins anew from there",
            time.strftime("%H:%M:%S", time.localtime(self._heard_at)),
        )

    def _tell_waiting(self, now: float) -> None:
        """Tell why no step ends, where too few voters are in one: in an event whenever others are missing, in the log
        every ten seconds."""
        trusted, voters = self.trusted, self.trusted.voters
        if not self.waiting or trusted.is_majority(voters & (self.heads.keys() - self.waiting)):
            if self._missing is not None:
                self._log.write(RunWentOn(step=trusted.step))
            self._missing, self._told_waiting = None, -math.inf
            return
        missing = tuple(sorted(map(str, voters - self.heads.keys())))
        if missing != self._missing:
            self._missing = missing
            self._log.write(RunPaused(step=trusted.step, voters=len(voters), missing=missing))
        if now - self._told_waiting >= PAUSE_PERIOD_SECONDS:
            self._told_waiting = now
            said = pausing(trusted.step, len(voters), missing)
            logger.warning("%s; peers that are started again in their directories bring it on", said)

    async def _redial(self, missing: list[PeerId]) -> None:
        """Dial members that do not answer where they announce to be, or where one that answers says that they are: they
        may only have lost the link, or this coordinator never had one."""
        run = self._manifest.run
        joins = read_records(await self._network.read(run, MessageKind.JOIN, missing), Join, run, MessageKind.JOIN)
        told = await self._network.addresses(random.choice(sorted(self.heads))) if self.heads else {}
        known = dict(told) | {peer: tuple(join.maddrs) for peer, join in joins.items()}
        addresses = [PeerAddress(peer, known[peer]) for peer in missing if known.get(peer)]
        await asyncio.gather(*map(self._network.reach, addresses[:_REDIALS_AT_ONCE]))
