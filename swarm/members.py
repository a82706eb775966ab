"""A closed group: the keys that a run admits, from its coordinator's file to what every member looks up."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from btard.errors import UserError
from btard.identity import PeerId

MAX_LISTED = 2048
"""Keys on a list; twice as many as a roster may have, so that some may change their keys."""

_MAX_FILE = MAX_LISTED * 512
"""Bytes of a file of keys and comments."""


def _listed(text: str) -> str:
    try:
        canonical = str(PeerId.parse(text))
    except UserError as error:
        raise ValueError(str(error)) from None
    if canonical != text:
        raise ValueError(f"the peer id {text} must be written {canonical}")
    return text


def _ascending(texts: tuple[str, ...]) -> tuple[str, ...]:
    if any(not before < after for before, after in pairwise(texts)):
        raise ValueError("the keys of a list of members must ascend, each once")
    return texts


MemberList = Annotated[
    tuple[Annotated[str, Field(max_length=64), AfterValidator(_listed)], ...],
    Field(max_length=MAX_LISTED),
    AfterValidator(_ascending),
]
"""Peer ids in base58, ascending, each once; none of them for a run that is open to everybody."""


def read_members(path: Path, wanted: int) -> tuple[str, ...]:
    """Return the keys that a file lists, as a `MemberList`.

    Args:
        path: UTF-8 text with a peer id a line; what follows a `#` is a comment, and blank lines count for nothing.
        wanted: how many the first roster needs.

    Raises:
        UserError: it cannot be read, a line holds no peer id or one that is there already, or too few or too many are
            listed.
    """
    flag = f"--members {path}"
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE + 1)
        lines = data.decode().splitlines()
    except OSError as error:
        raise UserError(f"{flag} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{flag} is no UTF-8 text; write a peer id a line, such as 12D3Koo...") from None
    if len(data) > _MAX_FILE:
        raise UserError(f"{flag} has more than {_MAX_FILE} bytes; a list has at most {MAX_LISTED} keys")
    found: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            peer = str(PeerId.parse(text[:80]))
        except UserError as error:
            raise UserError(f"{flag}, line {number}: {error}; write one a line, comments behind #") from None
        if peer in found:
            raise UserError(f"{flag}, line {number}: {peer} is in line {found[peer]} already; list each key once")
        found[peer] = number
    if len(found) > MAX_LISTED:
        raise UserError(f"{flag} lists {len(found)} keys, but a run takes at most {MAX_LISTED}")
    if len(found) < wanted:
        raise UserError(
            f"{flag} lists {_keys(found)}, but the first roster needs {wanted}; list more, or give a smaller --peers"
        )
    return tuple(sorted(found))


def shown(members: Sequence[str]) -> str:
    """Return a list in a few words."""
    return f"{_keys(members)} from {members[0]} to {members[-1]}" if members else "none"


def _keys(members: Sequence[str] | dict[str, int]) -> str:
    return f"{len(members)} {'key' if len(members) == 1 else 'keys'}"
