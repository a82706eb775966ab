"""The form of files that hold long pieces: a header of named fields, then the pieces, whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence

from btard.durable import sealed, unsealed
from btard.identity import Malformed
from btard.identity.codec import as_fields, as_int, decode, encode
from btard.vectors.momentum import KeptLink

MOST_HEADER = 1 << 20
"""Bytes."""

_LENGTH = 8


def framed(form: str, fields: Sequence[object], pieces: Sequence[bytes]) -> bytes:
    """Return the bytes of a file of a form, which show whether they are whole."""
    header = encode([form, *fields])
    return sealed(b"".join((len(header).to_bytes(_LENGTH, "big"), header, *pieces)))


def unframed(data: bytes, form: str, count: int) -> tuple[list[object], bytes]:
    """Return the fields of a file, `count` of them, and its pieces one behind the other.

    Raises:
        Malformed: it is cut, changed, or of another form.
    """
    body = unsealed(data)
    if body is None:
        raise Malformed("it was cut or changed")
    length = int.from_bytes(body[:_LENGTH], "big")
    header, pieces = body[_LENGTH : _LENGTH + length], body[_LENGTH + length :]
    told, *fields = as_fields(decode(header, limit=MOST_HEADER), 1 + count)
    if told != form:
        raise Malformed(f"its format is not {form}")
    return fields, pieces


def link_piece(link: KeptLink | None) -> tuple[int | None, bytes]:
    """Return the step of the last link of a momentum, and its vectors; None and nothing where there is none."""
    return (None, b"") if link is None else (link.step, link.base + link.vector)


def link_from(step: object, vectors: bytes) -> KeptLink | None:
    """Return the link of `link_piece`; raises Malformed for a step that is none."""
    half = len(vectors) // 2
    return None if step is None else KeptLink(as_int(step, 0, 2**62), vectors[:half], vectors[half:])
