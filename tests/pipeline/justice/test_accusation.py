"""An accusation rests on what the accused has signed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from btard.identity import IdentityKey, Malformed
from btard.pipeline.justice.accusation import Accusation, Claim
from btard.pipeline.machine.messages import SignedHeader, StageMessage, StageMessageKind

KEYS = [IdentityKey.from_seed(bytes([number]) * 32) for number in range(3)]
ROSTER = tuple(key.peer_id for key in KEYS)


def sent(payload: bytes, *, number: int = 0, step: int = 4, kind: int = 1, key: int = 1) -> SignedHeader:
    place, said = (step, 0), StageMessageKind(kind)
    return StageMessage.sign(KEYS[key], bytes(16), place, said, 1, number, payload).signed


ALARM = StageMessage.sign(KEYS[2], bytes(16), (4, 0), StageMessageKind.ALARM, 2).header
ONE = sent(b"a")


def test_an_accusation_comes_back_as_it_was() -> None:
    for told in (Accusation(Claim.ACTIVATION, ONE), Accusation(Claim.TWO_FACED, ONE, sent(b"b"))):
        assert Accusation.decode(told.encode()) == told
        told.check(ALARM, ROSTER)


def test_two_faces_are_two_headers_for_one_place() -> None:
    for other in (ONE, sent(b"b", number=1), sent(b"b", step=3), sent(b"b", kind=2), sent(b"b", key=0), None):
        with pytest.raises(Malformed):
            Accusation(Claim.TWO_FACED, ONE, other).check(ALARM, ROSTER)


def test_nothing_else_is_an_accusation() -> None:
    for wrong in (
        Accusation(Claim.GRADIENT, ONE),
        Accusation(Claim.ACTIVATION, sent(b"a", step=5)),
        Accusation(Claim.ACTIVATION, sent(b"a", key=0)),
        Accusation(Claim.ACTIVATION, ONE, sent(b"b")),
        Accusation(Claim.ACTIVATION, replace(ONE, signature=bytes(64))),
    ):
        with pytest.raises(Malformed):
            wrong.check(ALARM, ROSTER)
    with pytest.raises(Malformed):
        Accusation(Claim.ACTIVATION, ONE).check(replace(ALARM, stage=1), ROSTER)
    for data in (b"", b"x", Accusation(Claim.ACTIVATION, ONE).encode()[:-1]):
        with pytest.raises(Malformed):
            Accusation.decode(data)
