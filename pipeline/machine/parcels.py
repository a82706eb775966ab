"""Something large in many messages: first the digests of all chunks, then the chunks, each of which is checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from btard.hashing import DIGEST_SIZE, digest
from btard.pipeline.machine.context import StageContext
from btard.pipeline.machine.messages import StageMessage, StageMessageKind
from btard.pipeline.machine.sizes import CHUNK_BYTES


def send_parcel(
    context: StageContext, kind: StageMessageKind, stages: Iterable[int], data: bytes, at: tuple[int, int]
) -> None:
    """Send bytes to some stages in messages of a kind; `at` is step and attempt."""
    chunks = [data[start : start + CHUNK_BYTES] for start in range(0, len(data), CHUNK_BYTES)]
    receivers = list(stages)
    context.send(kind, receivers, b"".join(map(digest, chunks)), at=at)
    for number, chunk in enumerate(chunks, 1):
        context.send(kind, receivers, chunk, number, at=at)


def open_parcel(find: Callable[[int], StageMessage | None]) -> bytes | int:
    """Return the bytes, or the number of the first message that is missing or holds another chunk.

    Args:
        find: returns the message of a number.
    """
    first = find(0)
    if first is None:
        return 0
    table, chunks = first.payload, []
    for number in range(1, 1 + len(table) // DIGEST_SIZE):
        message = find(number)
        if message is None or message.header.payload != table[DIGEST_SIZE * (number - 1) : DIGEST_SIZE * number]:
            return number
        chunks.append(message.payload)
    return b"".join(chunks)
