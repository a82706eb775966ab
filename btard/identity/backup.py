"""A key that is encrypted with a passphrase, so that a copy of it may lie anywhere.

The key is derived from the passphrase by Argon2id with 256 MiB of memory and sealed by XSalsa20-Poly1305, both of
libsodium. Encrypted PKCS#8, as `cryptography` writes it, takes PBKDF2 with 2,048 rounds, which a stolen copy invites to
guess at.
"""

from __future__ import annotations

from typing import Annotated, Literal

from nacl.exceptions import CryptoError
from nacl.pwhash import argon2id
from nacl.secret import SecretBox
from nacl.utils import random
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from btard.errors import UserError
from btard.identity.keys import IdentityKey
from btard.identity.peer_id import PeerId

MOST_BYTES = 4096
"""No backup is longer; a file is read no further."""

_SEED_SIZE = 32
_BOX_SIZE = SecretBox.NONCE_SIZE + SecretBox.MACBYTES + _SEED_SIZE

_Salt = Annotated[str, Field(pattern=f"^[0-9a-f]{{{2 * argon2id.SALTBYTES}}}$")]
_Box = Annotated[str, Field(pattern=f"^[0-9a-f]{{{2 * _BOX_SIZE}}}$")]


class KeyBackup(BaseModel):
    """A sealed key.

    Attributes:
        btard_key_backup: version of this format; it fixes the functions and their costs, so that a file cannot demand
            any amount of memory.
        peer: whose key it is, in the clear.
        salt: of the derivation, in hex.
        box: nonce, authenticator and the sealed seed of the key, in hex.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    btard_key_backup: Literal[1]
    peer: Annotated[str, Field(max_length=64)]
    salt: _Salt
    box: _Box

    @classmethod
    def seal(cls, key: IdentityKey, passphrase: str) -> KeyBackup:
        """Return a backup of a key; takes about a second and 256 MiB."""
        salt = random(argon2id.SALTBYTES)
        box = bytes(_box(passphrase, salt).encrypt(key.seed))
        return cls(btard_key_backup=1, peer=str(key.peer_id), salt=salt.hex(), box=box.hex())

    @classmethod
    def parse(cls, raw: bytes) -> KeyBackup:
        """Return the backup that a file holds.

        Raises:
            ValueError: it holds none.
        """
        if len(raw) > MOST_BYTES:
            raise ValueError("too long")
        try:
            backup = cls.model_validate_json(raw)
            PeerId.parse(backup.peer)
        except (ValidationError, UserError) as error:
            raise ValueError("no backup") from error
        return backup

    def open(self, passphrase: str) -> IdentityKey:
        """Return the key; takes about a second and 256 MiB.

        Raises:
            ValueError: the passphrase is another one, or the backup is damaged.
        """
        try:
            key = IdentityKey.from_seed(_box(passphrase, bytes.fromhex(self.salt)).decrypt(bytes.fromhex(self.box)))
        except CryptoError as error:
            raise ValueError("wrong passphrase, or damaged") from error
        if str(key.peer_id) != self.peer:
            raise ValueError("the name was changed")
        return key


def _box(passphrase: str, salt: bytes) -> SecretBox:
    costs = (argon2id.OPSLIMIT_MODERATE, argon2id.MEMLIMIT_MODERATE)
    return SecretBox(argon2id.kdf(SecretBox.KEY_SIZE, passphrase.encode(), salt, *costs))
