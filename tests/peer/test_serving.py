"""What a peer answers: its head, the state of its very step, the snapshots it keeps; nothing to anything else."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from btard.behaviour import Behaviour
from btard.exhibits import Exhibit
from btard.hashing import Payload
from btard.identity import IdentityKey, PeerId
from btard.outline import Outline, Outlined
from btard.peer.keeping.held import HeldStates
from btard.peer.serving import StateServer
from btard.reunion.messages import Place
from btard.round.evidence.evidence import Offence
from btard.round.evidence.file import to_json
from btard.round.roster import Roster
from btard.swarm.bans import BanBook
from btard.swarm.door.reception import Reception
from btard.swarm.probe import Arithmetic, Probe
from btard.swarm.questions import Head, Question, Want
from btard.vocabulary import Precision
from tests.btard.round.bans import evidence_of
from tests.btard.round.swarm import RULES
from tests.peer.helpers import KEYS, PEERS, ROSTER, RUN, run_manifest, signed_manifest

STATE = Outlined.of(b"state 5").outline.digest
STATES = [b"state 5", b"state 6", b"state 7"]
PROBE = Probe.of(torch.ones(3), RUN, Arithmetic.here(torch.device("cpu"), Precision.FLOAT32))
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

    async def probe(self) -> Probe:
        return PROBE

    async def serialize(self) -> Outlined:
        self.calls += 1
        await asyncio.sleep(0)
        return Outlined.of(f"state {self.step}".encode())


def at(step: int) -> Roster:
    """The roster of a step."""
    return replace(ROSTER, step=step)


def held(target: PeerId, step: int) -> bytes | None:
    """What this peer holds of the commitments of one target to one step."""
    return b"commits" if (target, step) == (PEERS[1], 4) else None


async def shown(asker: PeerId, what: Exhibit, target: PeerId, step: int) -> bytes | None:
    """What one target has shown this peer, or shows it for one that asks."""
    assert asker in ROSTER.members
    return f"its {what}".encode() if (target, step) == (PEERS[1], 4) else None


class Apart:
    """Meets nobody."""

    def show(self, asker: PeerId, question: Question) -> None:
        """Show nothing."""

    def awaits(self, peer: PeerId) -> bool:
        """Know nobody."""
        return False

    def place_of(self, asker: PeerId, step: int) -> None:
        """Have no state."""

    def minutes_of(self, asker: PeerId, step: int) -> None:
        """Have no minutes."""

    def transcript_of(self, asker: PeerId, step: int) -> None:
        """Know of no step."""


APART: Any = Apart()


def reports(step: int) -> bytes:
    """What this peer reports from a step on."""
    return b"reports since %d" % step


def serve(
    reception: Reception, counted: CountedTrainer, behaviour: Behaviour, bans: BanBook, returning: Any = APART
) -> StateServer:
    """Return a server that holds its states beside its evidence of bans."""
    states = HeldStates(bans.directory / "held", RUN, 100)
    trainer: Any = counted
    return StateServer(reception, trainer, behaviour, bans, held, shown, returning, states, reports)


class Poisons(Behaviour):
    def served_state(self, state: Payload) -> Payload:
        return b"poison"


class Forges(Behaviour):
    def served_evidence(self, evidence: bytes | None) -> bytes | None:
        return b"forged"


class Hides(Behaviour):
    def shown_momentum(self, step: int, asker: PeerId, base: bytes | None) -> bytes | None:
        return None

    def shown_vector(self, step: int, asker: PeerId, vector: bytes | None) -> bytes | None:
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


async def fetched(
    server: StateServer, want: Want, step: int, digest: bytes = b"", *, sender: PeerId = PEERS[1]
) -> bytes | None:
    """Return the one chunk of a state that an asker gets, None where it gets no outline, or no chunk."""
    answer = await ask(server, want, step, sender=sender)
    if answer is None:
        return None
    outline = Outline.decode(answer, 100)
    assert len(outline) == 1
    question = Question(want=Want.CHUNK, known=(digest or outline.digest).hex())
    chunk = await server.answer(sender, question.encode())
    return None if chunk is None else bytes(chunk)


async def test_before_the_first_step_only_what_all_may_know_is_told(counted: CountedTrainer, bans: BanBook) -> None:
    counted.bases[5] = b"base"
    fresh = serve(Reception(MANIFEST), counted, Behaviour(), bans)
    answers = {want: await ask(fresh, want, 5) for want in Want}
    told = {Want.MANIFEST: MANIFEST.encode(), Want.PROBE: PROBE.encode(), Want.REPORTS: b"reports since 5"}
    assert answers == dict.fromkeys(Want) | told


async def test_where_a_peer_stands(server: StateServer) -> None:
    answer = await ask(server, Want.HEAD)
    assert answer is not None and Head.decode(answer) == Head(ROSTER, STATE, ())


async def test_a_peer_that_waits_says_so_until_it_stands_again(server: StateServer) -> None:
    server.wait(ROSTER, 2)
    answer = await ask(server, Want.HEAD)
    assert answer is not None
    told = Head.decode(answer)
    assert (told.roster, told.incarnation, told.waits) == (ROSTER, 2, True)
    server.stand(ROSTER, STATE, 3)
    answer = await ask(server, Want.HEAD)
    assert answer is not None and not Head.decode(answer).waits


@pytest.mark.parametrize("data", [b"", b"garbage", b'{"want":"all"}', b"\xff" * 1000])
async def test_what_is_no_question_gets_no_answer(server: StateServer, data: bytes) -> None:
    assert await server.answer(PEERS[1], data) is None


async def test_the_state_of_this_step_and_of_no_other(server: StateServer) -> None:
    assert await fetched(server, Want.STATE, 5) == b"state 5"
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
    answers = await asyncio.gather(*(fetched(server, Want.STATE, 5) for _ in range(5)))
    assert answers == [b"state 5"] * 5
    assert counted.calls == 1


async def test_the_next_step_has_its_own_state(server: StateServer, counted: CountedTrainer) -> None:
    await ask(server, Want.STATE, 5)
    counted.step = 6
    server.stand(ROSTER.successor(ROSTER.members, (), (), randomness=STATE), Outlined.of(b"state 6").outline.digest)
    assert await fetched(server, Want.STATE, 6) == b"state 6"
    assert await ask(server, Want.STATE, 5) is None
    assert await fetched(server, Want.STATE, 6, STATE) == b"state 5", "for those that have begun to fetch it"


async def test_a_state_that_has_moved_on_is_not_handed_out(server: StateServer, counted: CountedTrainer) -> None:
    counted.step = 6
    assert await ask(server, Want.STATE, 5) is None


async def test_chunks_are_for_members_and_of_what_was_outlined(server: StateServer) -> None:
    question = Question(want=Want.CHUNK, known=STATE.hex())
    assert await server.answer(PEERS[1], question.encode()) is None
    assert await fetched(server, Want.STATE, 5) == b"state 5"
    assert await server.answer(IdentityKey.generate().peer_id, question.encode()) is None
    for other in ({"chunk": 1}, {"chunk": 2**20 - 1}, {"known": ""}, {"known": "no digest"}, {"known": "00" * 32}):
        assert await server.answer(PEERS[1], question.model_copy(update=other).encode()) is None


async def test_a_member_of_a_reunion_gets_what_is_kept(counted: CountedTrainer, bans: BanBook) -> None:
    class Meeting(Apart):
        asked = 0

        def awaits(self, peer: PeerId) -> bool:
            return peer == PEERS[1]

        def place_of(self, asker: PeerId, step: int) -> Any:
            return Place(5, bytes(32), STATE) if self.awaits(asker) and step == 5 else None

        async def state_at(self, place: Place) -> Outlined:
            self.asked += 1
            return Outlined.of(b"state 5")

    meeting: Any = Meeting()
    made = serve(Reception(MANIFEST), counted, Behaviour(), bans, meeting)
    assert [await fetched(made, Want.STATE, 5) for _ in range(3)] == [b"state 5"] * 3
    assert (meeting.asked, counted.calls) == (1, 0)
    assert await ask(made, Want.STATE, 4) is await fetched(made, Want.STATE, 5, sender=PEERS[2]) is None


async def test_minutes_are_shown_while_most_are_gone(counted: CountedTrainer, bans: BanBook) -> None:
    class Meeting(Apart):
        def minutes_of(self, asker: PeerId, step: int) -> Any:
            return b"minutes before %d" % step if asker == PEERS[1] else None

        def transcript_of(self, asker: PeerId, step: int) -> Any:
            return b"transcript of %d" % step if asker == PEERS[1] else None

    meeting: Any = Meeting()
    made = serve(Reception(MANIFEST), counted, Behaviour(), bans, meeting)
    for act in (lambda: None, lambda: made.wait(ROSTER, 0)):
        act()
        assert await ask(made, Want.MINUTES, 5) == b"minutes before 5"
        assert await ask(made, Want.TRANSCRIPT, 4) == b"transcript of 4"
    made.stand(ROSTER, STATE, 1)
    assert await ask(made, Want.MINUTES, 5) is None, "their aggregates are let go of when the next step is over"
    assert await ask(made, Want.TRANSCRIPT, 4) == b"transcript of 4"


async def test_an_asker_that_stops_waiting_costs_others_no_answer(server: StateServer) -> None:
    impatient = asyncio.ensure_future(ask(server, Want.STATE, 5))
    patient = asyncio.ensure_future(ask(server, Want.STATE, 5))
    await asyncio.sleep(0)
    impatient.cancel()
    assert await patient == Outlined.of(b"state 5").outline.encode()
    assert impatient.cancelled()


async def test_snapshots_stay_as_they_were(server: StateServer, counted: CountedTrainer) -> None:
    for step in (5, 6, 7):
        counted.step = step
        await server.hold(RUN, at(step))
    server.stand(at(7), STATE)
    assert [await fetched(server, Want.SNAPSHOT, step) for step in (4, 5, 6, 7)] == [None, *STATES]
    coordinator = IdentityKey.generate().peer_id
    assert await fetched(server, Want.SNAPSHOT, 6, sender=coordinator) == b"state 6", "which is no member"
    answer = await ask(server, Want.HEAD)
    assert answer is not None
    digests = tuple((step, Outlined.of(f"state {step}".encode()).outline.digest) for step in (5, 6, 7))
    assert Head.decode(answer).snapshots == digests


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
    assert await fetched(server, Want.STATE, 5) == await fetched(server, Want.SNAPSHOT, 5) == b"poison"
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


async def test_a_behaviour_may_show_other_evidence(counted: CountedTrainer, bans: BanBook) -> None:
    honest, forger = (serve(Reception(MANIFEST), counted, made, bans) for made in (Behaviour(), Forges()))
    for server in (honest, forger):
        server.stand(ROSTER, STATE)
    assert await ask(honest, Want.BAN, peer=str(PEERS[0])) is None
    assert await ask(forger, Want.BAN, peer=str(PEERS[0])) == b"forged"
    assert await ask(forger, Want.BAN, peer="nobody") is None
