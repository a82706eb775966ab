"""`btard key`: the peer id of a key file, an encrypted copy of it, and the key back from the copy."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from btard.errors import UserError

if TYPE_CHECKING:
    from btard.identity import IdentityKey
    from btard.identity.backup import KeyBackup

VARIABLE = "KEY_PASSPHRASE"
"""Environment variable of the passphrase; BTARD_ would make it a setting of the daemons."""

KEY_FILE = "identity.key"
LEAST_LETTERS = 8

_DESCRIPTION = f"""Keys of peers, which are their names. The passphrase of a backup is asked for, read from the
first line of --passphrase-file, or taken from {VARIABLE}; it is never a word of the command, which others can see."""


def main(argv: Sequence[str]) -> int:
    """Run `btard key` with these arguments and return the exit code.

    Raises:
        UserError: a file is missing or not what it should be, another key would be lost, the passphrase is wrong.
    """
    arguments = _parser().parse_args(argv)
    command: str = arguments.command
    if command == "show":
        print(_show(arguments.file))
    elif command == "backup":
        _backup(_key_path(arguments.key), arguments.backup, arguments.passphrase_file)
    else:
        _restore(arguments.backup, _key_path(arguments.key), arguments.passphrase_file, replace=arguments.replace)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="btard key", description=_DESCRIPTION, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    secret = argparse.ArgumentParser(add_help=False)
    secret.add_argument("--passphrase-file", type=Path, metavar="PATH", help="file whose first line is the passphrase")
    key_help = f"the key file, or the directory of a peer or a coordinator that holds it as {KEY_FILE}"

    show = commands.add_parser("show", allow_abbrev=False, help="print the peer id of a key file or a backup")
    show.add_argument("file", type=Path, metavar="FILE", help=f"{key_help}; or a backup")
    backup = commands.add_parser(
        "backup", allow_abbrev=False, parents=[secret], help="write an encrypted copy of a key"
    )
    backup.add_argument("key", type=Path, metavar="KEY", help=key_help)
    backup.add_argument("backup", type=Path, metavar="BACKUP", help="the copy, a file that is not there yet")
    restore = commands.add_parser(
        "restore", allow_abbrev=False, parents=[secret], help="write the key of an encrypted copy"
    )
    restore.add_argument("backup", type=Path, metavar="BACKUP", help="the encrypted copy")
    restore.add_argument("key", type=Path, metavar="KEY", help=key_help)
    restore.add_argument("--replace", action="store_true", help="overwrite another key, which is then lost")
    return parser


def _key_path(path: Path) -> Path:
    return path / KEY_FILE if path.is_dir() else path


def _show(path: Path) -> str:
    from btard.identity import IdentityKey

    path = _key_path(path)
    try:
        return _read_backup(path).peer
    except UserError:
        return str(IdentityKey.load(path).peer_id)


def _backup(path: Path, target: Path, passphrase_file: Path | None) -> None:
    from btard.identity import IdentityKey
    from btard.identity.backup import KeyBackup

    key = IdentityKey.load(path)
    if os.path.lexists(target):
        raise UserError(f"{target} exists already; name a file that does not")
    _need_directory(target)
    passphrase = _passphrase(passphrase_file, new=True)
    if len(passphrase) < LEAST_LETTERS:
        raise UserError(f"a passphrase of {len(passphrase)} letters can be guessed; take at least {LEAST_LETTERS}")
    _write(target, KeyBackup.seal(key, passphrase).model_dump_json(indent=1).encode() + b"\n")
    # A backup that nobody has ever opened may be none.
    _open(target, _read_backup(target), passphrase)
    print(f"the key of {key.peer_id} is in {target}; without the passphrase nobody can get it out")


def _restore(source: Path, path: Path, passphrase_file: Path | None, *, replace: bool) -> None:
    backup = _read_backup(source)
    _need_directory(path)
    if not replace and os.path.lexists(path) and (other := _present(path)) != backup.peer:
        raise UserError(f"{path} is the key of another peer, {other}, which would be lost; --replace overwrites it")
    key = _open(source, backup, _passphrase(passphrase_file, new=False))
    _write(path, key.file_bytes)
    print(f"{path} is the key of {key.peer_id}; run it in one place only")


def _present(path: Path) -> str:
    """Return whose key is in the way; raises UserError when it is none that can be read."""
    from btard.identity import IdentityKey

    try:
        return str(IdentityKey.load(path).peer_id)
    except UserError:
        raise UserError(f"{path} is there and cannot be read as a key; --replace overwrites it") from None


def _read_backup(path: Path) -> KeyBackup:
    from btard.identity.backup import MOST_BYTES, KeyBackup

    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    try:
        return KeyBackup.parse(raw)
    except ValueError:
        raise UserError(f"{path} is no backup of a key; btard key backup writes one") from None


def _open(path: Path, backup: KeyBackup, passphrase: str) -> IdentityKey:
    try:
        return backup.open(passphrase)
    except ValueError:
        raise UserError(f"the passphrase does not open {path}; it is another one, or the file is damaged") from None


def _passphrase(file: Path | None, *, new: bool) -> str:
    """Return the passphrase from a file, the environment or the terminal, in that order; raises UserError."""
    if file is not None:
        try:
            text = file.read_text(encoding="utf-8").partition("\n")[0].removesuffix("\r")
        except (OSError, UnicodeDecodeError) as error:
            said = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise UserError(f"cannot read the passphrase file {file}: {said}") from None
        where = str(file)
    elif os.environ.get(VARIABLE):
        text, where = os.environ[VARIABLE], VARIABLE
    elif sys.stdin.isatty():
        text, where = _ask(new), "what was typed"
    else:
        raise UserError(f"there is no terminal to ask for the passphrase; give --passphrase-file or {VARIABLE}")
    if not text:
        raise UserError(f"{where} is empty; a passphrase is needed")
    return text


def _ask(new: bool) -> str:
    from getpass import getpass

    text = getpass("passphrase: ")
    if new and text != getpass("once more: "):
        raise UserError("the two passphrases differ; nothing was written")
    return text


def _need_directory(path: Path) -> None:
    if not path.parent.is_dir():
        raise UserError(f"there is no directory {path.parent}; make it, or check the path")
    if path.is_dir():
        raise UserError(f"{path} is a directory; name a file")


def _write(path: Path, data: bytes) -> None:
    """Write a file that its owner alone can read, whole or not at all; raises UserError."""
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None
