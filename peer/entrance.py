"""Into a step: as one of the first members, as one that comes back, or together with all others that do."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from btard.identity import Malformed, PeerId
from btard.peer.keeping.progress import Progress
from btard.peer.meeting.descent import Descent
from btard.peer.meeting.knocking import Knocker
from btard.peer.meeting.neighbours import Neighbours
from btard.peer.meeting.rosters import Rosters
from btard.peer.returning import Returning
from btard.peer.serving import StateServer
from btard.peer.trainer import TaskTrainer
from btard.round.attempt.minutes import Minutes
from btard.round.delivery.patience import signs_every
from btard.round.evidence.evidence import Evidence
from btard.round.roster import Roster
from btard.swarm.bans import BanBook, ask_evidence
from btard.swarm.door.door import Door
from btard.swarm.manifest import RunManifest
from btard.swarm.questions import Head, Question, Want
from btard.swarm.records.record import RosterRecord
from btard.swarm.state_sync import ask_heads, newest_roster, newest_stand, state_digest
from btard.swarm.transfer.download import download_state
from btard.transport.libp2p import Libp2pTransport
from btard.vocabulary import ExitCode

logger = logging.getLogger(__name__)

_REJOIN_POLL_SECONDS = 0.5


@dataclass
class Entrance:
    """Finds out which step this peer may begin, and on which state, until it may begin one.

    Attributes:
        tell_at_work: tells the other members of a step, which wait for this peer, that it loads the state.
        reborn: lets all that is said in steps name another incarnation of the run, and audits look back at these
            minutes.
        join_timeout_seconds: how long a newcomer waits for most voters.
        give_up_after_seconds: how long a peer does that has been a member.
        incarnation: of the run, as far as this peer knows.
        on_ban: is told of each ban that this peer did not see, and has verified.
    """

    me: PeerId
    manifest: RunManifest
    transport: Libp2pTransport
    trainer: TaskTrainer
    rosters: Rosters
    descent: Descent
    neighbours: Neighbours
    door: Door
    knocker: Knocker
    server: StateServer
    bans: BanBook
    progress: Progress
    returning: Returning
    tell_at_work: Callable[[Roster], None]
    reborn: Callable[[int, Minutes | None], None]
    join_timeout_seconds: float
    give_up_after_seconds: float
    incarnation: int = 0
    on_ban: Callable[[Evidence], None] = lambda evidence: None
    _heard: bool = False
    _standing: frozenset[PeerId] = frozenset()
    _deadline: float = 0.0

    async def begin(self, roster: Roster) -> tuple[Roster, bytes] | ExitCode:
        """Return the first step to begin and the digest of its state, which this peer holds then.

        Args:
            roster: the newest that is known.
        """
        fresh = not self.progress.restarted and self.progress.may_begin(roster, self.me, 0)
        if fresh and await self._is_beginning(roster):
            async with self._at_work(roster):
                return roster, await self._first_state()
        return await self.enter(roster, reunite=True)

    async def _is_beginning(self, roster: Roster) -> bool:
        """Whether the run begins now with this peer: it may also have begun, and this peer have been started again."""
        if roster.step != self.manifest.start_step:
            return False
        heads = await ask_heads(self.transport, roster.members, timeout_seconds=self.manifest.deadlines.settle)
        newest = newest_roster(roster, heads)
        return newest is None or newest.step == roster.step

    async def _first_state(self) -> bytes:
        """Return the digest of the state that the run starts from; a resumed one is fetched from the coordinator."""
        if self.manifest.state_digest is None:
            return await self.trainer.digest()
        expected = bytes.fromhex(self.manifest.state_digest)
        question = Question(want=Want.STATE, step=self.manifest.start_step)
        while not await self._download([self.rosters.coordinator], question, expected):
            logger.warning("waiting for the coordinator to serve the initial state")
            await asyncio.sleep(_REJOIN_POLL_SECONDS)
        return expected

    async def _download(self, sources: list[PeerId], question: Question, expected: bytes) -> bool:
        server = await download_state(
            self.transport,
            sources,
            question,
            partial(self.trainer.load, step=question.step),
            expected,
            arriving=self.returning.arriving,
            limit=self.trainer.most_state_bytes,
            timeout_seconds=self.manifest.deadlines.commit,
        )
        if server is not None:
            logger.info("took over the training state before step %d, most of it from %s", question.step, server.short)
        return server is not None

    async def enter(self, trusted: Roster, *, reunite: bool) -> tuple[Roster, bytes] | ExitCode:
        """Wait until the members count this peer in, then take over the state that most of them hold; or, where most
        are gone, until they are back and agree on where the run goes on.

        Args:
            trusted: the last roster known; more than half of it is believed.
            reunite: whether this peer may be one of those that have to agree.
        """
        self.neighbours.eager = True
        self.door.close()
        self._heard, self._standing, self._deadline = False, frozenset(), time.monotonic() + self._patience(trusted)
        if reunite:
            self.returning.gather(trusted)
        looking = asyncio.ensure_future(self._look(trusted))
        try:
            while True:
                if looking.done():
                    found = looking.result()
                    if found is None:
                        logger.info("the run is over")
                        return ExitCode.FINISHED
                    trusted = found if found.step > trusted.step and not self._heard else trusted
                    looking = asyncio.ensure_future(self._look(trusted))
                entered = await self._try(trusted, reunite=reunite)
                if not isinstance(entered, Roster):
                    return entered
                trusted = entered
                if time.monotonic() > self._deadline:
                    return self._give_up(trusted)
                await asyncio.sleep(_REJOIN_POLL_SECONDS)
        finally:
            looking.cancel()

    async def _look(self, trusted: Roster) -> Roster | None:
        """Return the newest roster that the coordinator has signed, or to which a chain leads; None for a run that is
        over."""
        record = await self.rosters.look()
        if record is not None and record.finished:
            return None
        newest = trusted if record is None else _later(trusted, record)
        return newest if self._heard else await self.descent.newest(newest, self._standing)

    async def _try(self, trusted: Roster, *, reunite: bool) -> Roster | tuple[Roster, bytes] | ExitCode:
        """Look once; return the roster to trust from now on where this peer cannot go on yet."""
        self.neighbours.stand(trusted.members)
        self.server.wait(trusted, self.incarnation)
        # One after the other would take too long: a reunion counts on everybody's looking around every few seconds.
        asked = ask_heads(self.transport, trusted.members, timeout_seconds=self.manifest.deadlines.settle)
        heads, again = await asyncio.gather(asked, self.returning.turn(self._standing) if reunite else _nothing())
        self._standing = frozenset(peer for peer, head in heads.items() if not head.waits)
        stand = newest_stand(trusted, heads)
        if stand is not None or not self.progress.restarted:
            # After a restart it may begin only a step that was not there when it looked; so it looks before it knocks.
            self.knocker.knock_at(trusted.members)
        if again is not None and (stand is None or stand[0] < again.incarnation):
            self._begin_again(again.incarnation, again.minutes)
            return again.roster, again.state
        self._heard = stand is not None
        if stand is None:
            return trusted
        incarnation, newest = stand
        self._deadline = time.monotonic() + self._patience(newest)
        if self.me in newest.banned:
            logger.error("this peer's key is banned from the run; it cannot come back")
            return ExitCode.BANNED
        state = await self._take_over(incarnation, newest, heads)
        return newest if state is None else (newest, state)

    def _give_up(self, trusted: Roster) -> ExitCode:
        logger.error(
            "no majority of the roster answers for %.0f s: this peer is cut off, or the run has ended",
            self._patience(trusted),
        )
        return ExitCode.NO_MAJORITY

    def _patience(self, trusted: Roster) -> float:
        """Return how long no majority may answer: a newcomer has come to the wrong place, a member waits."""
        member = self.progress.roster is not None or self.me in trusted.members
        return self.give_up_after_seconds if member else self.join_timeout_seconds

    async def _take_over(self, incarnation: int, roster: Roster, heads: dict[PeerId, Head]) -> bytes | None:
        """Return the digest of the state that most stand at, once this peer holds it and may begin the step."""
        me, digest = self.me, state_digest(roster, heads, roster.step)
        new = me not in roster.members or self.returning.has_seen_begin(incarnation)
        self.progress.saw(roster, digest, incarnation, new=new)
        if digest is None or not self.progress.may_begin(roster, me, incarnation):
            return None
        await self._verify_bans(roster, heads)
        sources = [peer for peer, head in heads.items() if head.state == digest and not head.waits]
        self._begin_again(incarnation)
        async with self._at_work(roster):
            taken = await self._download(sources, Question(want=Want.STATE, step=roster.step), digest)
        return digest if taken else None

    @asynccontextmanager
    async def _at_work(self, roster: Roster) -> AsyncIterator[None]:
        """Inside, the other members of a step are told that this peer loads the state."""

        async def tell() -> None:
            while True:
                self.tell_at_work(roster)
                await asyncio.sleep(signs_every(self.manifest.step_rules))

        telling = asyncio.ensure_future(tell())
        try:
            yield
        finally:
            telling.cancel()

    def _begin_again(self, incarnation: int, minutes: Minutes | None = None) -> None:
        self.neighbours.eager = False
        if incarnation != self.incarnation:
            self.incarnation = incarnation
            self.reborn(incarnation, minutes)

    async def _verify_bans(self, roster: Roster, heads: dict[PeerId, Head]) -> None:
        """Ask the members for the evidence of bans that this peer did not see, and check it."""
        ask = partial(ask_evidence, self.transport, timeout_seconds=self.manifest.deadlines.settle)
        verified, unproven = await self.bans.verify_all(ask, roster.banned, heads)
        for evidence, basis in verified:
            logger.info("verified: %s %s; %s", evidence.accused.short, evidence.offence, basis)
            self.on_ban(evidence)
        for peer in unproven:
            logger.warning("nobody could prove the ban of %s; most of the roster hold it all the same", peer.short)


async def _nothing() -> None:
    return None


def _later(trusted: Roster, record: RosterRecord) -> Roster:
    """Return the coordinator's roster if it is newer than the one that this peer knows."""
    try:
        published = record.unpack()
    except Malformed as error:
        logger.warning("the coordinator's roster cannot be read: %s", error)
        return trusted
    return published if published.step > trusted.step else trusted
