"""Files of data sets: packed or not, and never longer than they should be."""

from __future__ import annotations

import gzip
from pathlib import Path

from btard.errors import UserError


def read_bounded(path: Path, most_bytes: int) -> bytes:
    """Return what is in a file, unpacked if its name ends with .gz.

    Raises:
        UserError: it cannot be read, is damaged, or holds more than `most_bytes`.
    """
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            data = file.read(most_bytes + 1)
    except EOFError:
        raise UserError(f"{path} is damaged: it ends too early") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    except Exception as error:  # zlib's own
        raise UserError(f"{path} is damaged: {error}") from None
    if len(data) > most_bytes:
        raise UserError(f"{path} holds more than {most_bytes:,} bytes, which a file of this kind does not")
    return data


def find_file(folder: Path, names: tuple[str, ...]) -> Path:
    """Return the first of these files that is in a folder.

    Raises:
        UserError: none is.
    """
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise UserError(f"{folder} holds no {names[0]}; a data set's folder holds its files by their published names")
