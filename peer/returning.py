"""Back together: what a peer does while most of the roster's voters are gone, until the run goes on."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from btard.durable import sealed, unsealed, write_durably
from btard.errors import UserError
from btard.identity import Envelope, IdentityKey, Malformed, PeerId
from btard.identity.codec import as_bytes, as_fields, as_int, as_list, decode, encode
from btard.outline import Outlined
from btard.peer.keeping.checkpoints import Checkpoints
from btard.peer.keeping.progress import Progress
from btard.peer.lookback import Lookback
from btard.peer.trainer import TaskTrainer
from btard.reunion.messages import Memory, Place
from btard.reunion.reunion import Reunion
from btard.round.attempt.minutes import Minutes
from btard.round.roster import Roster
from btard.swarm.events.coordinator import pausing
from btard.swarm.manifest import RunManifest
from btard.swarm.questions import MAX_GATHERED, MAX_GATHERING, MAX_KEPT, Gathering, Question, Want
from btard.swarm.transfer.download import download_state
from btard.transport.libp2p import FetchError, Libp2pTransport
from btard.vocabulary import MAX_INCARNATIONS

logger = logging.getLogger(__name__)

TURN_SECONDS = 1.0
"""Seconds between two looks at what the others show, beside the bound on delay, in which those must answer."""

TELL_SECONDS = 10.0
"""Seconds between two lines about which voters are missing."""

_RETRY_SECONDS = 10.0
_ASKED_SECONDS = 5.0


@dataclass(frozen=True)
class Resumption:
    """The run goes on: in this incarnation, with this roster, from the training state of this digest; the minutes are
    of the step before, None where this peer cannot look back at it."""

    incarnation: int
    roster: Roster
    state: bytes
    minutes: Minutes | None = field(default=None, repr=False, compare=False)


class Returning:
    """Meets the other members of a roster, most of which were gone, and shows them what they ask.

    Attributes:
        roster: of the reunion that is going on, or the last one; None before the first.
        arriving: the file in which states of others arrive.
    """

    def __init__(
        self,
        key: IdentityKey,
        manifest: RunManifest,
        transport: Libp2pTransport,
        trainer: TaskTrainer,
        checkpoints: Checkpoints,
        progress: Progress,
        proof_file: Path,
        arriving: Path,
    ) -> None:
        self._key = key
        self._manifest = manifest
        self._transport = transport
        self._trainer = trainer
        self._checkpoints = checkpoints
        self._progress = progress
        self._proof_file = proof_file
        self.arriving = arriving
        self._lookback = Lookback(key.peer_id, manifest, transport, trainer, checkpoints, arriving)
        self._looked: set[tuple[Place, PeerId]] = set()
        self._reunion: Reunion | None = None
        self._live: Place | None = None
        self._rosters: dict[bytes, Roster] = {}
        self._told_at = -math.inf
        self._not_before: dict[Place, float] = {}
        self._wish: tuple[frozenset[PeerId], list[Place]] | None = None
        self._begun_before: int | None = None
        self._askers: dict[PeerId, tuple[float, int]] = {}

    def awaits(self, peer: PeerId) -> bool:
        """Whether a peer is a member of the roster that this one meets, or has met last."""
        return self.roster is not None and peer in self.roster.members

    @property
    def roster(self) -> Roster | None:
        """See above."""
        return None if self._reunion is None else self._reunion.roster

    def stands(self, roster: Roster, state: bytes, minutes: Minutes | None = None) -> None:
        """The trainer holds the state before the step of a roster, which has this digest, and the parameters before it
        if there are minutes of the step before."""
        self._lookback.minutes = minutes
        self._live = Place(roster.step, roster.digest, state)
        self._rosters = {roster.digest: roster}
        self._askers = {peer: asked for peer, asked in self._askers.items() if peer in roster.voters}

    def gather(self, trusted: Roster) -> None:
        """Begin to meet the voters of a roster."""
        number, proof = _read_proof(self._proof_file, self._manifest.run)
        memory = self._progress.memory
        if memory is None and self._checkpoints.places:
            memory = Memory((self._checkpoints.places[0],))
        if self._progress.roster is not None:
            self._rosters[self._progress.roster.digest] = self._progress.roster
        self._rosters[trusted.digest] = trusted
        self._told_at, self._not_before, self._wish = time.monotonic(), {}, None
        self._looked.clear()
        self._reunion = Reunion(
            self._key,
            self._manifest.run,
            trusted,
            memory,
            max(number, self._progress.incarnation),
            window_seconds=2 * (TURN_SECONDS + 2 * self._manifest.deadlines.settle),
            luck=random.random(),
            proof=proof,
        )

    def has_seen_begin(self, incarnation: int) -> bool:
        """Whether an incarnation has begun since this process heard most voters say that it had not."""
        return self._begun_before is not None and incarnation > self._begun_before

    def is_deserted(self, roster: Roster, incarnation: int) -> bool:
        """Whether so many voters of a step look for a later incarnation that it cannot be finished any more: what they
        have begun they do not begin again, and those that lie are fewer."""
        since = time.monotonic() - _ASKED_SECONDS
        gone = {peer for peer, (asked_at, wanted) in self._askers.items() if asked_at > since and wanted > incarnation}
        return not roster.is_majority(roster.voters - gone)

    def show(self, asker: PeerId, question: Question) -> bytes | None:
        """Return what this peer knows of a reunion, for a member, which looks for the incarnation `question.step`."""
        if any(asker in roster.voters for roster in self._rosters.values()):
            self._askers[asker] = time.monotonic(), question.step
        reunion = self._reunion
        if reunion is None or asker not in reunion.roster.members:
            return None
        envelopes = () if question.known == reunion.digest.hex() else reunion.envelopes
        return Gathering(envelopes[:MAX_GATHERED], tuple(self._kept())).encode()

    def _kept(self) -> list[tuple[Roster, bytes]]:
        kept = [(roster, place.state) for place, roster in self._checkpoints.rosters.items()]
        if self._live is not None and self._live.roster in self._rosters:
            kept.insert(0, (self._rosters[self._live.roster], self._live.state))
        return kept[:MAX_KEPT]

    def minutes_of(self, asker: PeerId, step: int) -> bytes | None:
        """Return what a member needs to look back from a step, if this peer stands there and can."""
        live = self._live
        if not self.awaits(asker) or live is None or live.step != step or live.roster not in self._rosters:
            return None
        return self._lookback.shown(self._rosters[live.roster], live.state)

    def transcript_of(self, asker: PeerId, step: int) -> bytes | None:
        """Return what has been signed in the step before, for those that this peer goes on with."""
        known = self.awaits(asker) or any(asker in roster.members for roster in self._rosters.values())
        return self._lookback.transcript_of(step) if known else None

    def place_of(self, asker: PeerId, step: int) -> Place | None:
        """Return the place at a step whose state this peer has, for a member."""
        if not self.awaits(asker):
            return None
        if self._live is not None and self._live.step == step:
            return self._live
        return next((place for place in self._checkpoints.places if place.step == step), None)

    async def state_at(self, place: Place) -> Outlined | None:
        """Return the state of a place, if it still is here."""
        if place == self._live:
            return await self._trainer.serialize()
        kept = await self._checkpoints.load(place)
        return None if kept is None else await asyncio.to_thread(Outlined.of, kept.state)

    async def turn(self, standing: Collection[PeerId]) -> Resumption | None:
        """Look once at what the others show; returns how the run goes on as soon as that is decided.

        Args:
            standing: members that have said lately that they are in a step; while most are, the run goes on by itself.
        """
        reunion = self._reunion
        assert reunion is not None
        if self._live is None:
            await self._wake()
        answers = await self._ask(reunion)
        for gathering in answers.values():
            reunion.hear(time.monotonic(), gathering.envelopes)
        wanted = {place.roster for place in reunion.remembered()}
        shown = (roster for gathering in answers.values() for roster, _ in gathering.kept)
        self._rosters.update((roster.digest, roster) for roster in shown if roster.digest in wanted)
        self._follow(reunion)
        if reunion.roster.is_majority(standing):
            return None
        self._tell_missing(reunion, {*answers, *standing})
        await self._fetch_better(reunion, answers)
        if self._begun_before is None and reunion.roster.is_majority({*answers, self._key.peer_id}):
            self._begun_before = reunion.begun
        wish = frozenset(answers), reunion.candidates()[:1]
        settled, self._wish = wish == self._wish, wish
        # Those that have just come may have a better state than all others: a vote cannot be taken back.
        decision = reunion.tick(time.monotonic(), self._at_hand(reunion), sure=settled)
        if decision is None or decision.place.roster not in self._rosters:
            return None
        roster = self._rosters[decision.place.roster]
        if not self._progress.may_begin(roster, self._key.peer_id, decision.incarnation):
            return None
        if not await self._stand_at(decision.place):
            return None
        await self._checkpoints.go_back(decision.place)
        self._keep_proof(decision.incarnation, reunion.proof(decision.incarnation))
        minutes = self._lookback.from_place(roster)
        looks = "nothing is known of" if minutes is None else "audits look back at"
        what = (roster.step, decision.incarnation, looks)
        logger.info("most voters are back: going on with step %d, incarnation %d; %s the step before", *what)
        return Resumption(decision.incarnation, roster, decision.place.state, minutes)

    async def _wake(self) -> None:
        """Stand where the own disk leads to by way of a step that can be looked back at, else where all begin."""
        woken = await self._lookback.wake()
        if woken is None:
            self._live = Place(self._manifest.start_step, b"", await self._trainer.digest())
        else:
            self._live, roster = woken
            self._rosters[roster.digest] = roster

    async def _ask(self, reunion: Reunion) -> dict[PeerId, Gathering]:
        asked = Question(want=Want.REUNION, step=reunion.incarnation + 1, known=reunion.digest.hex())
        question = asked.encode()

        async def ask(peer: PeerId) -> tuple[PeerId, Gathering] | None:
            try:
                answer = await self._transport.fetch(
                    peer, question, limit=MAX_GATHERING, timeout_seconds=self._manifest.deadlines.settle
                )
                return peer, Gathering.decode(answer)
            except (FetchError, Malformed) as error:
                logger.debug("nothing from %s: %s", peer.short, error)
                return None

        others = [peer for peer in reunion.roster.members if peer != self._key.peer_id]
        answers = await asyncio.gather(*map(ask, others))
        return dict(answer for answer in answers if answer is not None)

    def _follow(self, reunion: Reunion) -> None:
        """Go by a newer roster that most voters of the trusted one remember."""
        for place in reunion.remembered()[:1]:
            newer = self._rosters.get(place.roster)
            if newer is not None and newer.step > reunion.roster.step:
                reunion.believe(newer)

    def _tell_missing(self, reunion: Reunion, answers: Iterable[PeerId]) -> None:
        now, voters = time.monotonic(), reunion.roster.voters
        missing = sorted(voters - set(answers) - {self._key.peer_id})
        if now - self._told_at < TELL_SECONDS:
            return
        self._told_at = now
        logger.warning("%s", pausing(reunion.roster.step, len(voters), [str(peer) for peer in missing]))

    def _holds(self, place: Place) -> bool:
        live = self._live
        return place in self._checkpoints.rosters or (
            live is not None and (live.step, live.state) == (place.step, place.state)
        )

    def _at_hand(self, reunion: Reunion) -> list[Place]:
        return [place for place in reunion.remembered() if self._holds(place) and place.roster in self._rosters]

    async def _fetch_better(self, reunion: Reunion, answers: dict[PeerId, Gathering]) -> None:
        """Get the newest state that most remember, if another member has it and this one has not; once most have voted,
        the one of their place."""
        chosen = reunion.chosen
        for place in reunion.candidates() if chosen is None else [chosen]:
            offering = [peer for peer, shown in answers.items() if _offers(shown, place)]
            if self._holds(place) and place.roster in self._rosters:
                await self._look_back_from(place, offering)
                return
            if offering and time.monotonic() >= self._not_before.get(place, 0.0):
                random.shuffle(offering)
                if await self._download(place, offering):
                    return
                self._not_before[place] = time.monotonic() + _RETRY_SECONDS

    async def _look_back_from(self, place: Place, sources: list[PeerId]) -> bool:
        """Come to a place by way of the step before, asking each source once; returns whether that was needed, and has
        led there."""
        roster = self._rosters.get(place.roster)
        new = [peer for peer in sources if (place, peer) not in self._looked]
        if roster is None or not new or self._lookback.from_place(roster) is not None:
            return False
        self._looked.update((place, peer) for peer in new)
        came = await self._lookback.fetch(place, roster, new)
        if came is not None:
            self._live = place if came else Place(place.step, b"", await self._trainer.digest())
        return bool(came)

    async def _download(self, place: Place, sources: list[PeerId]) -> bool:
        if await self._look_back_from(place, sources):
            return True
        found = await download_state(
            self._transport,
            sources,
            Question(want=Want.STATE, step=place.step),
            partial(self._trainer.load, step=place.step),
            place.state,
            arriving=self.arriving,
            limit=self._trainer.most_state_bytes,
            timeout_seconds=self._manifest.deadlines.commit,
        )
        if found is not None:
            self._live, self._lookback.minutes = place, None
        return found is not None

    async def _stand_at(self, place: Place) -> bool:
        """Let the trainer hold the state of a place that is at hand."""
        live = self._live
        if live is not None and (live.step, live.state) == (place.step, place.state):
            self._live = place
            return True
        kept = await self._checkpoints.load(place)
        if kept is None:
            return False
        self._lookback.minutes = None
        try:
            digest = await self._trainer.go_on(kept.state, kept.link, place.step)
        except UserError as error:
            logger.warning("the state that this peer keeps of step %d cannot be loaded: %s", place.step, error)
            return False
        self._live = Place(place.step, place.roster, digest)
        return digest == place.state

    def _keep_proof(self, number: int, votes: tuple[Envelope, ...]) -> None:
        packed = encode([self._manifest.run, number, [vote.encode() for vote in votes]])
        try:
            write_durably(self._proof_file, sealed(packed))
        except OSError as error:
            logger.error("cannot write %s: %s", self._proof_file, error.strerror)


def _offers(shown: Gathering, place: Place) -> bool:
    return any((roster.digest, state) == (place.roster, place.state) for roster, state in shown.kept)


def _read_proof(path: Path, run: bytes) -> tuple[int, tuple[Envelope, ...]]:
    """Return the last incarnation that this peer has seen begin, and the votes by which it has."""
    try:
        data = unsealed(path.read_bytes())
        if data is None:
            return 0, ()
        of, number, votes = as_fields(decode(data, limit=MAX_GATHERING), 3)
        found = [Envelope.parse(as_bytes(vote)) for vote in as_list(votes, most=MAX_GATHERED)]
        return (as_int(number, 0, MAX_INCARNATIONS), tuple(found)) if as_bytes(of) == run else (0, ())
    except (OSError, Malformed):
        return 0, ()
