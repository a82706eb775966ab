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
    Package,
    Spoken,
    VectorCertificate,
    VectorVote,
    VoteRound,
    vector_digest,
)
from btard.agreement.wire import pack, unpack
from btard.identity import Malformed
from btard.identity.codec import encode
from tests.btard.agreement.model import peers, statement

MEMBERS = peers(5)
LIMIT = 1 << 16
SIGNATURE = bytes(64)
VOTE = VectorVote(MEMBERS[1], VoteRound.FIRST, bytes(32), SIGNATURE)
VECTOR = (bytes(32), NOTHING, TWO_THINGS, bytes([1]) * 32, NOTHING)
NAMED = tuple(zip(MEMBERS, VECTOR, strict=True))
CERTIFYING = tuple(VectorVote(peer, VoteRound.SECOND, vector_digest(dict(NAMED)), SIGNATURE) for peer in MEMBERS[:3])
CERTIFICATE = VectorCertificate(NAMED, CERTIFYING)
FULL = Package(
    (statement(MEMBERS[0], b"a report"), statement(MEMBERS[4], b"")),
    CERTIFICATE,
    (Endorsement(MEMBERS[2], (Spoken(MEMBERS[0], bytes(32)), Spoken(None, bytes([2]) * 32)), SIGNATURE),),
    (VOTE, replace(VOTE, voter=MEMBERS[2]), replace(VOTE, round=VoteRound.SECOND)),
    (Spoken(MEMBERS[3], bytes(32)),),
)


@pytest.mark.parametrize("package", [Package(), FULL])
def test_a_package_survives_the_wire(package: Package) -> None:
    assert unpack(pack(package, MEMBERS), MEMBERS, limit=LIMIT) == package


def test_a_package_about_strangers_is_refused() -> None:
    with pytest.raises(Malformed):
        unpack(pack(FULL, MEMBERS), MEMBERS[:4], limit=LIMIT)


SIGNED = [[1, 3], [SIGNATURE, SIGNATURE]]


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param((list(VECTOR), 1), id="no votes"),
        pytest.param((list(VECTOR), 1, [], []), id="nobody's votes"),
        pytest.param((list(VECTOR), 1, *SIGNED, []), id="a fifth field"),
        pytest.param((list(VECTOR), 2, *SIGNED), id="a third round"),
        pytest.param((list(VECTOR)[1:], 1, *SIGNED), id="not of every member"),
        pytest.param((list(VECTOR), 1, [5], [SIGNATURE]), id="a stranger's"),
        pytest.param((list(VECTOR), 1, [1, 3], [SIGNATURE]), id="without a signature"),
    ],
)
def test_malformed_certificates_are_refused(fields: tuple[object, ...]) -> None:
    assert unpack(encode([[], [list(VECTOR), 1, *SIGNED], [], [], [[], []]]), MEMBERS, limit=LIMIT).certificate
    with pytest.raises(Malformed):
        unpack(encode([[], [*fields], [], [], [[], []]]), MEMBERS, limit=LIMIT)


@pytest.mark.parametrize(
    "votes",
    [
        pytest.param([[0, bytes(32), *SIGNED]] * 2, id="one vector twice"),
        pytest.param([[0, bytes([n]) * 32, *SIGNED] for n in range(4)], id="four vectors"),
        pytest.param([[2, bytes(32), *SIGNED]], id="a third round"),
        pytest.param([[0, bytes(32), [], []]], id="nobody's"),
    ],
)
def test_malformed_votes_are_refused(votes: list[object]) -> None:
    assert len(unpack(encode([[], None, [], [[0, bytes(32), *SIGNED]], [[], []]]), MEMBERS, limit=LIMIT).votes) == 2
    with pytest.raises(Malformed):
        unpack(encode([[], None, [], votes, [[], []]]), MEMBERS, limit=LIMIT)


@given(place=st.integers(0, 2**32), changed=st.binary(max_size=40))
def test_other_bytes_are_refused_or_canonical(place: int, changed: bytes) -> None:
    data = bytearray(pack(FULL, MEMBERS))
    at = place % len(data)
    data[at : at + len(changed)] = changed
    try:
        package = unpack(bytes(data), MEMBERS, limit=LIMIT)
    except Malformed:
        return
    assert pack(package, MEMBERS) == bytes(data)
