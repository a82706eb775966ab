"""Peer ids: bytes and base58 go round, libp2p's own reading agrees, and everything that is no Ed25519 id is refused."""

from __future__ import annotations

import base58
import pytest
from hypothesis import given
from hypothesis import strategies as st

from btard.errors import UserError
from btard.identity import IdentityKey, PeerId
from btard.identity.peer_id import PEER_ID_SIZE

# The Ed25519 key pair of RFC 8032, section 7.1, test 1.
SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
SIGNATURE = bytes.fromhex(
    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe2465514"
    "1438e7a100b"
)


def test_the_key_of_a_published_vector() -> None:
    key = IdentityKey.from_seed(SEED)
    assert key.peer_id == PeerId.from_public_key(PUBLIC)
    assert key.sign(b"") == SIGNATURE
    assert key.peer_id.has_signed(b"", SIGNATURE)


@pytest.mark.parametrize(
    ("message", "signature"),
    [
        pytest.param(b"x", SIGNATURE, id="another message"),
        pytest.param(b"", bytes(64), id="zeros"),
        pytest.param(b"", SIGNATURE[:63], id="too short"),
        pytest.param(b"", SIGNATURE + b"\0", id="too long"),
        pytest.param(b"", b"", id="none"),
        pytest.param(
            b"",
            SIGNATURE[:32]
            + (int.from_bytes(SIGNATURE[32:], "little") + 2**252 + 27742317777372353535851937790883648493).to_bytes(
                32, "little"
            ),
            id="not reduced",
        ),
    ],
)
def test_what_is_no_signature(message: bytes, signature: bytes) -> None:
    assert not PeerId.from_public_key(PUBLIC).has_signed(message, signature)


def test_a_key_of_small_order_signs_nothing() -> None:
    neutral = (1).to_bytes(32, "little")
    assert not PeerId.from_public_key(neutral).has_signed(b"anything", neutral + bytes(32))


@given(st.binary(min_size=32, max_size=32))
def test_bytes_and_text_go_round(public: bytes) -> None:
    peer = PeerId.from_public_key(public)
    assert len(peer) == PEER_ID_SIZE
    assert PeerId(bytes(peer)) == peer
    assert PeerId.parse(str(peer)) == peer
    assert str(peer).startswith("12D3Koo")
    assert str(peer).endswith(peer.short) and len(peer.short) == 6


def test_ids_differ_as_their_keys_do_and_serve_as_keys_of_a_dict() -> None:
    one, other = PeerId.from_public_key(bytes(32)), PeerId.from_public_key(bytes(31) + b"\1")
    assert one < other
    assert {one: 1, other: 2}[PeerId(bytes(one))] == 1


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        bytes(PEER_ID_SIZE),
        bytes.fromhex("002408011220") + bytes(31),
        bytes.fromhex("002408011220") + bytes(33),
        bytes.fromhex("002408021220") + bytes(32),  # a secp256k1 key
        bytes.fromhex("1220") + bytes(32),  # the hash that an RSA peer's id is
    ],
)
def test_other_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="not the peer id of an Ed25519 key"):
        PeerId(raw)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "12D3Koo",
        "0OIl",
        "peer",
        "12D3KooW\N{SNOWMAN}",
        base58.b58encode(bytes.fromhex("1220") + bytes(32)).decode(),
    ],
)
def test_other_text_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(UserError, match="is no peer id; an Ed25519 peer id begins with 12D3Koo"):
        PeerId.parse(text)
