"""A peer takes seatings of the coordinator only, and keeps what honest peers can have made."""

from __future__ import annotations

from dataclasses import replace

from btard.identity import IdentityKey
from btard.pipeline.seats.occupant import BeginStep, KeepingPlan, KeepState, LoadStage, MakeState, Occupant, TellPeers
from btard.pipeline.seats.seating import DRAWN, Seating
from btard.pipeline.seats.statements import NoteKind, SeatNote, SeatPhase, StateClaim

KEYS = [IdentityKey.from_seed(bytes([number + 1]) * 32) for number in range(4)]
COORDINATOR = KEYS[3]
PEERS = tuple(key.peer_id for key in KEYS[:3])
RUN = bytes(range(16))
SEATING = Seating(RUN, 1, 0, PEERS, (DRAWN,) * 3)
STATE = bytes([5]) * 32


def occupant(keep_every: int = 1) -> Occupant:
    """Return the peer of stage 1, which keeps the states of stage 0."""
    return Occupant(KeepingPlan(RUN, COORDINATOR.peer_id, 10, keep_every), KEYS[1])


def training(keep_every: int = 1) -> Occupant:
    one = occupant(keep_every)
    one.on_seating(SEATING.sign(COORDINATOR))
    one.on_loaded(1)
    for other in (0, 2):
        one.on_note(PEERS[other], SeatNote(NoteKind.READY, 1).encode())
    assert one.phase is SeatPhase.TRAINING
    return one


def claim(stage: int, step: int, **changes) -> StateClaim:
    return replace(StateClaim(RUN, 1, stage, step, STATE), **changes).signed(KEYS[stage])


def note(kind: NoteKind, told: StateClaim, number: int = 1) -> bytes:
    return SeatNote(kind, number, told).encode()


def test_only_a_newer_seating_of_the_coordinator_counts() -> None:
    one = occupant()
    assert one.on_seating(SEATING.sign(KEYS[0])) == []
    assert one.on_seating(b"nonsense") == []
    assert one.on_seating(SEATING.sign(COORDINATOR)) == [LoadStage(SEATING, 1)]
    assert one.on_seating(replace(SEATING, seats=PEERS[::-1]).sign(COORDINATOR)) == []
    assert one.phase is SeatPhase.LOADING


def test_no_step_begins_before_all_stages_are_ready() -> None:
    one = occupant()
    one.on_seating(SEATING.sign(COORDINATOR))
    ready = SeatNote(NoteKind.READY, 1).encode()
    assert one.on_note(PEERS[0], ready) == []
    assert one.on_loaded(1) == [TellPeers((PEERS[0], PEERS[2]), SeatNote(NoteKind.READY, 1))]
    assert one.on_note(KEYS[3].peer_id, ready) == [], "it has no seat"
    assert one.on_note(PEERS[2], SeatNote(NoteKind.READY, 2).encode()) == [], "it speaks of another seating"
    assert one.tick() == [TellPeers((PEERS[2],), SeatNote(NoteKind.READY, 1))]
    answer = TellPeers((PEERS[2],), SeatNote(NoteKind.READY_TOO, 1))
    assert one.on_note(PEERS[2], ready) == [answer, BeginStep(1, 0)]


def test_a_claim_is_kept_if_its_author_may_make_it() -> None:
    one = training()
    for sender, wrong in (
        (1, claim(0, 1)),
        (2, claim(0, 1)),
        (0, claim(2, 1)),
        (0, claim(0, 0)),
        (0, claim(0, 2)),
        (0, claim(0, 1, number=2)),
        (0, claim(0, 1, run=bytes(16))),
        (0, replace(claim(0, 1), state=DRAWN)),
        (2, claim(2, 1)),
    ):
        assert one.on_note(PEERS[sender], note(NoteKind.CLAIM, wrong)) == []
    assert one.on_note(PEERS[0], note(NoteKind.CLAIM, claim(0, 1))) == [KeepState(claim(0, 1), PEERS[0])]
    assert one.on_note(PEERS[0], note(NoteKind.CLAIM, claim(0, 1))) == [], "it is being fetched"
    told = TellPeers((PEERS[0], PEERS[2]), SeatNote(NoteKind.KEPT, 1, claim(0, 1)))
    assert one.on_kept(claim(0, 1)) == [told]
    again = TellPeers((PEERS[0],), SeatNote(NoteKind.KEPT, 1, claim(0, 1)))
    assert one.on_note(PEERS[0], note(NoteKind.CLAIM, claim(0, 1))) == [again]


def test_only_its_keeper_says_that_a_state_is_kept() -> None:
    one = training()
    one.on_step_over(1, 0)
    one.on_made(1, 1, STATE)
    one.on_step_over(1, 1)
    effects = one.on_made(1, 2, STATE)
    assert not any(isinstance(effect, BeginStep) for effect in effects), "the states before step 1 are not agreed"
    one.on_note(PEERS[0], note(NoteKind.CLAIM, claim(0, 1)))
    one.on_kept(claim(0, 1))
    assert one.on_note(PEERS[0], note(NoteKind.KEPT, claim(2, 1))) == []
    for sender in (0, 1):
        assert one.on_note(PEERS[sender], note(NoteKind.KEPT, claim(1, 1))) == []
    assert one.on_note(PEERS[2], note(NoteKind.KEPT, replace(claim(1, 1), state=DRAWN))) == []
    assert any(isinstance(effect, BeginStep) for effect in one.on_note(PEERS[2], note(NoteKind.KEPT, claim(1, 1))))


def test_states_are_made_every_n_th_step_and_at_the_end() -> None:
    one = training(keep_every=4)
    made = []
    for step in range(10):
        (effect, *_) = one.on_step_over(1, step)
        if isinstance(effect, MakeState):
            made.append(effect.step)
            one.phase = SeatPhase.TRAINING
    assert made == [4, 8, 10]


def test_a_stale_answer_of_the_driver_changes_nothing() -> None:
    one = training()
    assert one.on_step_over(2, 0) == one.on_step_over(1, 5) == one.on_made(1, 1, STATE) == []
    one.on_stalled(2)
    assert one.phase is SeatPhase.TRAINING
    one.on_stalled(1)
    assert one.phase is SeatPhase.STALLED and one.on_step_over(1, 0) == []


REPLICAS = Seating(RUN, 1, 0, tuple(key.peer_id for key in KEYS), (DRAWN,))


def beside() -> Occupant:
    """Return the second of four replicas of one stage, which is training."""
    one = occupant()
    one.on_seating(REPLICAS.sign(COORDINATOR))
    one.on_loaded(1)
    for other in (0, 2, 3):
        one.on_note(KEYS[other].peer_id, SeatNote(NoteKind.READY, 1).encode())
    assert one.phase is SeatPhase.TRAINING
    return one


def made(one: Occupant, step: int) -> list[object]:
    one.on_step_over(1, step - 1)
    return [effect for effect in one.on_made(1, step, STATE) if not isinstance(effect, TellPeers)]


def heard(one: Occupant, told: StateClaim, kind: NoteKind = NoteKind.CLAIM) -> list[object]:
    return list(one.on_note(KEYS[told.seat].peer_id, note(kind, told)))


def test_a_state_counts_once_most_replicas_hold_it() -> None:
    one = beside()
    assert made(one, 1) == [BeginStep(1, 1)]
    assert made(one, 2) == [], "the states before step 1 are not agreed"
    heard(one, claim(0, 1))
    heard(one, claim(0, 1))
    heard(one, claim(2, 1, state=bytes([6]) * 32))
    assert one.phase is SeatPhase.KEEPING, "two of four, and one that holds something else"
    heard(one, replace(claim(3, 1), state=DRAWN))
    assert one.phase is SeatPhase.KEEPING, "it is not signed"
    effects = heard(one, claim(3, 1))
    assert BeginStep(1, 2) in effects and not any(isinstance(effect, KeepState) for effect in effects)


def test_replicas_that_are_ahead_hold_nobody_up() -> None:
    one = beside()
    for other in (0, 2, 3):
        heard(one, claim(other, 1))
    assert made(one, 1) == [BeginStep(1, 1)]
    assert made(one, 2) == [BeginStep(1, 2)]


def test_a_replica_answers_with_its_own_state() -> None:
    one = beside()
    made(one, 1)
    answer = TellPeers((KEYS[0].peer_id,), SeatNote(NoteKind.KEPT, 1, claim(1, 1)))
    assert heard(one, claim(0, 1)) == [answer]
    assert heard(one, claim(0, 1), NoteKind.KEPT) == [], "an answer is answered"
    assert one.tick() == [
        TellPeers(tuple(KEYS[n].peer_id for n in (0, 2, 3)), SeatNote(NoteKind.CLAIM, 1, claim(1, 1)))
    ]
    heard(one, claim(2, 1), NoteKind.KEPT)
    assert one.tick() == [], "more than half hold it"
