"""The usher believes signed claims only, and seats those that are here."""

from __future__ import annotations

from dataclasses import replace
from math import inf

from btard.identity import IdentityKey, PeerId
from btard.pipeline.seats.seating import DRAWN, Seating
from btard.pipeline.seats.statements import SeatPhase, Stance, StateClaim
from btard.pipeline.seats.usher import Errand, Usher, UsherPlan

KEYS = [IdentityKey.from_seed(bytes([number + 1]) * 32) for number in range(5)]
PEERS = [key.peer_id for key in KEYS]
RUN = bytes(range(16))
MADDR = ("/ip4/127.0.0.1/tcp/7",)


def state(stage: int, step: int) -> bytes:
    return bytes([stage, step]) * 16


def claim(stage: int, step: int, key: IdentityKey | None = None, **changes) -> StateClaim:
    return replace(StateClaim(RUN, 1, stage, step, state(stage, step)), **changes).signed(key or KEYS[stage])


def waiting(*numbers: int) -> dict[PeerId, tuple[str, ...]]:
    return {PEERS[number]: MADDR for number in numbers}


def usher_of(*here: int) -> tuple[Usher, Seating]:
    """Return an usher of two stages that has seated the first two peers."""
    usher = Usher(UsherPlan(RUN, 2, silent_seconds=3.0, load_seconds=60.0))
    seating = usher.look(0.0, waiting(*here))
    assert seating is not None
    return usher, seating


def tell(usher: Usher, now: float, number: int, *steps: int, phase: SeatPhase = SeatPhase.TRAINING) -> None:
    """A peer with a seat tells that it holds its own state before these steps, and that of the other stage."""
    both = [(stage, step) for step in steps for stage in range(2)]
    stance = Stance(1, phase, max(steps, default=0), tuple(state(*place) for place in both))
    usher.hear(now, PEERS[number], replace(stance, claims=tuple(claim(*place) for place in both)))


def test_the_first_seating_waits_for_enough_peers() -> None:
    usher = Usher(UsherPlan(RUN, 2))
    assert usher.look(0.0, waiting(0)) is None
    seating = usher.look(1.0, waiting(0, 1, 2))
    assert seating is not None
    assert (seating.number, seating.step, seating.seats, seating.states) == (1, 0, tuple(PEERS[:2]), (DRAWN,) * 2)
    assert set(seating.directory.addresses) == set(PEERS[:3])


def test_a_silent_peer_is_replaced_by_one_that_waits() -> None:
    usher, _ = usher_of(0, 1, 2)
    tell(usher, 1.0, 0, 4)
    tell(usher, 1.0, 1, 4)
    usher.hear(4.5, PEERS[2], Stance(1, SeatPhase.WAITING, 0))
    tell(usher, 4.5, 0, 4)
    seating = usher.look(4.6, waiting(0, 2))
    assert seating is not None
    assert (seating.number, seating.step) == (2, 4)
    assert seating.seats == (PEERS[0], PEERS[2])
    assert seating.states == (state(0, 4), state(1, 4))


def test_training_waits_if_nobody_can_take_the_seat() -> None:
    usher, _ = usher_of(0, 1)
    tell(usher, 1.0, 0, 4)
    assert usher.lost(9.0) == [0, 1]
    assert usher.look(9.0, waiting(0)) is None


def test_a_peer_whose_connection_is_closed_is_lost_at_once() -> None:
    usher, _ = usher_of(0, 1)
    tell(usher, 1.0, 0)
    tell(usher, 1.0, 1)
    assert usher.lost(1.1) == []
    usher.gone(PEERS[1])
    assert usher.lost(1.1) == [1]


def test_claims_that_are_not_signed_count_nothing() -> None:
    usher, _ = usher_of(0, 1)
    for wrong in (
        claim(1, 6, KEYS[0]),
        claim(1, 6, number=2),
        claim(1, 6, run=bytes(16)),
        claim(1, 0),
        replace(claim(1, 6), seat=9).signed(KEYS[1]),
        claim(1, 6, state=DRAWN),
    ):
        stance = Stance(1, SeatPhase.TRAINING, 6, (state(0, 6), state(1, 6)), (claim(0, 6), wrong))
        usher.hear(1.0, PEERS[0], stance)
        assert usher.final_states() == (0, (DRAWN,) * 2)
    usher.hear(1.0, PEERS[0], replace(stance, claims=(claim(0, 6), claim(1, 6))))
    assert usher.final_states() == (6, (state(0, 6), state(1, 6)))


def test_a_state_that_nobody_shows_is_not_gone_back_to() -> None:
    usher, _ = usher_of(0, 1)
    tell(usher, 1.0, 0, 4)
    stance = Stance(1, SeatPhase.TRAINING, 6, (state(0, 6),), (claim(0, 6), claim(1, 6)))
    usher.hear(1.0, PEERS[1], stance)
    assert usher.final_states()[0] == 4


def test_one_standstill_moves_nobody_the_next_moves_each_in_turn() -> None:
    usher, first = usher_of(0, 1, 2, 3)
    seats, number = [first.seats], 1
    for _ in range(3):
        for each in range(4):
            phase = SeatPhase.STALLED if PEERS[each] in seats[-1] else SeatPhase.WAITING
            usher.hear(float(number), PEERS[each], Stance(number, phase, 0))
        seating = usher.look(float(number), waiting(0, 1, 2, 3))
        assert seating is not None
        seats.append(seating.seats)
        number = seating.number
    assert seats[1] == seats[0]
    assert seats[2][0] != seats[1][0] and seats[2][1] == seats[1][1]
    assert seats[3][0] == seats[2][0] and seats[3][1] != seats[2][1]


def test_a_peer_that_does_not_load_in_time_is_replaced() -> None:
    usher, _ = usher_of(0, 1, 2)
    for now in (1.0, 61.0):
        usher.hear(now, PEERS[0], Stance(1, SeatPhase.LOADING, 0))
        usher.hear(now, PEERS[1], Stance(1, SeatPhase.READY, 0))
        usher.hear(now, PEERS[2], Stance(1, SeatPhase.WAITING, 0))
        seating = usher.look(now, waiting(0, 1, 2))
        assert (seating is not None) == (now > 60)
    assert seating is not None and seating.seats == (PEERS[2], PEERS[1])


def test_a_banned_peer_gets_no_seat() -> None:
    usher, _ = usher_of(0, 1, 2, 3)
    for number in range(4):
        usher.hear(1.0, PEERS[number], Stance(1, SeatPhase.TRAINING, 0))
    usher.banned |= {PEERS[0], PEERS[2]}
    seating = usher.look(1.0, waiting(0, 1, 2, 3))
    assert seating is not None and seating.seats == (PEERS[3], PEERS[1])


def test_after_a_ban_all_go_back_behind_the_lie() -> None:
    usher, _ = usher_of(0, 1, 2)
    for number in range(2):
        tell(usher, 1.0, number, 2, 4)
    usher.hear(1.0, PEERS[2], Stance(1, SeatPhase.WAITING, 0))
    usher.ban(PEERS[1], 1, 3)
    seating = usher.look(1.0, waiting(0, 1, 2))
    assert seating is not None
    assert (seating.seats, seating.step) == ((PEERS[0], PEERS[2]), 2)


def test_behind_an_early_lie_is_the_beginning() -> None:
    usher, _ = usher_of(0, 1, 2)
    for number in range(2):
        tell(usher, 1.0, number, 4)
    usher.hear(1.0, PEERS[2], Stance(1, SeatPhase.WAITING, 0))
    usher.ban(PEERS[1], 1, 3)
    seating = usher.look(1.0, waiting(0, 1, 2))
    assert seating is not None and (seating.step, seating.states) == (0, (DRAWN,) * 2)


def test_a_lie_of_a_former_seating_is_no_reason_to_go_back() -> None:
    usher, _ = usher_of(0, 1, 2)
    for number in range(2):
        tell(usher, 1.0, number, 2, 4)
    usher.hear(1.0, PEERS[2], Stance(1, SeatPhase.WAITING, 0))
    usher.ban(PEERS[1], 0, 3)
    seating = usher.look(1.0, waiting(0, 1, 2))
    assert seating is not None and seating.step == 4


def test_without_an_older_state_the_newest_counts() -> None:
    usher, _ = usher_of(0, 1, 2)
    for number in range(2):
        tell(usher, 1.0, number, 2, 4)
    first = usher.seating
    assert first is not None
    usher.seating = replace(first, states=(state(0, 0), state(1, 0)))
    usher.hear(1.0, PEERS[2], Stance(1, SeatPhase.WAITING, 0))
    usher.ban(PEERS[1], 1, 1)
    seating = usher.look(1.0, waiting(0, 1, 2))
    assert seating is not None and seating.step == 4


def test_a_peer_that_has_the_state_already_comes_first() -> None:
    usher, _ = usher_of(0, 1, 2, 3)
    tell(usher, 1.0, 0, 4)
    tell(usher, 1.0, 1, 4)
    assert [usher.errand(place) for place in range(2)] == [Errand(n, 4, state(n, 4)) for n in range(2)]
    tell(usher, 5.0, 0, 4)
    usher.hear(5.0, PEERS[2], Stance(1, SeatPhase.WAITING, 0))
    usher.hear(5.0, PEERS[3], Stance(1, SeatPhase.WAITING, 0, (state(1, 4),)))
    seating = usher.look(5.0, waiting(0, 2, 3))
    assert seating is not None and seating.seats == (PEERS[0], PEERS[3])


def test_a_coordinator_started_anew_gives_peers_time_to_answer() -> None:
    _, seating = usher_of(0, 1)
    usher = Usher(UsherPlan(RUN, 2, silent_seconds=3.0), seating)
    assert usher.look(1000.0, waiting(0, 1, 2)) is None
    assert usher.lost(1002.0) == []
    assert usher.lost(1004.0) == [0, 1]


def test_a_trained_model_is_where_all_begin_and_begin_anew() -> None:
    """Its states can always be had from the coordinator, so nobody is sent for them, and their loss ends nothing."""
    first = (state(0, 0), state(1, 0))
    usher = Usher(UsherPlan(RUN, 2, silent_seconds=3.0, load_seconds=60.0, first=first))
    seating = usher.look(0.0, waiting(0, 1, 2, 3))
    assert seating is not None and seating.states == first
    usher.hear(0.0, PEERS[2], Stance(0, SeatPhase.LOADING, 0, ()))
    assert usher.errand(0) is None
    tell(usher, 1.0, 0, 4)
    tell(usher, 1.0, 1, 4)
    for number in (2, 3):
        usher.hear(6.0, PEERS[number], Stance(0, SeatPhase.LOADING, 0, ()))
    anew = usher.look(6.0, waiting(2, 3))
    assert anew is not None and (anew.step, anew.states) == (0, first)


def test_most_replicas_of_a_stage_name_its_state() -> None:
    usher = Usher(UsherPlan(RUN, 1, silent_seconds=3.0, load_seconds=60.0, replicas=4))
    assert usher.look(0.0, waiting(0, 1, 2)) is None
    first = usher.look(0.0, waiting(0, 1, 2, 3, 4))
    assert first is not None and (first.seats, first.states) == (tuple(PEERS[:4]), (DRAWN,))
    false = bytes([9]) * 32
    for number, told in ((0, state(0, 4)), (1, state(0, 4)), (2, false)):
        claims = (claim(number, 4, state=told),)
        usher.hear(1.0, PEERS[number], Stance(1, SeatPhase.TRAINING, 4, (told,), claims))
    assert usher.final_states() == (0, (DRAWN,)), "two of four"
    usher.hear(1.0, PEERS[3], Stance(1, SeatPhase.TRAINING, 4, (), (claim(3, 4, state=state(0, 4)),)))
    assert usher.final_states() == (4, (state(0, 4),))
    usher.hear(1.0, PEERS[4], Stance(1, SeatPhase.WAITING, 0))
    usher.ban(PEERS[2], 1, inf)
    second = usher.look(1.0, waiting(0, 1, 2, 3, 4))
    assert second is not None and (second.step, second.states) == (4, (state(0, 4),))
    assert second.seats == (*PEERS[:2], PEERS[4], PEERS[3])


def test_a_standstill_moves_seats_of_its_own_pipeline() -> None:
    usher = Usher(UsherPlan(RUN, 1, silent_seconds=3.0, replicas=4))
    first = usher.look(0.0, waiting(0, 1, 2, 3, 4))
    assert first is not None
    for number in (1, 2):
        for each in range(5):
            phase = SeatPhase.STALLED if each == 2 else SeatPhase.TRAINING
            usher.hear(float(number), PEERS[each], Stance(number, phase, 0))
        seating = usher.look(float(number), waiting(0, 1, 2, 3, 4))
        assert seating is not None and seating.number == number + 1
    assert seating.seats == (*PEERS[:2], PEERS[4], PEERS[3])


def test_a_replica_that_most_have_left_out_loses_its_seat() -> None:
    usher = Usher(UsherPlan(RUN, 1, silent_seconds=3.0, replicas=4))
    assert usher.look(0.0, waiting(0, 1, 2, 3)) is not None

    def tell_left_out(now: float, tellers: tuple[int, ...], out: int) -> Seating | None:
        for number in range(5):
            left_out = (PEERS[out],) if number in tellers else ()
            phase = SeatPhase.WAITING if number == 4 else SeatPhase.TRAINING
            usher.hear(now, PEERS[number], Stance(1, phase, 0, left_out=left_out))
        return usher.look(now, waiting(*range(5)))

    assert tell_left_out(1.0, (0, 1), 2) is None, "two of four"
    assert tell_left_out(1.0, (0, 1, 2), 2) is None, "two of four, and the peer itself"
    usher.hear(1.0, PEERS[4], Stance(0, SeatPhase.WAITING, 0))
    alone = waiting(*range(4))
    for number in (0, 1, 3):
        usher.hear(1.0, PEERS[number], Stance(1, SeatPhase.TRAINING, 0, left_out=(PEERS[2],)))
    assert usher.look(1.0, alone) is None, "nobody is there in its place"
    second = tell_left_out(1.0, (0, 1, 3), 2)
    assert second is not None and second.seats == (*PEERS[:2], PEERS[4], PEERS[3])
    usher.banned.add(PEERS[0])
    for number in range(5):
        usher.hear(2.0, PEERS[number], Stance(2, SeatPhase.TRAINING, 0))
    third = usher.look(2.0, waiting(*range(5)))
    assert third is not None and third.seats[0] == PEERS[2], "there is no other one"


def test_a_run_does_not_wait_at_its_end_for_a_lost_replica() -> None:
    usher = Usher(UsherPlan(RUN, 1, silent_seconds=3.0, replicas=4))
    usher.look(0.0, waiting(0, 1, 2, 3))
    for number in range(4):
        usher.hear(1.0, PEERS[number], Stance(1, SeatPhase.TRAINING, 9))
    for number in range(3):
        assert not usher.is_finished(9.0), "half of them are lost"
        usher.hear(6.0, PEERS[number], Stance(1, SeatPhase.FINISHED, 10))
    assert not usher.is_finished(3.0), "the last one may finish, too"
    assert usher.is_finished(6.0), "it is silent"
    usher.hear(6.0, PEERS[2], Stance(0, SeatPhase.FINISHED, 10))
    assert not usher.is_finished(6.0), "one speaks of another seating"
