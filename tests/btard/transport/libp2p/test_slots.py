"""Slots for large answers: whose they are, and how much memory their bytes may take."""

from __future__ import annotations

from btard.identity import IdentityKey
from btard.transport.libp2p.slots import Slots

PEERS = [IdentityKey.from_seed(bytes([i]) * 32).peer_id for i in range(6)]


def never() -> None:
    raise AssertionError("nobody is displaced here")


def test_each_peer_has_slots_of_its_own() -> None:
    slots = Slots(per_peer=2, total=None, most_bytes=100)
    for peer in PEERS:
        assert [slots.take(peer, never) is not None for _ in range(3)] == [True, True, False]


def test_strangers_have_some_together_and_one_each() -> None:
    slots = Slots(per_peer=1, total=3, most_bytes=100)
    taken = [slots.take(peer, never) for peer in PEERS]
    assert [slot is not None for slot in taken] == [True] * 3 + [False] * 3
    assert taken[0] is not None
    slots.free(taken[0])
    slots.free(taken[0])
    assert slots.take(PEERS[1], never) is None
    assert slots.take(PEERS[5], never) is not None
    assert slots.take(PEERS[4], never) is None


def test_an_answer_that_many_read_is_counted_once() -> None:
    slots = Slots(per_peer=1, total=None, most_bytes=10)
    payload = bytes(10)
    for number, peer in enumerate(PEERS):
        slot = slots.take(peer, never)
        assert slot is not None
        slots.fill(slot, memoryview(payload) if number % 2 else payload)
    assert slots.held == 10


def test_the_oldest_answers_make_room_for_new_ones() -> None:
    slots, displaced = Slots(per_peer=1, total=None, most_bytes=25), list[int]()
    for number, peer in enumerate(PEERS[:4]):
        slot = slots.take(peer, lambda number=number: displaced.append(number))
        assert slot is not None
        slots.fill(slot, bytearray(10))
    assert displaced == [0, 1]
    assert slots.held == 20 and len(slots) == 2
    last = slots.take(PEERS[4], never)
    assert last is not None
    slots.fill(last, bytes(1000))
    assert displaced == [0, 1, 2, 3] and slots.held == 1000
    slots.free(last)
    assert slots.held == 0


def test_a_peer_that_waits_for_its_answer_is_not_displaced() -> None:
    slots = Slots(per_peer=1, total=None, most_bytes=10)
    assert slots.take(PEERS[0], never) is not None
    slot = slots.take(PEERS[1], never)
    assert slot is not None
    slots.fill(slot, bytes(1000))
    assert len(slots) == 2
