"""Seatings, claims, notes, stances and reports are signed where they count, canonical and bounded."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from btard.identity import IdentityKey, Malformed
from btard.identity.codec import encode
from btard.pipeline.seats.report import StepReport
from btard.pipeline.seats.seating import DRAWN, Seating
from btard.pipeline.seats.statements import MAX_BANS, NoteKind, SeatNote, SeatPhase, ShownBan, Stance, StateClaim
from btard.swarm.questions import Directory

KEYS = [IdentityKey.from_seed(bytes([number + 1]) * 32) for number in range(3)]
COORDINATOR = KEYS[2]
RUN = bytes(range(16))
SEATS = tuple(key.peer_id for key in KEYS[:2])
DIRECTORY = Directory({SEATS[0]: ("/ip4/127.0.0.1/tcp/7",)})
SEATING = Seating(RUN, 3, 12, SEATS, (DRAWN, bytes([7]) * 32), False, DIRECTORY)
CLAIM = StateClaim(RUN, 3, 1, 14, bytes([9]) * 32)


def test_a_seating_comes_back_as_it_was() -> None:
    read = Seating.decode(SEATING.sign(COORDINATOR), RUN, COORDINATOR.peer_id)
    assert read == SEATING and read.directory.addresses == DIRECTORY.addresses
    assert [read.seat_of(key.peer_id) for key in KEYS] == [0, 1, None]
    assert (read.stages, read.replicas, read.pipeline(0), read.pipeline_run(0)) == (2, 1, SEATS, read.messages_run)
    assert (read.keeper(0), read.keeper(1)) == (1, 0)


def test_seats_are_numbered_pipeline_by_pipeline() -> None:
    peers = tuple(IdentityKey.from_seed(bytes([number + 1]) * 32).peer_id for number in range(8))
    beside = replace(SEATING, seats=peers)
    read = Seating.decode(beside.sign(COORDINATOR), RUN, COORDINATOR.peer_id)
    assert (read.stages, read.replicas) == (2, 4)
    assert [(read.replica_of(seat), read.stage_of(seat)) for seat in (0, 1, 5)] == [(0, 0), (0, 1), (2, 1)]
    assert read.pipeline(2) == peers[4:6] and read.copies(1) == peers[1::2]
    assert len({read.messages_run, read.notes_run, *map(read.pipeline_run, range(4))}) == 6
    assert read.keeper(3) is None


def test_a_seating_of_another_peer_is_refused() -> None:
    with pytest.raises(Malformed, match="has not signed"):
        Seating.decode(SEATING.sign(KEYS[0]), RUN, COORDINATOR.peer_id)


def test_a_seating_of_another_run_is_refused() -> None:
    with pytest.raises(Malformed, match="another run"):
        Seating.decode(SEATING.sign(COORDINATOR), bytes(16), COORDINATOR.peer_id)


@pytest.mark.parametrize(
    "wrong",
    [
        {"seats": (SEATS[0], SEATS[0])},
        {"seats": (), "states": ()},
        {"states": ()},
        {"states": (DRAWN,) * 3},
        {"seats": (*SEATS, COORDINATOR.peer_id)},
        {"number": 0},
    ],
)
def test_a_seating_needs_one_peer_for_each_stage(wrong: dict) -> None:
    with pytest.raises(Malformed):
        Seating.decode(replace(SEATING, **wrong).sign(COORDINATOR), RUN, COORDINATOR.peer_id)


def test_messages_of_two_seatings_have_two_names() -> None:
    assert SEATING.messages_run != replace(SEATING, number=4).messages_run
    assert len(SEATING.messages_run) == 16


@pytest.mark.parametrize("change", [{"number": 4}, {"seat": 0}, {"step": 15}, {"state": DRAWN}, {"run": bytes(16)}])
def test_the_signature_of_a_claim_covers_all_of_it(change: dict) -> None:
    claim = CLAIM.signed(KEYS[1])
    claim.verify(SEATS[1])
    with pytest.raises(Malformed, match="does not verify"):
        replace(claim, **change).verify(SEATS[1])
    with pytest.raises(Malformed, match="does not verify"):
        claim.verify(SEATS[0])


@pytest.mark.parametrize("kind", list(NoteKind))
def test_a_note_comes_back_as_it_was(kind: NoteKind) -> None:
    of_state = kind in (NoteKind.CLAIM, NoteKind.KEPT)
    note = SeatNote(kind, 3, CLAIM.signed(KEYS[1]) if of_state else None)
    assert SeatNote.decode(note.encode()) == note
    other = SeatNote(kind, 3, None if of_state else CLAIM.signed(KEYS[1]))
    with pytest.raises(Malformed, match="names one"):
        SeatNote.decode(other.encode())


def test_a_stance_comes_back_as_it_was() -> None:
    bans = (ShownBan(SEATS[0], bytes([8]) * 32),)
    stance = Stance(3, SeatPhase.TRAINING, 14, (DRAWN, bytes([7]) * 32), (CLAIM.signed(KEYS[1]),), (b"r",), bans, SEATS)
    assert Stance.decode(stance.encode()) == stance


def test_bytes_that_are_not_canonical_are_refused() -> None:
    for data in (
        SEATING.sign(COORDINATOR),
        SeatNote(NoteKind.READY, 3).encode(),
        Stance(3, SeatPhase.READY, 1).encode(),
    ):
        for wrong in (data[:-1], data + b"\0", b"", b"\xc0", encode([1, 2])):
            for read in (lambda d: Seating.decode(d, RUN, COORDINATOR.peer_id), SeatNote.decode, Stance.decode):
                with pytest.raises(Malformed):
                    read(wrong)


def test_a_stance_shows_a_bounded_number_of_states() -> None:
    states = [bytes([n]) * 32 for n in range(40)]
    assert len(Stance.decode(Stance(1, SeatPhase.WAITING, 0, tuple(states)).encode()).states) == 16
    crowded = encode([1, 0, 0, states, [], [], [], [], []])
    with pytest.raises(Malformed):
        Stance.decode(crowded)


def test_a_stance_shows_a_proof_of_each_ban() -> None:
    ban = ShownBan(SEATS[0], bytes(32))
    assert len(Stance.decode(Stance(1, SeatPhase.WAITING, 0, bans=(ban,) * 20).encode()).bans) == MAX_BANS
    assert len(Stance.decode(Stance(1, SeatPhase.WAITING, 0, left_out=SEATS * 20).encode()).left_out) == MAX_BANS
    for liars, proofs in (([SEATS[0]], []), ([b"x" * 38], [bytes(32)]), ([SEATS[0]] * 9, [bytes(32)] * 9)):
        with pytest.raises(Malformed):
            Stance.decode(encode([1, 0, 0, [], [], [], liars, proofs, []]))
    for left_out in ([b"x" * 38], [SEATS[0]] * 9):
        with pytest.raises(Malformed):
            Stance.decode(encode([1, 0, 0, [], [], [], [], [], left_out]))
    Stance.decode(encode([1, 0, 0, [], [], [], [], [], [SEATS[0]]]))


def report(**changes) -> StepReport:
    given = {"number": 3, "seat": 1, "step": 14, "seconds": 0.5, "loss": 2.25, "sent_bytes": 10, "received_bytes": 20}
    return StepReport(**{"run": RUN, "checks": 2, "alarm": None, **given, **changes})


@pytest.mark.parametrize("alarm", [None, 0, 3])
def test_a_report_comes_back_as_it_was(alarm: int | None) -> None:
    told = report(alarm=alarm)
    assert StepReport.decode(told.signed(KEYS[1]), SEATS[1]) == told


def test_a_report_of_another_peer_is_refused() -> None:
    with pytest.raises(Malformed, match="does not verify"):
        StepReport.decode(report().signed(KEYS[0]), SEATS[1])


@pytest.mark.parametrize("seconds", [-1.0, math.nan, math.inf])
def test_a_report_of_no_time_is_refused(seconds: float) -> None:
    with pytest.raises(Malformed):
        StepReport.decode(report(seconds=seconds).signed(KEYS[1]), SEATS[1])
