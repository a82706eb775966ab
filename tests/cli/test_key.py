"""`btard key`: a backup restores to the same peer, nothing is lost or shown by accident, errors are one sentence."""

from __future__ import annotations

import getpass
import json
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from btard.cli import key as command
from btard.cli.main import main
from btard.errors import UserError
from btard.identity import IdentityKey

PASSPHRASE = "correct horse"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a peer's directory, its backup and the passphrase."""
    folder = tmp_path_factory.mktemp("keys")
    IdentityKey.load_or_create(folder / "peer" / "identity.key")
    (folder / "secret").write_text(f"{PASSPHRASE}\nnot this line\n")
    words = ["key", "backup", str(folder / "peer"), str(folder / "backup"), "--passphrase-file", str(folder / "secret")]
    assert main(words) == 0
    return folder


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(command.VARIABLE, raising=False)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., str]]:
    """Run `btard key` with words that must be refused; return its one sentence."""

    def refuse(*words: str | Path) -> str:
        assert main(["key", *map(str, words)]) == 2
        captured = capsys.readouterr()
        assert captured.out == "" and captured.err.startswith("btard: ") and captured.err.count("\n") == 1
        return captured.err.removeprefix("btard: ").rstrip()

    yield refuse


def peer_of(path: Path) -> str:
    return str(IdentityKey.load(path).peer_id)


def test_show_names_the_peer_of_a_file_a_directory_and_a_backup(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = peer_of(home / "peer" / "identity.key")
    for path in (home / "peer" / "identity.key", home / "peer", home / "backup"):
        assert main(["key", "show", str(path)]) == 0
        assert capsys.readouterr().out == f"{name}\n"


def test_a_backup_restores_to_the_same_key(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(command.VARIABLE, PASSPHRASE)
    target = tmp_path / "identity.key"
    assert main(["key", "restore", str(home / "backup"), str(tmp_path)]) == 0
    assert "run it in one place only" in capsys.readouterr().out
    assert target.read_bytes() == (home / "peer" / "identity.key").read_bytes()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert IdentityKey.load_or_create(target).sign(b"x") == IdentityKey.load(home / "peer" / "identity.key").sign(b"x")
    assert list(tmp_path.iterdir()) == [target]


def test_a_backup_shows_nothing_of_the_key(home: Path) -> None:
    key = IdentityKey.load(home / "peer" / "identity.key")
    text = (home / "backup").read_text()
    assert stat.S_IMODE((home / "backup").stat().st_mode) == 0o600
    assert key.seed.hex() not in text and PASSPHRASE not in text
    assert json.loads(text)["peer"] == str(key.peer_id)


def test_a_backup_opens_with_libsodium_alone(home: Path) -> None:
    """As docs/operations.md says it, for those who no longer have this program."""
    from nacl.pwhash import argon2id
    from nacl.secret import SecretBox

    fields = json.loads((home / "backup").read_text())
    secret = argon2id.kdf(32, PASSPHRASE.encode(), bytes.fromhex(fields["salt"]), opslimit=3, memlimit=1 << 28)
    seed = SecretBox(secret).decrypt(bytes.fromhex(fields["box"]))
    assert str(IdentityKey.from_seed(seed).peer_id) == fields["peer"]


def test_another_key_is_not_overwritten_unasked(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: Callable[..., str]
) -> None:
    monkeypatch.setenv(command.VARIABLE, PASSPHRASE)
    target = tmp_path / "identity.key"
    other = IdentityKey.load_or_create(target)
    content = target.read_bytes()
    assert f"is the key of another peer, {other.peer_id}, which would be lost" in refusal(
        "restore", home / "backup", tmp_path
    )
    assert target.read_bytes() == content
    assert main(["key", "restore", str(home / "backup"), str(tmp_path), "--replace"]) == 0
    assert peer_of(target) == peer_of(home / "peer" / "identity.key")
    # The same key is no loss.
    assert main(["key", "restore", str(home / "backup"), str(tmp_path)]) == 0


def test_a_file_in_the_way_that_is_no_key_stays(home: Path, tmp_path: Path, refusal: Callable[..., str]) -> None:
    target = tmp_path / "identity.key"
    target.write_text("something else")
    assert "cannot be read as a key; --replace overwrites it" in refusal("restore", home / "backup", target)
    assert target.read_text() == "something else"
    dangling = tmp_path / "link"
    dangling.symlink_to(tmp_path / "elsewhere")
    assert "cannot be read as a key" in refusal("restore", home / "backup", dangling)


def test_a_wrong_passphrase_writes_nothing(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: Callable[..., str]
) -> None:
    monkeypatch.setenv(command.VARIABLE, "wrong horse")
    assert f"the passphrase does not open {home / 'backup'}" in refusal("restore", home / "backup", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("field", ["box", "peer"])
def test_a_changed_backup_does_not_open(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: Callable[..., str], field: str
) -> None:
    monkeypatch.setenv(command.VARIABLE, PASSPHRASE)
    fields = json.loads((home / "backup").read_text())
    if field == "peer":
        fields[field] = str(IdentityKey.generate().peer_id)
    else:
        fields[field] = fields[field][:-1] + ("0" if fields[field][-1] != "0" else "1")
    changed = tmp_path / "changed"
    changed.write_text(json.dumps(fields))
    assert "does not open" in refusal("restore", changed, tmp_path / "identity.key")
    assert not (tmp_path / "identity.key").exists()


def changed(home: Path, **fields: object) -> bytes:
    return json.dumps(json.loads((home / "backup").read_text()) | fields).encode()


@pytest.mark.parametrize(
    "make",
    [
        lambda home: b"",
        lambda home: b"[1]",
        lambda home: b"[" * 4000,
        lambda home: b"\xff" * 5000,
        lambda home: b" " * 4096 + (home / "backup").read_bytes(),
        lambda home: (home / "peer" / "identity.key").read_bytes(),
        lambda home: changed(home, btard_key_backup=2),
        lambda home: changed(home, btard_key_backup="1"),
        lambda home: changed(home, memory=1 << 40),
        lambda home: changed(home, salt="00"),
        lambda home: changed(home, box="zz" * 72),
        lambda home: changed(home, peer="somebody"),
    ],
)
def test_what_is_no_backup(
    home: Path, tmp_path: Path, refusal: Callable[..., str], make: Callable[[Path], bytes]
) -> None:
    source = tmp_path / "source"
    source.write_bytes(make(home))
    assert f"{source} is no backup of a key" in refusal("restore", source, tmp_path / "identity.key")


def test_what_is_missing_is_named(home: Path, tmp_path: Path, refusal: Callable[..., str]) -> None:
    absent = tmp_path / "absent"
    assert f"cannot use the key file {absent}: No such file" in refusal("show", absent)
    assert f"cannot use the key file {absent}: No such file" in refusal("backup", absent, tmp_path / "new")
    assert f"cannot read {absent}: No such file" in refusal("restore", absent, tmp_path)
    assert f"there is no directory {absent}" in refusal("restore", home / "backup", absent / "identity.key")
    assert f"there is no directory {absent}" in refusal("backup", home / "peer", absent / "new")
    assert f"cannot read the passphrase file {absent}: No such file" in refusal(
        "backup", home / "peer", tmp_path / "new", "--passphrase-file", absent
    )
    assert f"{home / 'backup'} exists already" in refusal("backup", home / "peer", home / "backup")
    assert f"{home} exists already" in refusal("backup", home / "peer", home)
    assert list(tmp_path.iterdir()) == []


def test_passphrases_that_do_not_do(home: Path, tmp_path: Path, refusal: Callable[..., str]) -> None:
    secret, new = tmp_path / "secret", tmp_path / "new"
    words = ("backup", home / "peer", new, "--passphrase-file", secret)
    secret.write_text("\nsecond line\n")
    assert f"{secret} is empty" in refusal(*words)
    secret.write_text("seven77\n")
    assert "a passphrase of 7 letters can be guessed" in refusal(*words)
    secret.write_bytes(b"\xff\xfe\n")
    assert "it is not UTF-8" in refusal(*words)
    assert "there is no terminal to ask for the passphrase" in refusal("backup", home / "peer", new)
    assert not new.exists()


def test_a_backup_asks_twice_for_the_passphrase_a_restore_once(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: Callable[..., str]
) -> None:
    typed = iter([PASSPHRASE, "correct house", PASSPHRASE, PASSPHRASE, PASSPHRASE])
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(getpass, "getpass", lambda prompt: next(typed))
    backup, key = tmp_path / "backup", tmp_path / "identity.key"
    assert "the two passphrases differ" in refusal("backup", home / "peer", backup)
    assert not backup.exists()
    assert main(["key", "backup", str(home / "peer"), str(backup)]) == 0
    assert main(["key", "restore", str(backup), str(key)]) == 0
    assert peer_of(key) == peer_of(home / "peer" / "identity.key")
    assert list(typed) == []


def test_a_failed_write_leaves_the_old_key(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "identity.key"
    before = IdentityKey.load_or_create(target).peer_id

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setenv(command.VARIABLE, PASSPHRASE)
    with pytest.raises(UserError, match="No space left on device"):
        command.main(["restore", str(home / "backup"), str(target), "--replace"])
    assert IdentityKey.load(target).peer_id == before
    assert list(tmp_path.iterdir()) == [target]


def test_there_is_no_flag_for_the_passphrase_itself(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("backup", "restore"):
        with pytest.raises(SystemExit) as caught:
            main(["key", name, "--passphrase", "x", "a", "b"])
        assert caught.value.code == 2
        assert "unrecognized arguments: --passphrase" in capsys.readouterr().err
