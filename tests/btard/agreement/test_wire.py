"""Packages survive the wire, and bytes of strangers build nothing that is not one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btard.agreement.messages import (
    NOTHING,
    TWO_THINGS,
    Endorsement,
    Farewell,
    Package,
    Spoken,
    VectorCertificate,
    VectorVote,
)
from btard.agreement.wire import MOST_OF_FAREWELL, pack, unpack
from btard.identity import Malformed
from btard.identity.codec import encode
from tests.btard.agreement.model import peers, statement

MEMBERS = peers(5)
LIMIT = 1 << 16
SIGNATURE = bytes(64)
VOTE = VectorVote(MEMBERS[1], bytes(32), SIGNATURE)
VECTOR = (bytes(32), NOTHING, TWO_THINGS, bytes([1]) * 32, NOTHING)
CERTIFICATE = VectorCertificate(tuple(zip(MEMBERS, VECTOR, strict=True)), (VOTE,))
FULL = Package(
    (statement(MEMBERS[0], b"a report"), statement(MEMBERS[4], b"")),
    CERTIFICATE,
    (Endorsement(MEMBERS[2], (Spoken(MEMBERS[0], bytes(32)), Spoken(None, bytes([2]) * 32)), SIGNATURE),),
    (VOTE,),
    (Spoken(MEMBERS[3], bytes(32)),),
)


PARTED = replace(FULL, certificate=replace(CERTIFICATE, farewells=(Farewell(MEMBERS[3], b"bye"),)))


@pytest.mark.parametrize("package", [Package(), FULL, PARTED])
def test_a_package_survives_the_wire(package: Package) -> None:
    assert unpack(pack(package, MEMBERS), MEMBERS, limit=LIMIT) == package


def test_a_package_about_strangers_is_refused() -> None:
    with pytest.raises(Malformed):
        unpack(pack(FULL, MEMBERS), MEMBERS[:4], limit=LIMIT)


def certified(*fields: object) -> bytes:
    """Return a package of a certificate alone, of these fields."""
    return encode([[], [*fields], [], [], [[], []]])


VOTES = [[1, bytes(32), SIGNATURE]]


@pytest.mark.parametrize("fields", [(), ([[3, b"bye"]],), ([[0, b""], [4, bytes(MOST_OF_FAREWELL)]],)])
def test_a_certificate_has_two_fields_or_three(fields: tuple[object, ...]) -> None:
    data = certified(list(VECTOR), VOTES, *fields)
    assert pack(unpack(data, MEMBERS, limit=LIMIT), MEMBERS) == data


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param((list(VECTOR),), id="no votes"),
        pytest.param((list(VECTOR), VOTES, []), id="no farewells, written"),
        pytest.param((list(VECTOR), VOTES, [[3, b"bye"]], []), id="a fourth field"),
        pytest.param((list(VECTOR), VOTES, [[5, b"bye"]]), id="a stranger's"),
        pytest.param((list(VECTOR), VOTES, [[3]]), id="without the message"),
        pytest.param((list(VECTOR), VOTES, [[3, bytes(MOST_OF_FAREWELL + 1)]]), id="too long"),
        pytest.param((list(VECTOR), VOTES, [[3, b"bye"]] * 6), id="more than members"),
    ],
)
def test_malformed_certificates_are_refused(fields: tuple[object, ...]) -> None:
    with pytest.raises(Malformed):
        unpack(certified(*fields), MEMBERS, limit=LIMIT)


@pytest.mark.parametrize("whole", [FULL, PARTED], ids=["without farewells", "with farewells"])
@given(place=st.integers(0, 2**32), changed=st.binary(max_size=40))
def test_other_bytes_are_refused_or_canonical(whole: Package, place: int, changed: bytes) -> None:
    data = bytearray(pack(whole, MEMBERS))
    at = place % len(data)
    data[at : at + len(changed)] = changed
    try:
        package = unpack(bytes(data), MEMBERS, limit=LIMIT)
    except Malformed:
        return
    assert pack(package, MEMBERS) == bytes(data)
