"""The coordinator takes a seat away when it has computed the proof again; what proves nothing changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from btard.coordinator.pipeline.bans import MOST_PROOFS, StageBans
from btard.coordinator.run_directory import RunDirectory
from btard.identity import PeerId
from btard.outline import Outlined
from btard.pipeline.seats.statements import SeatPhase, ShownBan, Stance
from btard.pipeline.seats.usher import Usher, UsherPlan
from btard.swarm.events.coordinator import BanVerified
from btard.swarm.questions import Question, Want
from btard.transport.libp2p import FetchError
from tests.coordinator.pipeline.proofs import KEYS, LIAR, ban_of, builder_of, run_of_three, seating

PEERS = [key.peer_id for key in KEYS]


class Shown:
    """What peers show; it stands for the transport."""

    peer_id = PEERS[3]

    def __init__(self) -> None:
        self.held: dict[tuple[PeerId, str], Outlined] = {}
        self.asked: list[PeerId] = []

    def show(self, peer: PeerId, data: bytes, accused: PeerId = PEERS[LIAR]) -> Stance:
        proof = Outlined.of(data)
        self.held[peer, proof.outline.digest.hex()] = proof
        return stance(ShownBan(accused, proof.outline.digest))

    async def fetch(self, peer: PeerId, data: bytes, *, limit: int, timeout_seconds: float) -> Any:
        question = Question.decode(data)
        self.asked.append(peer)
        proof = self.held.get((peer, question.known))
        if proof is None:
            raise FetchError("the peer has no answer")
        answer = proof.outline.encode() if question.want is Want.STATE else bytes(proof.chunk(question.chunk) or b"")
        assert len(answer) <= limit
        return answer


def stance(*bans: ShownBan) -> Stance:
    return Stance(1, SeatPhase.TRAINING, 0, bans=bans)


class Court:
    """The coordinator's part, without a network."""

    def __init__(self, directory: RunDirectory) -> None:
        self.shown, self.log, self.told = Shown(), [], []
        self.usher = Usher(UsherPlan(run_of_three().run, 3))
        self.usher.seating = seating()
        self.bans = StageBans(builder_of(), self.shown, directory, self, self.usher, lambda: self.told.append(True))
        self.bans.seated(seating())

    def write(self, event: Any) -> None:
        self.log.append(event)


@pytest.fixture
def court(directory: RunDirectory) -> Court:
    return Court(directory)


async def test_a_proved_liar_is_banned(court: Court, directory: RunDirectory) -> None:
    ban = ban_of()
    court.bans.hear(PEERS[0], court.shown.show(PEERS[0], ban.evidence))
    await court.bans.look()
    assert court.told
    assert court.usher.banned == {PEERS[LIAR]}
    (event,) = court.log
    assert isinstance(event, BanVerified)
    assert (event.peer, event.offence) == (str(PEERS[LIAR]), "ACTIVATION")
    (file,) = directory.bans.iterdir()
    assert file.read_bytes() == ban.evidence and event.evidence == str(file)
    assert court.bans.bans[0].told()["stage"] == LIAR
    assert Court(directory).usher.banned == {PEERS[LIAR]}, "a restart forgets it"


async def test_a_false_claim_changes_nothing(court: Court) -> None:
    court.bans.hear(PEERS[0], court.shown.show(PEERS[0], b"{}"))
    court.bans.hear(PEERS[2], court.shown.show(PEERS[2], ban_of(7).evidence))
    court.bans.hear(PEERS[2], stance(ShownBan(PEERS[0], bytes(32))))
    await court.bans.look()
    assert set(court.shown.asked) == {PEERS[0], PEERS[2]}
    assert not court.usher.banned and not court.log and not court.told


async def test_one_peer_is_asked_for_a_bounded_number_of_proofs(court: Court) -> None:
    for number in range(3 * MOST_PROOFS):
        court.bans.hear(PEERS[0], court.shown.show(PEERS[0], str(number).encode()))
    await court.bans.look()
    assert len(court.shown.asked) <= 2 * MOST_PROOFS
    court.bans.hear(PEERS[2], court.shown.show(PEERS[2], ban_of().evidence))
    await court.bans.look()
    assert court.told


async def test_what_was_looked_at_is_not_asked_for_again(court: Court) -> None:
    for _ in range(3):
        court.bans.hear(PEERS[0], court.shown.show(PEERS[0], b"{}"))
        await court.bans.look()
    assert len(court.shown.asked) == 2
