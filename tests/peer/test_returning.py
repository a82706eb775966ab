"""Back together over a transport: states come from disks or from others, and what a liar serves does no harm."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from btard.identity import PeerId
from btard.outline import Outlined
from btard.peer.keeping.cadence import Cadence
from btard.peer.keeping.checkpoints import Checkpoints
from btard.peer.keeping.progress import Progress
from btard.peer.keeping.record import KeptState
from btard.peer.returning import Resumption, Returning
from btard.peer.trainer import TaskTrainer
from btard.swarm.questions import Gathering, Question, Want
from btard.tasks.registry import load_task
from btard.transport.libp2p import FetchError
from btard.vocabulary import Device
from tests.peer.helpers import KEYS, PEERS, ROSTER, RUN, run_manifest

MANIFEST = run_manifest()


@dataclass
class Wire:
    """Brings questions to those that are there; some serve another state than they should."""

    there: dict[PeerId, Returning] = field(default_factory=dict)
    lies: dict[PeerId, bytes] = field(default_factory=dict)
    served: list[PeerId] = field(default_factory=list)
    handed: dict[PeerId, Outlined | None] = field(default_factory=dict)

    async def fetch(self, asker: PeerId, peer: PeerId, request: bytes) -> bytes:
        question = Question.decode(request)
        if peer not in self.there:
            raise FetchError("unreachable")
        if question.want is Want.REUNION:
            answer = self.there[peer].show(asker, question)
        elif question.want is Want.MINUTES:
            answer = self.there[peer].minutes_of(asker, question.step)
        else:
            answer = await self.state(asker, peer, question)
        if answer is None:
            raise FetchError("the peer has no answer")
        return answer

    async def state(self, asker: PeerId, peer: PeerId, question: Question) -> bytes | None:
        """Return what a peer answers that is asked for a state, or for its only chunk."""
        if question.want is Want.STATE:
            self.served.append(peer)
            place = self.there[peer].place_of(asker, question.step)
            self.handed[peer] = None if place is None else await self.there[peer].state_at(place)
        handed = self.handed.get(peer)
        if handed is None:
            return None
        return handed.outline.encode() if question.want is Want.STATE else self.lies.get(peer, handed.data)


@dataclass
class End:
    """One peer's end of the wire."""

    wire: Wire
    peer_id: PeerId

    async def fetch(self, peer: PeerId, request: bytes, *, limit: int, timeout_seconds: float) -> bytes:
        """See `Libp2pTransport.fetch`."""
        return await self.wire.fetch(self.peer_id, peer, request)


@dataclass
class Peers:
    """Peers that were killed in step 5, of which those named keep the state before it on their disks."""

    folder: Path
    wire: Wire = field(default_factory=Wire)
    trainers: list[TaskTrainer] = field(default_factory=list)
    digest: bytes = b""
    state: bytes = b""

    async def make(self, keeping: set[int]) -> None:
        trained = self.trainer()
        self.digest = await trained.apply(torch.ones(MANIFEST.dimension))
        self.state = (await trained.serialize()).data
        for number in range(5):
            folder = self.folder / str(number)
            folder.mkdir(parents=True)
            checkpoints = Checkpoints(folder / "states", RUN, Cadence(1), 0)
            if number in keeping:
                checkpoints.keep(KeptState(RUN, ROSTER, self.digest, self.state))
            Progress(folder / "progress", RUN.hex()).begin(ROSTER, self.digest)

    def trainer(self) -> TaskTrainer:
        self.trainers.append(TaskTrainer(load_task("digits", "tiny"), MANIFEST, Device.CPU))
        return self.trainers[-1]

    def start(self, *numbers: int) -> list[Returning]:
        made = []
        for number in numbers:
            folder = self.folder / str(number)
            end: Any = End(self.wire, PEERS[number])
            returning = Returning(
                KEYS[number],
                MANIFEST,
                end,
                self.trainer(),
                Checkpoints(folder / "states", RUN, Cadence(1), 0),
                Progress(folder / "progress", RUN.hex()),
                folder / "incarnation",
                folder / "arriving.state",
            )
            returning.gather(ROSTER)
            self.wire.there[PEERS[number]] = returning
            made.append(returning)
        return made


@pytest.fixture
async def peers(tmp_path: Path) -> AsyncIterator[Peers]:
    made = Peers(tmp_path)
    yield made
    for trainer in made.trainers:
        trainer.close()


async def turns(returning: list[Returning], most: int = 6) -> list[Resumption]:
    """Let all look around until each has an answer."""
    found: dict[int, Resumption] = {}
    for _ in range(most):
        answers = await asyncio.gather(*(one.turn(()) for one in returning))
        found |= {number: answer for number, answer in enumerate(answers) if answer is not None}
        if len(found) == len(returning):
            break
    return list(found.values())


async def test_a_state_that_one_keeps_serves_all(peers: Peers) -> None:
    await peers.make(keeping={2})
    back = peers.start(0, 1, 2, 3)
    assert await turns(back) == [Resumption(1, ROSTER, peers.digest)] * 4
    assert set(peers.wire.served) == {PEERS[2]} | (set(peers.wire.served) & set(PEERS[:4]))
    digests = {await one._trainer.digest() for one in back}
    assert digests == {peers.digest}
    again = peers.start(0)[0]
    assert again._reunion is not None and again._reunion.incarnation == 1, "the votes are kept: the next is another"


async def test_nobody_goes_on_while_most_stand_in_a_step(peers: Peers) -> None:
    await peers.make(keeping={0, 1, 2, 3})
    back = peers.start(0, 1, 2, 3)
    for _ in range(4):
        assert await asyncio.gather(*(one.turn(PEERS[1:4]) for one in back)) == [None] * 4


async def test_a_false_state_is_dropped_and_the_own_stays(peers: Peers) -> None:
    await peers.make(keeping={2})
    liar = peers.trainer()
    await liar.apply(torch.full((MANIFEST.dimension,), 2.0))
    peers.wire.lies = {PEERS[2]: (await liar.serialize()).data}
    back = peers.start(0, 1, 2, 3)
    first = await back[0]._trainer.digest()
    found = await turns(back)
    assert len(found) <= 1 and await back[0]._trainer.digest() == first, "only the liar itself has the state"
    peers.wire.lies.clear()
    for one in back:
        one._not_before.clear()
    assert Resumption(1, ROSTER, peers.digest) in await turns(back)


async def test_a_voter_that_looks_for_others_has_left_its_step(peers: Peers) -> None:
    await peers.make(keeping=set())
    (watching,) = peers.start(0)
    question = Question(want=Want.REUNION, step=1)
    for number in (1, 2):
        watching.show(PEERS[number], question)
    assert not watching.is_deserted(ROSTER, 0), "two of five may be liars"
    watching.show(PEERS[5], question)
    assert not watching.is_deserted(ROSTER, 0), "a stranger has no voice"
    watching.show(PEERS[3], question)
    assert watching.is_deserted(ROSTER, 0)
    assert not watching.is_deserted(ROSTER, 1), "they look for this very incarnation"


async def test_rosters_that_nobody_remembers_are_not_kept(peers: Peers) -> None:
    await peers.make(keeping={0})
    (one,) = peers.start(0)

    class Liar:
        def show(self, asker: PeerId, question: Question) -> bytes:
            made = [(replace(ROSTER, step=number), bytes(32)) for number in range(6, 9)]
            return Gathering((), tuple(made)).encode()

    liar: Any = Liar()
    peers.wire.there[PEERS[1]] = liar
    await one.turn(())
    assert one._rosters == {ROSTER.digest: ROSTER}


async def test_strangers_are_shown_nothing(peers: Peers) -> None:
    await peers.make(keeping={0})
    (one,) = peers.start(0)
    assert one.show(PEERS[5], Question(want=Want.REUNION, step=1)) is None
    assert one.place_of(PEERS[5], ROSTER.step) is one.place_of(PEERS[1], ROSTER.step + 1) is None
    place = one.place_of(PEERS[1], ROSTER.step)
    assert place is not None
    kept = await one.state_at(place)
    assert kept is not None and (kept.data, kept.outline.digest) == (peers.state, peers.digest)
