"""Members that come back look at the step before: by their own disk, or by what one of them has kept of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from btard.identity import Malformed
from btard.peer.keeping.cadence import Cadence
from btard.peer.keeping.checkpoints import Checkpoints
from btard.peer.keeping.minutes import KeptMinutes
from btard.peer.keeping.progress import Progress
from btard.peer.keeping.record import KeptState
from btard.peer.returning import Returning
from btard.reunion.messages import Place
from btard.round.attempt.minutes import Minutes
from btard.round.roster import Roster
from btard.transport.memory import Network, NetworkConditions, SimulatedPeer
from btard.transport.vector_trainer import VectorTrainer
from btard.vectors.momentum import KeptLink
from btard.vectors.partition import from_wire
from tests.btard.round.swarm import seeded_gradient
from tests.peer.helpers import KEYS, PEERS, ROSTER, RUN
from tests.peer.test_returning import MANIFEST, Peers, turns

RULES = MANIFEST.step_rules
BEFORE = replace(ROSTER, step=4)


def played(parameters: bytes) -> tuple[Minutes, Roster]:
    """Return what is signed in a step from a state of this digest, and the roster that follows."""
    network = Network(0, NetworkConditions())
    peers = []
    for key in KEYS[:5]:
        trainer = VectorTrainer(seeded_gradient, torch.zeros(RULES.dimension), step=4)
        peers.append(SimulatedPeer(network, key, RULES, trainer, last_step=4))
        peers[-1]._state = parameters
    for peer in peers:
        peer.begin(BEFORE)
    network.run(done=lambda: all(peer.finished() for peer in peers))
    minutes = peers[2].session.legacy.minutes(5)
    assert minutes is not None and peers[2].roster is not None
    return minutes, peers[2].roster


@dataclass
class Remembering(Peers):
    """Peers that were killed in step 5; those that are `keeping` have the state before step 4, and its minutes."""

    roster: Roster = ROSTER
    before: bytes = b""
    kept: KeptMinutes | None = None

    async def make(self, keeping: set[int], states: Iterable[int] = ()) -> None:
        trained = self.trainer()
        before = await trained.apply(torch.ones(MANIFEST.dimension))
        self.before = (await trained.serialize()).data
        minutes, self.roster = played(before)
        self.digest = await trained.apply(from_wire(minutes.aggregate, MANIFEST.wire))
        self.state = (await trained.serialize()).data
        self.kept = KeptMinutes(RUN, self.roster, self.digest, minutes.encode(), bytes(minutes.aggregate))
        for number in range(5):
            folder = self.folder / str(number)
            folder.mkdir(parents=True)
            checkpoints = Checkpoints(folder / "states", RUN, Cadence(1), 0)
            if number in keeping:
                checkpoints.keep(KeptState(RUN, BEFORE, before, self.before))
                (folder / "states" / "minutes").write_bytes(self.kept.encode())
            if number in states:
                checkpoints.keep(KeptState(RUN, self.roster, self.digest, self.state))
            progress = Progress(folder / "progress", RUN.hex())
            progress.begin(BEFORE, before)
            progress.begin(self.roster, self.digest)

    @property
    def place(self) -> Place:
        return Place(5, self.roster.digest, self.digest)


@pytest.fixture
async def peers(tmp_path: Path) -> AsyncIterator[Remembering]:
    made = Remembering(tmp_path)
    yield made
    for trainer in made.trainers:
        trainer.close()


async def check_looks_back(peers: Remembering, back: list[Returning]) -> None:
    """Assert that all go on at the place, with all that their audits need of the step before."""
    found = await turns(back)
    assert [(one.incarnation, one.roster, one.state) for one in found] == [(1, peers.roster, peers.digest)] * len(back)
    vectors = [await one._trainer.recompute(bytes(32), 4) for one in back]
    assert vectors[0] is not None
    for resumed, one, vector in zip(found, back, vectors, strict=True):
        assert resumed.minutes is not None and resumed.minutes.step == 4 and await one._trainer.digest() == peers.digest
        assert vector is not None and torch.equal(vector, vectors[0])
    assert len({one.transcript_of(PEERS[0], 4) for one in back}) == 1


async def test_what_one_keeps_of_a_step_serves_all(peers: Remembering) -> None:
    await peers.make(keeping={2})
    await check_looks_back(peers, peers.start(0, 1, 2, 3))


async def test_those_that_stayed_alive_look_back_by_memory(peers: Remembering) -> None:
    await peers.make(keeping=set())
    back = peers.start(0, 1, 2, 3)
    assert peers.kept is not None
    for number, one in enumerate(back):
        await one._trainer.load(peers.before, 4)
        await one._trainer.apply(from_wire(memoryview(bytearray(peers.kept.aggregate)), MANIFEST.wire))
        said = peers.kept.minutes, peers.kept.aggregate
        one.stands(peers.roster, peers.digest, Minutes.decode(*said, RULES, peers.roster, PEERS[number]))
        one.gather(peers.roster)
    await check_looks_back(peers, back)


async def test_a_state_without_minutes_is_come_to_again(peers: Remembering) -> None:
    await peers.make(keeping={2}, states={0, 1})
    await check_looks_back(peers, peers.start(0, 1, 2, 3))


async def test_false_minutes_leave_the_state_alone(peers: Remembering) -> None:
    await peers.make(keeping={2})
    back = peers.start(0, 1, 2, 3)
    kept = peers.kept
    assert kept is not None
    changed = bytes([kept.aggregate[0] ^ 1]) + kept.aggregate[1:]
    back[2].minutes_of = lambda asker, step: replace(kept, aggregate=changed).encode()  # type: ignore[method-assign]
    found = await turns(back)
    assert {(one.state, one.roster) for one in found} == {(peers.digest, peers.roster)}
    assert [one.minutes is not None for one in found] == [False, False, True, False]


async def test_minutes_without_the_state_before_lead_nowhere(peers: Remembering) -> None:
    await peers.make(keeping={2}, states={2})
    for path in (peers.folder / "2" / "states").glob("step-000000000004*"):
        path.unlink()
    found = await turns(peers.start(0, 1, 2, 3))
    assert [(one.state, one.minutes) for one in found] == [(peers.digest, None)] * 4


async def test_minutes_that_lead_elsewhere_are_dropped(peers: Remembering) -> None:
    await peers.make(keeping={2}, states={0})
    assert peers.kept is not None
    elsewhere = replace(peers.kept, digest=bytes(32))
    (peers.folder / "2" / "states" / "minutes").write_bytes(elsewhere.encode())
    back = peers.start(0, 1, 2, 3)
    assert await back[2]._lookback.wake() is back[2]._lookback.minutes is None
    assert [(one.state, one.minutes) for one in await turns(back)] == [(peers.digest, None)] * 4
    assert {await one._trainer.digest() for one in back} == {peers.digest}


async def test_strangers_are_shown_no_minutes(peers: Remembering) -> None:
    await peers.make(keeping={2})
    (one,) = peers.start(2)
    await one.turn(())
    assert one.minutes_of(PEERS[5], 5) is one.minutes_of(PEERS[1], 4) is one.transcript_of(PEERS[5], 4) is None
    shown = one.minutes_of(PEERS[1], 5)
    assert shown is not None and KeptMinutes.decode(shown) == peers.kept


def kept_minutes(step: int, link: KeptLink | None = None) -> KeptMinutes:
    return KeptMinutes(RUN, replace(ROSTER, step=step + 1), bytes(32), b"minutes", b"aggregate", link)


@pytest.mark.parametrize("link", [None, KeptLink(4, bytes(8), b"\x01" * 8)])
def test_minutes_go_round_and_show_that_they_are_torn(link: KeptLink | None) -> None:
    kept = kept_minutes(4, link)
    whole = kept.encode()
    assert KeptMinutes.decode(whole) == kept
    for length in range(len(whole)):
        with pytest.raises(Malformed):
            KeptMinutes.decode(whole[:length])


async def test_minutes_are_kept_of_the_step_of_a_kept_state(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, RUN, Cadence(3), 0)

    async def step(number: int) -> KeptMinutes | None:
        async def minutes() -> KeptMinutes:
            return kept_minutes(number - 1)

        async def state() -> KeptState:
            return KeptState(RUN, replace(ROSTER, step=number), bytes(32), b"state")

        await checkpoints.consider_minutes(number, minutes)
        await checkpoints.consider(number, state)
        await checkpoints.close()
        return await checkpoints.minutes()

    found = [await step(number) for number in range(1, 9)]
    assert [None if kept is None else kept.step for kept in found] == [None] * 3 + [3, 3, 3, 6, 6]
    await checkpoints.go_back(kept_minutes(6).place)
    assert await checkpoints.minutes() is not None
    await checkpoints.go_back(kept_minutes(5).place)
    assert await checkpoints.minutes() is None, "the run has gone on from before them"
