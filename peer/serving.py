"""Answers what others ask of this peer: the run's manifest, where it stands, chunks of its state and snapshots."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from btard.behaviour import Behaviour
from btard.exhibits import Exhibit
from btard.hashing import DIGEST_SIZE, Payload
from btard.identity import Malformed, PeerId
from btard.outline import Outlined
from btard.peer.keeping.held import HeldStates
from btard.peer.keeping.record import KeptState
from btard.peer.returning import Returning
from btard.peer.trainer import TaskTrainer
from btard.round.roster import Roster
from btard.swarm.bans import BanBook
from btard.swarm.door.reception import Reception
from btard.swarm.questions import FOR_NEWCOMERS, Head, Question, Want
from btard.swarm.transfer.shelf import Shelf


class StateServer:
    """Keeps what may be asked for. The loop calls `stand` at the beginning of every step."""

    def __init__(
        self,
        reception: Reception,
        trainer: TaskTrainer,
        behaviour: Behaviour,
        bans: BanBook,
        commits_of: Callable[[PeerId, int], bytes | None],
        shows: Callable[[PeerId, Exhibit, PeerId, int], Awaitable[bytes | None]],
        returning: Returning,
        held: HeldStates,
        reports_since: Callable[[int], bytes],
    ) -> None:
        """`commits_of`: see `Session.commits_of`; `shows`: see `SessionDriver.shows`; `reports_since`: see
        `Reporter.since`."""
        self._commits_of = commits_of
        self._shows = shows
        self._reception = reception
        self._trainer = trainer
        self._behaviour = behaviour
        self._bans = bans
        self._returning = returning
        self._head: Head | None = None
        self._waiting: Head | None = None
        self._held = held
        self._reports_since = reports_since
        self._shelf, self._held_shelf = Shelf(), Shelf()  # what strangers may ask for moves nothing of the members'

    def stand(self, roster: Roster, state: bytes, incarnation: int = 0) -> None:
        """The peer is in the step of `roster`, its training state has the digest `state`."""
        self._held.go_back(roster.step + 1)
        self._head = Head(roster, state, self._snapshots(), incarnation)
        self._waiting = None
        self._shelf.tidy()
        self._held_shelf.tidy()

    def wait(self, roster: Roster, incarnation: int) -> None:
        """The peer is in no step; `roster` is the newest that it trusts."""
        self._waiting = Head(roster, bytes(DIGEST_SIZE), self._snapshots(), incarnation, waits=True)

    def _snapshots(self) -> tuple[tuple[int, bytes], ...]:
        return tuple(sorted(self._held.digests.items()))

    async def hold(self, run: bytes, roster: Roster) -> None:
        """Hold a copy of the current state, the one before the step of `roster`, for the coordinator of a run."""
        state = await self._trainer.serialize()
        await self._held.hold(KeptState(run, roster, state.outline.digest, state.data))

    async def answer(self, sender: PeerId, data: bytes) -> Payload | None:
        """Answer a question, or None to refuse."""
        try:
            question = Question.decode(data)
        except Malformed:
            return None
        if question.want in FOR_NEWCOMERS:
            return self._behaviour.told_newcomer(question.want, await self._reception.answer(sender, question))
        if question.want is Want.PROBE:
            return (await self._trainer.probe()).encode()
        if question.want is Want.REUNION:
            return self._returning.show(sender, question)
        if question.want is Want.TRANSCRIPT:
            return self._returning.transcript_of(sender, question.step)
        if question.want is Want.MINUTES:
            waits = self._head is None or self._waiting is not None
            return self._returning.minutes_of(sender, question.step) if waits else None
        if question.want is Want.HEAD:
            head = self._waiting or self._head
            return None if head is None else head.encode()
        if question.want is Want.REPORTS:
            return self._reports_since(question.step)
        if question.want is Want.CHUNK:
            return self._chunk(sender, question)
        if question.want is Want.STATE and (self._head is None or self._waiting is not None):
            return await self._kept(sender, question.step)
        if self._head is None:
            return None
        if question.want is Want.BAN:
            return self._evidence(question.named)
        if question.want is Want.SNAPSHOT:
            return await self._snapshot(question.step)
        if sender not in self._head.roster.members:
            return None  # nobody else has a use for what has to be made first
        if question.want in (Want.BASE, Want.VECTOR) and question.peer:
            return await self._exhibit(sender, question)
        if question.want is Want.BASE:
            return self._behaviour.shown_momentum(question.step, sender, self._trainer.momentum_base(question.step))
        if question.want is Want.COMMITS:
            return None if question.named is None else self._commits_of(question.named, question.step)
        if question.want is Want.VECTOR:
            return self._sent(sender, question.step)
        if question.step != self._head.roster.step:
            return None
        outline = await self._shelf.outline(self._head.state, self._trainer.serialize)
        return None if outline is None else outline.encode()

    async def _kept(self, sender: PeerId, step: int) -> bytes | None:
        """Return the outline of a state that a member needs to come back, while this peer stands nowhere."""
        place = self._returning.place_of(sender, step)
        if place is None:
            return None
        outline = await self._shelf.outline(place.state, partial(self._returning.state_at, place))
        return None if outline is None else outline.encode()

    async def _snapshot(self, step: int) -> bytes | None:
        """Return the outline of a state that is held for the coordinator."""
        digest = self._held.digests.get(step)
        if digest is None:
            return None

        async def load() -> Outlined | None:
            state = await self._held.load(step)
            return None if state is None else await asyncio.to_thread(Outlined.of, state)

        outline = await self._held_shelf.outline(digest, load)
        return None if outline is None else outline.encode()

    def _chunk(self, sender: PeerId, question: Question) -> Payload | None:
        try:
            digest = bytes.fromhex(question.known)
        except ValueError:
            return None
        chunk = self._held_shelf.chunk(digest, question.chunk)
        if chunk is not None:
            return self._behaviour.served_state(chunk)
        if self._returning.awaits(sender) or (self._head is not None and sender in self._head.roster.members):
            chunk = self._shelf.chunk(digest, question.chunk)
        else:
            chunk = None
        return None if chunk is None else self._behaviour.served_state(chunk)

    async def _exhibit(self, sender: PeerId, question: Question) -> bytes | None:
        """Return what another peer has shown this one, or shows it for its validator."""
        target = question.named
        if target is None:
            return None
        return await self._shows(sender, Exhibit(question.want), target, question.step)

    def _sent(self, sender: PeerId, step: int) -> bytes | None:
        """Return the own vector of a step, once that is over: before all have committed to theirs nobody may see it."""
        over = self._head is not None and step < self._head.roster.step
        return self._behaviour.shown_vector(step, sender, self._trainer.submitted(step)) if over else None

    def _evidence(self, peer: PeerId | None) -> bytes | None:
        if peer is None:
            return None
        held = self._bans.evidence_of(peer)
        return self._behaviour.served_evidence(held)
