"""The key file of a peer: made on first start, readable by its owner alone, understood by the libp2p daemon."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from nacl.bindings import crypto_sign
from nacl.signing import SigningKey

from btard.durable import force_names
from btard.errors import UserError
from btard.identity.peer_id import SIGNATURE_SIZE, PeerId

_PREFIX = bytes.fromhex("08011240")
"""The libp2p PrivateKey protobuf {1: Ed25519, 2: 64 bytes (seed, public key)}."""

_SIZE = len(_PREFIX) + 64


def _give_name(unfinished: Path, path: Path) -> None:
    """Let a file have its name if no other has it; raises OSError."""
    try:
        os.link(unfinished, path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            raise
        if path.exists():  # a file system without links
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        unfinished.rename(path)


class IdentityKey:
    """An Ed25519 signing key with its peer id."""

    def __init__(self, private: SigningKey) -> None:
        public = bytes(private.verify_key)
        self.peer_id = PeerId.from_public_key(public)
        self._pair = bytes(private) + public

    @classmethod
    def generate(cls) -> IdentityKey:
        """Return a new random key."""
        return cls(SigningKey.generate())

    @classmethod
    def from_seed(cls, seed: bytes) -> IdentityKey:
        """Return the key of a 32-byte seed: for simulations and repeatable local swarms, never for strangers."""
        return cls(SigningKey(seed))

    @classmethod
    def load_or_create(cls, path: Path) -> IdentityKey:
        """Read the key file, or write a new key with mode 600 when there is none.

        Raises:
            UserError: the file is readable by others, is no Ed25519 key, or cannot be read or written.
        """
        try:
            if not path.exists():
                key = cls.generate()
                key.save(path)
                return key
        except OSError as error:
            raise UserError(f"cannot use the key file {path}: {error.strerror}; give a writable --directory") from None
        return cls.load(path)

    @classmethod
    def load(cls, path: Path) -> IdentityKey:
        """Read the key file.

        Raises:
            UserError: the file is missing, readable by others, is no Ed25519 key, or cannot be read.
        """
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & 0o077:
                raise UserError(f"the key file {path} has mode {mode:o}, so others can use it; run: chmod 600 {path}")
            with path.open("rb") as file:
                raw = file.read(_SIZE + 1)
        except OSError as error:
            raise UserError(f"cannot use the key file {path}: {error.strerror}") from None
        return cls._decode(raw, path)

    @classmethod
    def _decode(cls, raw: bytes, path: Path) -> IdentityKey:
        if len(raw) != _SIZE or not raw.startswith(_PREFIX):
            raise UserError(f"{path} holds no Ed25519 key; delete it to have a new one made")
        key = cls(SigningKey(raw[len(_PREFIX) : len(_PREFIX) + 32]))
        if raw[len(_PREFIX) + 32 :] != key.peer_id[-32:]:
            raise UserError(f"{path} is damaged: its two halves disagree; delete it to have a new one made")
        return key

    def save(self, path: Path) -> None:
        """Write the key in libp2p's format with mode 600; a file that exists is never overwritten. It has its name once
        it is whole on the disk, so that a power cut leaves no torn key.

        Raises:
            OSError: the file exists or cannot be written; nothing is left then.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        unfinished.unlink(missing_ok=True)
        try:
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(self.file_bytes)
                file.flush()
                os.fsync(descriptor)
            _give_name(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)
        force_names(path.parent)

    @property
    def file_bytes(self) -> bytes:
        """What a key file holds: libp2p's format. Its owner can speak as this peer."""
        return _PREFIX + self._pair

    @property
    def seed(self) -> bytes:
        """The 32 secret bytes that the key comes from."""
        return self._pair[:32]

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte Ed25519 signature of `message`."""
        return crypto_sign(message, self._pair)[:SIGNATURE_SIZE]
