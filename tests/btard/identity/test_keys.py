"""The key file: made once with mode 600, readable by libp2p, refused in one sentence when unsafe or not whole."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from btard.errors import UserError
from btard.identity import IdentityKey


def refusal(path: Path) -> str:
    """Return the one sentence with which a key file is refused."""
    with pytest.raises(UserError) as caught:
        IdentityKey.load_or_create(path)
    sentence = str(caught.value)
    assert "\n" not in sentence and str(path) in sentence
    return sentence


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    path.chmod(0o600)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "identity.key"


def test_the_first_start_makes_a_key_that_later_ones_find(path: Path) -> None:
    key = IdentityKey.load_or_create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    content = path.read_bytes()
    again = IdentityKey.load_or_create(path)
    assert again.peer_id == key.peer_id
    assert again.sign(b"x") == key.sign(b"x")
    assert path.read_bytes() == content


def test_two_new_keys_differ(tmp_path: Path) -> None:
    one, other = (IdentityKey.load_or_create(tmp_path / name) for name in "ab")
    assert one.peer_id != other.peer_id


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o601])
def test_a_key_that_others_can_use_is_refused(path: Path, mode: int) -> None:
    IdentityKey.load_or_create(path)
    path.chmod(mode)
    assert f"chmod 600 {path}" in refusal(path)


def test_stricter_permissions_are_welcome(path: Path) -> None:
    key = IdentityKey.load_or_create(path)
    path.chmod(0o400)
    assert IdentityKey.load_or_create(path).peer_id == key.peer_id


@pytest.mark.parametrize("kept", [0, 3, 4, 36, 67])
def test_a_truncated_file_is_refused_and_kept(path: Path, kept: int) -> None:
    IdentityKey.load_or_create(path)
    write(path, path.read_bytes()[:kept])
    content = path.read_bytes()
    assert "holds no Ed25519 key; delete it" in refusal(path)
    assert path.read_bytes() == content


def test_a_longer_file_is_refused(path: Path) -> None:
    IdentityKey.load_or_create(path)
    write(path, path.read_bytes() + b"\n")
    assert "holds no Ed25519 key" in refusal(path)


@pytest.mark.parametrize("position", [4, 35, 36, 67])
def test_a_damaged_file_is_refused_and_kept(path: Path, position: int) -> None:
    IdentityKey.load_or_create(path)
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    write(path, data)
    assert "is damaged: its two halves disagree" in refusal(path)
    assert path.read_bytes() == bytes(data)


def test_an_rsa_key_is_refused(tmp_path: Path) -> None:
    private = rsa.generate_private_key(65537, 1024)
    der = private.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    length = bytes([len(der) & 0x7F | 0x80, len(der) >> 7])
    assert "holds no Ed25519 key" in refusal(write(tmp_path / "rsa", b"\x08\x00\x12" + length + der))


def test_an_existing_file_is_never_overwritten(path: Path) -> None:
    IdentityKey.load_or_create(path)
    content = path.read_bytes()
    with pytest.raises(FileExistsError):
        IdentityKey.generate().save(path)
    assert path.read_bytes() == content


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("no directory")
    assert "give a writable --directory" in refusal(file / "identity.key")


def test_a_link_to_nowhere_is_not_followed(tmp_path: Path) -> None:
    link = tmp_path / "identity.key"
    link.symlink_to(tmp_path / "elsewhere")
    assert "cannot use the key file" in refusal(link)
    assert not (tmp_path / "elsewhere").exists()


def test_the_file_is_libp2ps(path: Path) -> None:
    from hivemind.p2p import PeerID
    from hivemind.proto import crypto_pb2

    key = IdentityKey.load_or_create(path)
    private = crypto_pb2.PrivateKey.FromString(path.read_bytes())
    assert private.key_type == crypto_pb2.Ed25519
    assert len(private.data) == 64
    assert IdentityKey.from_seed(private.data[:32]).peer_id == key.peer_id
    public = crypto_pb2.PublicKey(key_type=crypto_pb2.Ed25519, data=private.data[32:]).SerializeToString()
    theirs = PeerID(b"\x00" + bytes([len(public)]) + public)  # the identity multihash, as for every short public key
    assert theirs.to_bytes() == bytes(key.peer_id)
    assert theirs.to_base58() == str(key.peer_id)


def test_a_key_has_its_name_once_it_is_on_the_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forced: list[bool] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: forced.append(path.exists()))
    IdentityKey.load_or_create(path)
    assert forced == [False, True]  # the file, and then its name
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("there", [False, True])
def test_file_systems_without_links_will_do(path: Path, monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    if there:
        path.parent.mkdir()
        path.touch()
        with pytest.raises(FileExistsError):
            IdentityKey.generate().save(path)
        assert path.read_bytes() == b""
    else:
        assert IdentityKey.load_or_create(path).peer_id == IdentityKey.load(path).peer_id


def test_a_full_disk_leaves_no_torn_key(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(os, "fsync", refuse)
        assert "No space left" in refusal(path)
    assert list(path.parent.iterdir()) == []
    assert IdentityKey.load_or_create(path).peer_id == IdentityKey.load(path).peer_id
