"""The files of a corpus on this machine: ordinary ones, all of them, and known by what is in them.

A folder is read as a whole or not at all: what cannot be read, and a link to another folder, is told rather than left
out, since another corpus than the one that was named has another fingerprint.
"""

import errno
import os
import stat
import zipfile
from collections.abc import Sequence
from pathlib import Path

from blake3 import blake3

from btard.errors import UserError

CorpusFile = Path | zipfile.Path

TOKENIZER_FILE = "tokenizer.json"

_CHUNK_BYTES = 1 << 20


def exists(path: Path) -> bool:
    """Whether there is something at a path; raises UserError where it may not be looked at, or is a link to nothing."""
    try:
        path.stat()
    except PermissionError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP) and path.is_symlink():
            raise UserError(f"{path} is a link to nothing; name the file that is meant") from None
        return False
    except ValueError:  # a NUL
        return False
    return True


def expanded(path: str | Path, what: str) -> Path:
    """Return a path with the home folder in the place of `~`.

    Args:
        what: the flag whose value the path is, for the sentence.

    Raises:
        UserError: there is no such home folder, or the path is no text that can be written down.
    """
    try:
        str(path).encode()
        return Path(path).expanduser()
    except UnicodeEncodeError:
        raise UserError(f"{what} is {str(path)!r}, but must be a path in UTF-8; rename it") from None
    except RuntimeError:
        raise UserError(f"{what} is {str(path)!r}, but that home folder is not known here; give a full path") from None


def check_ordinary(path: Path) -> None:
    """Check that a path leads to an ordinary file: another one, such as a pipe, may never end, or end differently.

    Raises:
        UserError: it does not, or cannot be looked at.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise UserError(f"{path} is {'a link to nothing' if path.is_symlink() else 'not there'}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(mode):
        raise UserError(f"{path} is no ordinary file; a corpus is a file, or a folder of files")


def find_tokenizer(path: Path) -> Path:
    """Return the file of a tokenizer: the path itself, or the one of that name in a folder.

    Raises:
        UserError: there is none.
    """
    file = path / TOKENIZER_FILE if path.is_dir() else path
    if not file.is_file():
        raise UserError(f"there is no tokenizer at {path}; give a {TOKENIZER_FILE} or a folder that holds one")
    return file


def files_below(folder: Path) -> list[Path]:
    """Return all files of a folder and of the folders in it, in the order of their names; hidden ones are left out.

    Raises:
        UserError: a folder cannot be read, or a link leads to one.
    """
    found: list[Path] = []
    try:
        for place, folders, names in os.walk(folder, onerror=_refuse):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in folders:
                if (Path(place) / name).is_symlink():
                    raise UserError(
                        f"{Path(place) / name} is a link to a folder, which is not followed; name that folder itself, "
                        "or put its files here"
                    )
            found += [Path(place) / name for name in names if not name.startswith(".")]
    except OSError as error:
        raise UserError(f"{error.filename or folder} cannot be read: {error.strerror}") from None
    return sorted(found, key=lambda file: file.relative_to(folder).as_posix())


def _refuse(error: OSError) -> None:
    raise error


def content_digest(files: Sequence[CorpusFile]) -> str:
    """Return hex BLAKE3 over the files' contents in order, not their names: a moved corpus stays the same corpus.

    Raises:
        OSError: a file cannot be read.
    """
    digest = blake3()
    for file in files:
        one = blake3()
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                one.update(chunk)
        digest.update(one.digest())
    return digest.hexdigest()


def size_of(file: CorpusFile) -> int:
    """Return the bytes of a file, unpacked; raises OSError."""
    with file.open("rb") as stream:
        return stream.seek(0, os.SEEK_END)
