"""What a peer answers those that are no members yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from btard.behaviour import Behaviour
from btard.identity import PeerId
from btard.swarm.bans import BanBook
from btard.swarm.door.door import Door
from btard.swarm.door.reception import Reception, Rooms
from btard.swarm.questions import Directory, Knock, Question, Reply, Want
from tests.btard.round.swarm import RULES
from tests.peer.helpers import PEERS
from tests.peer.test_serving import MANIFEST, CountedTrainer, ask, serve


@pytest.fixture
def counted() -> CountedTrainer:
    return CountedTrainer()


@pytest.fixture
def bans(tmp_path: Path) -> BanBook:
    return BanBook(tmp_path / "bans", RULES)


class Tells(Behaviour):
    """Tells every newcomer something else, and refuses knocks."""

    def told_newcomer(self, question: str, answer: bytes | None) -> bytes | None:
        return None if question == Want.KNOCK else b"something else"


class Slow(Door):
    """Takes in everybody."""

    def __init__(self) -> None:
        self.knocks: list[PeerId] = []

    def knock(self, sender: PeerId, knock: Knock) -> Reply:
        self.knocks.append(sender)
        return Reply.WAIT


DIRECTORY = Directory({PEERS[2]: ("/ip4/1.2.3.4/tcp/5",)})
KNOCK = Knock(run="0" * 32, protocol=1, fingerprint="0" * 64, maddrs=[])


@pytest.fixture
def door() -> Slow:
    return Slow()


@pytest.fixture
def reception(door: Slow) -> Reception:
    async def roster() -> bytes | None:
        return b"signed"

    made = Reception(MANIFEST)
    made.open(Rooms(door, roster, lambda: DIRECTORY))
    return made


async def test_newcomers_are_answered_before_the_first_step(
    counted: CountedTrainer, bans: BanBook, reception: Reception, door: Slow
) -> None:
    server = serve(reception, counted, Behaviour(), bans)
    assert await ask(server, Want.ROSTER) == b"signed"
    assert await ask(server, Want.ADDRESSES) == DIRECTORY.encode()
    knocking = Question(want=Want.KNOCK, knock=KNOCK).encode()
    assert await server.answer(PEERS[4], knocking) == Reply.WAIT.encode()
    assert door.knocks == [PEERS[4]], "the connection names the caller"
    assert await ask(server, Want.KNOCK) is None, "there is no knock in the question"


async def test_a_behaviour_may_lie_to_newcomers(counted: CountedTrainer, bans: BanBook, reception: Reception) -> None:
    server = serve(reception, counted, Tells(), bans)
    assert await ask(server, Want.MANIFEST) == await ask(server, Want.ROSTER) == b"something else"
    assert await server.answer(PEERS[4], Question(want=Want.KNOCK, knock=KNOCK).encode()) is None
