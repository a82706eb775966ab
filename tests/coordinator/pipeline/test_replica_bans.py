"""A ban by the replicas of a stage counts once most of them tell of it, and one of their rounds proves it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from btard.behaviour import LeaveReason
from btard.coordinator.pipeline.bans import MOST_PROOFS, StageBans
from btard.coordinator.pipeline.proof import check_proof
from btard.coordinator.run_directory import RunDirectory
from btard.identity import Envelope, IdentityKey, Malformed, MessageKind
from btard.pipeline.live.build import StageBuilder, cut_of, numbers_of
from btard.pipeline.replicas.rules import round_nonce
from btard.pipeline.seats.seating import DRAWN, Seating
from btard.pipeline.seats.usher import Usher, UsherPlan
from btard.round.evidence.evidence import Evidence, Offence, Scene
from btard.round.evidence.file import to_json
from btard.round.messages.bodies import Leave
from btard.round.roster import Roster
from btard.swarm.events.coordinator import BanVerified
from btard.swarm.manifest import RunManifest
from btard.swarm.pipeline_terms import PipelineTerms
from btard.tasks.registry import load_task
from tests.coordinator.pipeline.test_bans import Shown
from tests.coordinator.swarm import manifest
from tests.coordinator.test_pipeline_terms import TERMS

KEYS = [IdentityKey.from_seed(bytes([number + 1]) * 32) for number in range(8)]
PEERS = tuple(key.peer_id for key in KEYS)
STAGE, LIAR = 1, 3
"""The liar is the second of four replicas of the second stage, whose seats are 1, 3, 5 and 7."""


@cache
def run_of_replicas() -> RunManifest:
    task = load_task("gpt", "tiny")
    terms = PipelineTerms(**{**TERMS, "blocks": (1, 1), "replicas": 4, "tau": 0.1, "check": "drawn"})
    fields = {"pipeline": terms.model_dump(), "dimension": numbers_of(cut_of(terms, task))}
    return manifest(task="gpt", total_steps=10, batch_size=2, fingerprint=task.fingerprint, peers=8, **fields)


@cache
def builder() -> StageBuilder:
    return StageBuilder(run_of_replicas(), load_task("gpt", "tiny"))


def seating(number: int = 1) -> Seating:
    return Seating(run_of_replicas().run, number, 0, PEERS, (DRAWN,) * 2)


def evidence_of(
    accused: int = LIAR, *, stage: int = STAGE, number: int = 1, offence: Offence = Offence.LOTTERY
) -> bytes:
    """Return the proof that a replica has banned itself by the lottery."""
    nonce, copies = round_nonce(seating(number).messages_run, stage), tuple(sorted(seating(number).copies(STAGE)))
    rules = replace(builder().rules(seating(number), STAGE), nonce=nonce)
    said = Envelope.sign(
        KEYS[accused], run=rules.run, step=2, kind=MessageKind.LEAVE, body=Leave(LeaveReason.LOTTERY).encode()
    )
    scene = Scene(Roster(2, copies, frozenset(), bytes(32)), 0, copies)
    return to_json(Evidence(offence, PEERS[accused], rules, scene, (said,)))


def known(*seatings: Seating) -> dict[bytes, Seating]:
    return {each.messages_run: each for each in seatings}


def test_evidence_of_a_round_is_of_a_stage_and_a_seating() -> None:
    proof, where = check_proof(evidence_of(), known(seating(2), seating(1)), builder())
    assert (proof.peer, proof.stage, proof.step, proof.offence) == (PEERS[LIAR], STAGE, 2, Offence.LOTTERY)
    assert where.number == 1


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"number": 2}, "has not seated so"),
        ({"accused": LIAR - 1}, "has not seated so"),
        ({"stage": 0}, "has not seated so"),
        ({"stage": 2}, "rounds that this run has not"),
    ],
    ids=["another seating", "a peer of another stage", "the rounds of another stage", "no such stage"],
)
def test_evidence_of_other_rounds_proves_nothing(changes: dict[str, int], fault: str) -> None:
    with pytest.raises(Malformed, match=fault):
        check_proof(evidence_of(**changes), known(seating(1)), builder())


def test_evidence_that_does_not_hold_proves_nothing() -> None:
    with pytest.raises(Malformed, match="do not contradict"):
        check_proof(evidence_of(offence=Offence.EQUIVOCATION), known(seating(1)), builder())


class Court:
    """The coordinator's part, without a network."""

    def __init__(self, directory: RunDirectory) -> None:
        self.shown, self.log = Shown(), []
        self.usher = Usher(UsherPlan(run_of_replicas().run, 2, replicas=4))
        self.usher.seating = seating()
        self.bans = StageBans(builder(), self.shown, directory, self, self.usher, lambda: None)  # type: ignore[arg-type]
        self.bans.seated(seating())

    def write(self, event: object) -> None:
        self.log.append(event)

    async def tell(self, teller: int, data: bytes, accused: int = LIAR) -> bool:
        """Let a peer tell of a ban; returns whether the accused is banned now."""
        self.bans.hear(PEERS[teller], self.shown.show(PEERS[teller], data, PEERS[accused]))
        await self.bans.look()
        return PEERS[accused] in self.usher.banned


async def test_a_ban_counts_once_most_replicas_tell_of_it(directory: RunDirectory) -> None:
    court, proof = Court(directory), evidence_of()
    told = [await court.tell(teller, proof) for teller in (1, 5, 5, 0, 2)]
    assert told == [False] * 5 and court.shown.asked == [], "two replicas of the stage, and peers of another one"
    assert await court.tell(7, proof)
    (event,) = court.log
    assert isinstance(event, BanVerified) and event.offence == "LOTTERY"
    assert event.basis == "by what the replicas of its stage have signed"
    assert Court(directory).usher.banned == {PEERS[LIAR]}, "a restart forgets it"


async def test_proofs_that_hold_are_not_held_against_anybody(directory: RunDirectory) -> None:
    court, tellers = Court(directory), (1, 5, 7)
    for teller in tellers:
        for number in range(MOST_PROOFS - 1):
            court.bans.hear(PEERS[teller], court.shown.show(PEERS[teller], str(number).encode(), PEERS[0]))
    assert [await court.tell(teller, evidence_of()) for teller in tellers] == [False, False, True]
    asked = len(court.shown.asked)
    assert [court.bans._told[PEERS[teller]] for teller in tellers] == [MOST_PROOFS - 1] * 3
    court.bans.hear(PEERS[5], court.shown.show(PEERS[5], evidence_of() + b" "))
    await court.bans.look()
    assert len(court.shown.asked) == asked, "a banned peer is looked at again"


async def test_most_replicas_cannot_ban_without_a_proof(directory: RunDirectory) -> None:
    court = Court(directory)
    for teller in (1, 5, 7):
        assert not await court.tell(teller, evidence_of(number=2))
    assert court.shown.asked, "nobody has looked at it"
    assert not court.usher.banned and not court.log
