"""Looking back from where a run goes on to the step before: what its audits need, from the own disk or from others.

A peer that has the training state before a step, and the minutes of that step, comes to the state after it by itself:
then it holds what a validator of that step computes on, and what it compares with.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from btard.errors import UserError
from btard.identity import Malformed, PeerId
from btard.peer.keeping.checkpoints import Checkpoints
from btard.peer.keeping.minutes import KeptMinutes, most_bytes
from btard.peer.trainer import TaskTrainer
from btard.reunion.messages import Place
from btard.round.attempt.minutes import Minutes
from btard.round.roster import Roster
from btard.swarm.manifest import RunManifest
from btard.swarm.questions import Question, Want
from btard.swarm.transfer.download import download_state
from btard.transport.libp2p import FetchError, Libp2pTransport
from btard.vectors.momentum import KeptLink
from btard.vectors.partition import from_wire

logger = logging.getLogger(__name__)

_MOST_ASKED = 8
"""Peers that are asked for minutes, each of which may send as many bytes as a vector has."""


class Lookback:
    """What one peer knows of the step before the one that it stands in.

    Attributes:
        minutes: of that step; None if it cannot look back.
    """

    def __init__(
        self,
        me: PeerId,
        manifest: RunManifest,
        transport: Libp2pTransport,
        trainer: TaskTrainer,
        checkpoints: Checkpoints,
        arriving: Path,
    ) -> None:
        """Begin with nothing; `arriving`: the file in which states of others arrive."""
        self._me = me
        self._manifest = manifest
        self._transport = transport
        self._trainer = trainer
        self._checkpoints = checkpoints
        self._arriving = arriving
        self.minutes: Minutes | None = None

    def transcript_of(self, step: int) -> bytes | None:
        """Return what has been signed in a step, if this peer can look back at it."""
        minutes = self.minutes
        return minutes.attempt.said.transcript() if minutes is not None and minutes.step == step else None

    def from_place(self, roster: Roster) -> Minutes | None:
        """Return what a session looks back at that begins the step of a roster."""
        return self.minutes if self.minutes is not None and self.minutes.follows(roster) else None

    def shown(self, roster: Roster, state: bytes) -> bytes | None:
        """Return what another peer needs to look back from the step of a roster, whose state has this digest."""
        minutes = self.from_place(roster)
        if minutes is None:
            return None
        return KeptMinutes(self._manifest.run, roster, state, minutes.encode(), bytes(minutes.aggregate)).encode()

    async def wake(self) -> tuple[Place, Roster] | None:
        """Stand where the own disk leads to, if it has minutes and the state before them; the trainer holds the state
        then."""
        kept = await self._checkpoints.minutes()
        minutes = None if kept is None else self._read(kept)
        if kept is None or minutes is None:
            return None
        before = await self._kept_before(minutes)
        if before is None or not await self._go_through(kept.digest, minutes, before, kept.link):
            return None
        return kept.place, kept.following

    def _read(self, kept: KeptMinutes) -> Minutes | None:
        rules, following = self._manifest.step_rules, kept.following
        try:
            return Minutes.decode(kept.minutes, kept.aggregate, rules, following, self._me)
        except Malformed as error:
            logger.info("minutes of step %d are not taken up: %s", kept.step, error)
            return None

    async def _kept_before(self, minutes: Minutes) -> bytes | None:
        places = self._checkpoints.places
        there = [place for place in places if (place.step, place.state) == (minutes.step, minutes.parameters)]
        kept = await self._checkpoints.load(there[0]) if there else None
        return None if kept is None else kept.state

    async def _go_through(self, digest: bytes, minutes: Minutes, state: bytes, link: KeptLink | None) -> bool:
        self.minutes = None
        try:
            right = await self._trainer.go_on(state, link, minutes.step) == minutes.parameters
        except UserError as error:
            logger.warning("the state before step %d cannot be loaded: %s", minutes.step, error)
            return False
        return right and await self._apply(digest, minutes)

    async def _apply(self, digest: bytes, minutes: Minutes) -> bool:
        """Take the step of the minutes, at the state before it: it must lead to the state of this digest."""
        self.minutes = None
        if await self._trainer.apply(from_wire(minutes.aggregate, self._manifest.wire)) != digest:
            logger.warning("step %d leads to another state on this machine than it did", minutes.step)
            return False
        self.minutes = minutes
        return True

    async def fetch(self, place: Place, roster: Roster, sources: Sequence[PeerId]) -> bool | None:
        """Come to the place of a roster by way of the step before, with what others have of it.

        With worker momentum nobody can: what members were seen to submit earlier proves itself to nobody else.

        Returns:
            Whether the trainer holds the place's state then; None where it still holds what it did.
        """
        if self._manifest.momentum or place.step < 1:
            return None
        for peer in sources[:_MOST_ASKED]:
            kept = await self._ask(peer, place, roster)
            minutes = None if kept is None else self._read(kept)
            if kept is None or minutes is None:
                continue
            state = await self._kept_before(minutes)
            if state is not None:
                return await self._go_through(kept.digest, minutes, state, None)
            if await self._download(minutes, [peer, *(other for other in sources if other != peer)]):
                return await self._apply(kept.digest, minutes)
            return None
        return None

    async def _ask(self, peer: PeerId, place: Place, roster: Roster) -> KeptMinutes | None:
        question = Question(want=Want.MINUTES, step=place.step)
        rules = self._manifest.step_rules
        timeout = self._manifest.deadlines.settle + rules.scatter_seconds
        try:
            limit = most_bytes(roster, rules.dimension * rules.wire.size)
            answer = await self._transport.fetch(peer, question.encode(), limit=limit, timeout_seconds=timeout)
            kept = KeptMinutes.decode(bytes(answer))
        except (FetchError, Malformed) as error:
            logger.debug("no minutes from %s: %s", peer.short, error)
            return None
        return kept if kept.place == place and kept.run == self._manifest.run else None

    async def _download(self, minutes: Minutes, sources: list[PeerId]) -> bool:
        found = await download_state(
            self._transport,
            sources,
            Question(want=Want.STATE, step=minutes.step),
            partial(self._trainer.load, step=minutes.step),
            minutes.parameters,
            arriving=self._arriving,
            limit=self._trainer.most_state_bytes,
            timeout_seconds=self._manifest.deadlines.commit,
        )
        return found is not None
