"""What a peer answers: its head, the state of its very step, the snapshots it keeps; nothing to anything else."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from btard.behaviour import Behaviour
from btard.executor import Exhibit
from btard.hashing import digest
from btard.identity import IdentityKey, PeerId
from btard.peer.keeping.held import HeldStates
from btard.peer.serving import StateServer
from btard.round.evidence.evidence import Offence
from btard.round.evidence.file import to_json
from btard.round.roster import Roster
from btard.swarm.bans import BanBook
from btard.swarm.door.door import Door
from btard.swarm.door.reception import Reception, Rooms
from btard.swarm.questions import Directory, Head, Knock, Question, Reply, Want
from tests.btard.round.bans import evidence_of
from tests.btard.round.swarm import RULES
from tests.peer.helpers import KEYS, PEERS, ROSTER, RUN, run_manifest, signed_manifest

STATE = digest(b"state 5")
STATES = [b"state 5", b"state 6", b"state 7"]
MANIFEST = signed_manifest(KEYS[0], run_manifest().model_dump_json().encode())


class CountedTrainer:
    """Serialises a state that is a number, and counts how often."""

    def __init__(self) -> None:
        self.step = 5
        self.calls = 0
        self.bases: dict[int, bytes] = {}
        self.vectors: dict[int, bytes] = {}

    def momentum_base(self, step: int) -> bytes | None:
        return self.bases.get(step)

    def submitted(self, step: int) -> bytes | None:
        return self.vectors.get(step)

    async def serialize(self) -> tuple[bytes, bytes]:
        self.calls += 1
        await asyncio.sleep(0)
        data = f"state {self.step}".encode()
        return data, digest(data)


def at(step: int) -> Roster:
    """The roster of a step."""
    return replace(ROSTER, step=step)


def held(target: PeerId, step: int) -> bytes | None:
    """What this peer holds of the commitments of one target to one step."""
    return b"commits" if (target, step) == (PEERS[1], 4) else None


def shown(what: Exhibit, target: PeerId, step: int) -> bytes | None:
    """What one target has shown this peer."""
    return f"its {what}".encode() if (target, step) == (PEERS[1], 4) else None


class Apart:
    """Meets nobody."""

    def show(self, asker: PeerId, question: Question) -> None:
        """Show nothing."""

    async def state_of(self, asker: PeerId, step: int) -> None:
        """Have no state."""


APART: Any = Apart()


def reports(step: int) -> bytes:
    """What this peer reports from a step on."""
    return b"reports since %d" % step


def serve(reception: Reception, counted: CountedTrainer, behaviour: Behaviour, bans: BanBook) -> StateServer:
    """Return a server that holds its states beside its evidence of bans."""
    states = HeldStates(bans.directory / "held", RUN, 100)
    trainer: Any = counted
    return StateServer(reception, trainer, behaviour, bans, held, shown, APART, states, reports)


class Poisons(Behaviour):
    def served_state(self, state: bytes) -> bytes:
        return b"poison"


class Forges(Behaviour):
    def served_evidence(self, evidence: bytes | None) -> bytes | None:
        return b"forged"


class Hides(Behaviour):
    def shown_momentum(self, step: int, base: bytes | None) -> bytes | None:
        return None

    def shown_vector(self, step: int, vector: bytes | None) -> bytes | None:
        return None


@pytest.fixture
def counted() -> CountedTrainer:
    return CountedTrainer()


@pytest.fixture
def bans(tmp_path: Path) -> BanBook:
    return BanBook(tmp_path / "bans", RULES)


@pytest.fixture
def server(counted: CountedTrainer, bans: BanBook) -> StateServer:
    made = serve(Reception(MANIFEST), counted, Behaviour(), bans)
    made.stand(ROSTER, STATE)
    return made


async def ask(
    server: StateServer, want: Want, step: int = 0, peer: str = "", *, sender: PeerId = PEERS[1]
) -> bytes | None:
    answer = await server.answer(sender, Question(want=want, step=step, peer=peer).encode())
    return None if answer is None else bytes(answer)


async def test_before_the_first_step_only_the_manifest_is_told(counted: CountedTrainer, bans: BanBook) -> None:
    counted.bases[5] = b"base"
    fresh = serve(Reception(MANIFEST), counted, Behaviour(), bans)
    answers = {want: await ask(fresh, want, 5) for want in Want}
    told = {Want.MANIFEST: MANIFEST.encode(), Want.REPORTS: b"reports since 5"}
    assert answers == dict.fromkeys(Want) | told


async def test_where_a_peer_stands(server: StateServer) -> None:
    answer = await ask(server, Want.HEAD)
    assert answer is not None and Head.decode(answer) == Head(ROSTER, STATE, ())


@pytest.mark.parametrize("data", [b"", b"garbage", b'{"want":"all"}', b"\xff" * 1000])
async def test_what_is_no_question_gets_no_answer(server: StateServer, data: bytes) -> None:
    assert await server.answer(PEERS[1], data) is None


async def test_the_state_of_this_step_and_of_no_other(server: StateServer) -> None:
    assert await ask(server, Want.STATE, 5) == b"state 5"
    assert await ask(server, Want.STATE, 4) is await ask(server, Want.STATE, 6) is None


async def test_only_members_get_what_has_to_be_made(server: StateServer, counted: CountedTrainer) -> None:
    counted.bases[5] = counted.vectors[4] = b"base"
    stranger = IdentityKey.generate().peer_id
    assert [await ask(server, want, 5, sender=stranger) for want in (Want.STATE, Want.BASE)] == [None, None]
    assert await ask(server, Want.VECTOR, 4, sender=stranger) is None
    assert await ask(server, Want.COMMITS, 4, str(PEERS[1]), sender=stranger) is None
    assert counted.calls == 0
    assert await ask(server, Want.BASE, 5) == b"base"


async def test_what_a_target_has_shown_is_handed_on(server: StateServer, counted: CountedTrainer) -> None:
    counted.bases[4] = counted.vectors[4] = b"own"
    target, other = str(PEERS[1]), str(PEERS[2])
    for want, handed in ((Want.BASE, b"its base"), (Want.VECTOR, b"its vector")):
        assert await ask(server, want, 4, target) == handed
        assert [await ask(server, want, 4, peer) for peer in (other, "nobody")] == [None, None]
        assert await ask(server, want, 5, target) is None
        assert await ask(server, want, 4, target, sender=IdentityKey.generate().peer_id) is None
        assert await ask(server, want, 4) == b"own"


async def test_newcomers_of_one_step_share_one_serialisation(server: StateServer, counted: CountedTrainer) -> None:
    answers = await asyncio.gather(*(ask(server, Want.STATE, 5) for _ in range(5)))
    assert answers == [b"state 5"] * 5
    assert counted.calls == 1


async def test_the_next_step_has_its_own_state(server: StateServer, counted: CountedTrainer) -> None:
    await ask(server, Want.STATE, 5)
    counted.step = 6
    server.stand(ROSTER.successor(ROSTER.members, (), (), randomness=STATE), digest(b"state 6"))
    assert await ask(server, Want.STATE, 6) == b"state 6"
    assert await ask(server, Want.STATE, 5) is None


async def test_an_asker_that_stops_waiting_costs_others_no_answer(server: StateServer) -> None:
    impatient = asyncio.ensure_future(ask(server, Want.STATE, 5))
    patient = asyncio.ensure_future(ask(server, Want.STATE, 5))
    await asyncio.sleep(0)
    impatient.cancel()
    assert await patient == b"state 5"
    assert impatient.cancelled()


async def test_snapshots_stay_as_they_were(server: StateServer, counted: CountedTrainer) -> None:
    for step in (5, 6, 7):
        counted.step = step
        await server.hold(RUN, at(step))
    server.stand(at(7), STATE)
    assert [await ask(server, Want.SNAPSHOT, step) for step in (4, 5, 6, 7)] == [None, *STATES]
    answer = await ask(server, Want.HEAD)
    assert answer is not None
    assert Head.decode(answer).snapshots == tuple((step, digest(f"state {step}".encode())) for step in (5, 6, 7))


async def test_a_past_that_is_lost_is_offered_no_more(server: StateServer, counted: CountedTrainer) -> None:
    for step in (5, 6, 7):
        counted.step = step
        await server.hold(RUN, at(step))
    server.stand(at(6), STATE, 1)
    answer = await ask(server, Want.HEAD)
    assert answer is not None and [step for step, _ in Head.decode(answer).snapshots] == [5, 6]


async def test_earlier_reports_are_told(server: StateServer) -> None:
    assert await ask(server, Want.REPORTS, 3) == b"reports since 3"


async def test_a_behaviour_may_poison_served_states_but_not_kept_ones(counted: CountedTrainer, bans: BanBook) -> None:
    server = serve(Reception(MANIFEST), counted, Poisons(), bans)
    await server.hold(RUN, at(5))
    server.stand(ROSTER, STATE)
    assert await ask(server, Want.STATE, 5) == await ask(server, Want.SNAPSHOT, 5) == b"poison"
    answer = await ask(server, Want.HEAD)
    assert answer is not None and Head.decode(answer).snapshots == ((5, STATE),)


async def test_the_momentum_of_the_steps_that_the_trainer_remembers(
    server: StateServer, counted: CountedTrainer
) -> None:
    counted.bases[4] = b"base"
    assert (await ask(server, Want.BASE, 4), await ask(server, Want.BASE, 5)) == (b"base", None)


async def test_a_vector_is_shown_once_its_step_is_over(server: StateServer, counted: CountedTrainer) -> None:
    """Before, it would help peers that have not committed yet."""
    counted.vectors = {4: b"vector", 5: b"secret"}
    assert [await ask(server, Want.VECTOR, step) for step in (3, 4, 5, 6)] == [None, b"vector", None, None]


async def test_held_commitments_of_a_target_are_shown(server: StateServer) -> None:
    asked = [(4, str(PEERS[1])), (5, str(PEERS[1])), (4, str(PEERS[2])), (4, "nobody"), (4, "")]
    assert [await ask(server, Want.COMMITS, step, peer) for step, peer in asked] == [b"commits", *[None] * 4]


async def test_a_behaviour_may_show_no_vector(counted: CountedTrainer, bans: BanBook) -> None:
    counted.vectors[4] = b"vector"
    server = serve(Reception(MANIFEST), counted, Hides(), bans)
    server.stand(ROSTER, STATE)
    assert await ask(server, Want.VECTOR, 4) is None


async def test_a_behaviour_may_show_no_momentum(counted: CountedTrainer, bans: BanBook) -> None:
    counted.bases[4] = b"base"
    server = serve(Reception(MANIFEST), counted, Hides(), bans)
    server.stand(ROSTER, STATE)
    assert await ask(server, Want.BASE, 4) is None


async def test_the_evidence_of_a_ban_and_of_nothing_else(server: StateServer, bans: BanBook) -> None:
    evidence = evidence_of(Offence.EQUIVOCATION)
    bans.add(evidence)
    assert await ask(server, Want.BAN, peer=str(evidence.accused)) == to_json(evidence)
    for other in (str(PEERS[0]), "", "nobody", "1" * 64):
        assert await ask(server, Want.BAN, peer=other) is None


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


async def test_a_behaviour_may_show_other_evidence(counted: CountedTrainer, bans: BanBook) -> None:
    honest, forger = (serve(Reception(MANIFEST), counted, made, bans) for made in (Behaviour(), Forges()))
    for server in (honest, forger):
        server.stand(ROSTER, STATE)
    assert await ask(honest, Want.BAN, peer=str(PEERS[0])) is None
    assert await ask(forger, Want.BAN, peer=str(PEERS[0])) == b"forged"
    assert await ask(forger, Want.BAN, peer="nobody") is None
