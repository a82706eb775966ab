"""Peer ids: the libp2p identity multihash of an Ed25519 public key, so that an id alone checks a signature."""

from __future__ import annotations

from functools import lru_cache

import base58
from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError

from btard.errors import UserError

_PREFIX = bytes.fromhex("002408011220")
"""Identity multihash (0x00) of the 36-byte protobuf {1: Ed25519, 2: 32 bytes}; see the libp2p peer-id specification."""

PEER_ID_SIZE = len(_PREFIX) + 32
SIGNATURE_SIZE = 64


class PeerId(bytes):
    """38 bytes: the libp2p peer id of an Ed25519 key.

    Raises:
        ValueError: the bytes are not such an id (an RSA peer's id, for example, holds only a hash of its key).
    """

    def __new__(cls, raw: bytes) -> PeerId:
        if len(raw) != PEER_ID_SIZE or not raw.startswith(_PREFIX):
            raise ValueError("not the peer id of an Ed25519 key")
        return super().__new__(cls, raw)

    @staticmethod
    @lru_cache(maxsize=4096)
    def of(raw: bytes) -> PeerId:
        """Return the id of these bytes, the same object each time: ids are looked up again and again.

        Raises:
            ValueError: as the constructor does.
        """
        return PeerId(raw)

    @classmethod
    def from_public_key(cls, key: bytes) -> PeerId:
        """Return the id of a 32-byte raw Ed25519 public key."""
        return cls(_PREFIX + key)

    @property
    def public_key(self) -> bytes:
        """The 32-byte raw Ed25519 public key."""
        return self[len(_PREFIX) :]

    @classmethod
    def parse(cls, text: str) -> PeerId:
        """Return the id written in base58 (`12D3Koo...`).

        Raises:
            UserError: the text is no such id.
        """
        try:
            return cls(base58.b58decode(text))
        except ValueError:
            raise UserError(f"{text!r} is no peer id; an Ed25519 peer id begins with 12D3Koo") from None

    def has_signed(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature`, 64 bytes, is of `message` under the key that the id contains.

        libsodium's rules decide, which refuse keys and points of small order and numbers that are not reduced: all
        peers must agree on what is signed, so no other implementation may be used beside it.
        """
        if len(signature) != SIGNATURE_SIZE:
            return False
        try:
            crypto_sign_open(signature + message, self.public_key)
        except BadSignatureError:
            return False
        return True

    def __str__(self) -> str:
        return base58.b58encode(bytes(self)).decode()

    def __repr__(self) -> str:
        return f"PeerId({self.short})"

    @property
    def short(self) -> str:
        """The last six characters, for tables and logs."""
        return str(self)[-6:]
