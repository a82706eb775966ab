"""Packages survive the wire, and bytes of strangers build nothing that is not one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btard.agreement.messages import NOTHING, TWO_THINGS, Endorsement, Package, Spoken, VectorCertificate, VectorVote
from btard.agreement.wire import pack, unpack
from btard.identity import Malformed
from tests.btard.agreement.model import peers, statement

MEMBERS = peers(5)
LIMIT = 1 << 16
SIGNATURE = bytes(64)
VOTE = VectorVote(MEMBERS[1], bytes(32), SIGNATURE)
VECTOR = (bytes(32), NOTHING, TWO_THINGS, bytes([1]) * 32, NOTHING)
FULL = Package(
    (statement(MEMBERS[0], b"a report"), statement(MEMBERS[4], b"")),
    VectorCertificate(tuple(zip(MEMBERS, VECTOR, strict=True)), (VOTE,)),
    (Endorsement(MEMBERS[2], (Spoken(MEMBERS[0], bytes(32)), Spoken(None, bytes([2]) * 32)), SIGNATURE),),
    (VOTE,),
    (Spoken(MEMBERS[3], bytes(32)),),
)


@pytest.mark.parametrize("package", [Package(), FULL])
def test_a_package_survives_the_wire(package: Package) -> None:
    assert unpack(pack(package, MEMBERS), MEMBERS, limit=LIMIT) == package


def test_a_package_about_strangers_is_refused() -> None:
    with pytest.raises(Malformed):
        unpack(pack(FULL, MEMBERS), MEMBERS[:4], limit=LIMIT)


@given(st.integers(0, 2**32), st.binary(max_size=40))
def test_other_bytes_are_refused_or_canonical(place: int, changed: bytes) -> None:
    data = bytearray(pack(FULL, MEMBERS))
    at = place % len(data)
    data[at : at + len(changed)] = changed
    try:
        package = unpack(bytes(data), MEMBERS, limit=LIMIT)
    except Malformed:
        return
    assert pack(package, MEMBERS) == bytes(data)
