"""What stages send is signed, canonical and bounded; what strangers and liars send is dropped."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from btard.hashing import digest
from btard.identity import IdentityKey, Malformed
from btard.pipeline.machine.inbox import StageInbox
from btard.pipeline.machine.messages import StageHeader, StageMessage, StageMessageKind, from_payload, to_payload

KEYS = [IdentityKey.from_seed(bytes([number]) * 32) for number in range(3)]
ROSTER = tuple(key.peer_id for key in KEYS)
RUN = bytes(16)
NUMBERS = to_payload(torch.arange(6.0))


def message(kind: StageMessageKind = StageMessageKind.ACTIVATION, *, step: int = 4, **how) -> StageMessage:
    given = {"stage": 1, "micro_batch": 0, "payload": NUMBERS, "attempt": 0, "run": RUN, **how}
    place = (step, given.pop("attempt"))
    return StageMessage.sign(KEYS[1], given.pop("run"), place, kind, **given)


def inbox() -> StageInbox:
    return StageInbox(RUN, ROSTER, 2, lambda kind, stage: (24, 24), step=4)


def test_numbers_come_back_as_they_were() -> None:
    tensor = torch.randn(2, 3)
    assert torch.equal(from_payload(to_payload(tensor), (2, 3)), tensor)
    assert from_payload(b"", (-1,)).shape == (0,)


def test_a_message_comes_back_as_it_was() -> None:
    sent = message()
    read = StageMessage.decode(sent.encode())
    assert read == sent
    read.verify(ROSTER[1])
    with pytest.raises(Malformed, match="does not verify"):
        read.verify(ROSTER[2])


@pytest.mark.parametrize(
    "change",
    [{"step": 5}, {"attempt": 1}, {"kind": StageMessageKind.GRADIENT}, {"micro_batch": 1}, {"run": bytes([1] * 16)}],
)
def test_the_signature_covers_every_field(change: dict) -> None:
    sent = message()
    with pytest.raises(Malformed, match="does not verify"):
        replace(sent, header=replace(sent.header, **change)).verify(ROSTER[1])


def test_other_numbers_than_the_signed_ones_are_refused() -> None:
    with pytest.raises(Malformed, match="not those that were signed"):
        StageMessage.decode(replace(message(), payload=NUMBERS[:-1] + b"\x01").encode())


def test_bytes_that_are_not_canonical_are_refused() -> None:
    data = message().encode()
    for wrong in (data[:-1], data + b"\0", b"", b"\xc0", b"\x93" + data[1:5]):
        with pytest.raises(Malformed):
            StageMessage.decode(wrong)
    with pytest.raises(Malformed):
        StageMessage.decode(data, most=23)
    with pytest.raises(Malformed):
        StageHeader.decode(replace(message().header, kind=99).encode())  # type: ignore[arg-type]


def test_an_inbox_takes_a_message_once() -> None:
    box, data = inbox(), message().encode()
    assert box.accept(ROSTER[1], data) and not box.accept(ROSTER[1], data)
    assert box.find(0, StageMessageKind.ACTIVATION, 1) == message()
    other = message(payload=to_payload(torch.ones(6)))
    assert not box.accept(ROSTER[1], other.encode()), "of two messages of one author the first counts"
    assert box.find(0, StageMessageKind.ACTIVATION, 1) == message()


def test_an_inbox_holds_this_step_and_the_next() -> None:
    box = inbox()
    filed = [box.accept(ROSTER[1], message(step=step).encode()) for step in (3, 4, 5, 6)]
    assert [found and found.header.step for found in filed] == [None, 4, 5, None]
    box.begin(5)
    assert box.find(0, StageMessageKind.ACTIVATION, 1) == message(step=5)
    assert len(box._held) == 1


@pytest.mark.parametrize(
    "how",
    [
        {"run": bytes([1] * 16)},
        {"stage": 0},
        {"stage": 7},
        {"micro_batch": 2},
        {"payload": NUMBERS[:20]},
        {"payload": NUMBERS + bytes(4)},
        {"kind": StageMessageKind.NORMS, "micro_batch": 1},
    ],
)
def test_an_inbox_refuses_what_no_honest_stage_sends(how: dict) -> None:
    with pytest.raises(Malformed):
        inbox().accept(ROSTER[1], message(**how).encode())


def test_an_inbox_refuses_a_forged_signature() -> None:
    forged = replace(message(), signature=bytes(64))
    assert digest(forged.payload) == forged.header.payload
    with pytest.raises(Malformed, match="does not verify"):
        inbox().accept(ROSTER[1], forged.encode())


def test_what_a_message_was_computed_from_is_signed() -> None:
    def computed(source: StageMessage, attached: bytes | None = None) -> bytes:
        kind = StageMessageKind.ACTIVATION
        sent = StageMessage.sign(KEYS[1], RUN, (4, 0), kind, 1, 0, NUMBERS, source=source)
        return (sent if attached is None else replace(sent, attached=attached)).encode()

    def given(**how: int) -> StageMessage:
        place = (how.get("step", 4), how.get("attempt", 0))
        kind = StageMessageKind(how.get("kind", StageMessageKind.ACTIVATION))
        return StageMessage.sign(KEYS[how.get("key", 0)], RUN, place, kind, 0, how.get("number", 0), NUMBERS[::-1])

    other = StageMessage.sign(KEYS[0], RUN, (4, 0), StageMessageKind.ACTIVATION, 0, 0, NUMBERS)
    assert inbox().accept(ROSTER[1], computed(given())) is not None
    for wrong in (
        computed(given(step=3)),
        computed(given(attempt=1)),
        computed(given(number=1)),
        computed(given(kind=StageMessageKind.NORMS)),
        computed(given(key=2)),
        computed(given(), other.signed.encode()),
        computed(given(), b""),
        computed(given(), b"x"),
        replace(message(StageMessageKind.NORMS), attached=other.signed.encode()).encode(),
    ):
        with pytest.raises(Malformed):
            inbox().accept(ROSTER[1], wrong)
