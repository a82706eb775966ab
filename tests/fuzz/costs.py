"""Looks for the message that makes its receiver work most for its size.

    python -m tests.fuzz.costs --seed 7 --seconds 60

It begins with true messages and with what liars are known to send, changes their structure, signs them again, and goes
on from whatever took most. Work is counted, not timed: signatures verified, calls made, bytes allocated at the peak. So
the same seed finds the same messages on every machine; what is printed replays as `found(seed, tries)`.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from btard.agreement import wire
from btard.identity import Envelope, MessageKind
from btard.identity import envelope as envelopes
from btard.identity import peer_id as peer_ids
from btard.lab.stress.hostile import IN_A_STEP, Victim, honest, hostile
from btard.round import session
from btard.round.failure import settlement
from btard.round.messages import reading

COUNT = 5
FREE_CALLS, FREE_MEMORY = 4000, 64 << 10
"""Calls and bytes that the shortest message may take: they are those of one signature, or of a dozen."""

MOST_CALLS = 0.5
"""Calls a byte beside that: about 50 ms a MiB, at 100 ns each."""

MOST_MEMORY = 8
"""Times the size of the message."""

MOST_SIGNATURES = 16
"""That of the message, and those of one member in one report."""


@dataclass(frozen=True)
class Work:
    """What hearing a message took.

    Attributes:
        signatures: that were verified.
        calls: of functions, Python's own included.
        memory: bytes, at the peak.
    """

    size: int
    signatures: int
    calls: int
    memory: int

    @property
    def strain(self) -> float:
        """How close it comes to what is allowed: 1 is the limit."""
        return max(
            self.signatures / MOST_SIGNATURES,
            self.calls / (FREE_CALLS + MOST_CALLS * self.size),
            self.memory / (FREE_MEMORY + MOST_MEMORY * self.size),
        )


@contextlib.contextmanager
def counting() -> Iterator[dict[str, int]]:
    """Count signatures that are verified, and calls, until the end of the block."""
    counted = {"signatures": 0, "calls": 0}
    original = peer_ids.crypto_sign_open

    def verify(signed: bytes, key: bytes) -> bytes:
        counted["signatures"] += 1
        return original(signed, key)

    def profile(frame: object, event: str, argument: object) -> None:
        counted["calls"] += event in ("call", "c_call")

    peer_ids.crypto_sign_open = verify
    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        yield counted
    finally:
        sys.setprofile(before)
        peer_ids.crypto_sign_open = original


def forget() -> None:
    """Empty what is shared between sessions in one process, so that a message costs what it costs a stranger."""
    envelopes._decode_cached.cache_clear()
    reading.remembered.cache_clear()
    session._parse_header.cache_clear()
    settlement._seen_to_sign.cache_clear()
    wire._unpack_once.cache_clear()


def work(listener: Victim, data: bytes) -> Work:
    """Let a fresh peer hear a message."""
    listener.restart()
    forget()
    with counting() as counted:
        listener.hear(data)
    listener.restart()
    forget()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    listener.hear(data)
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    return Work(len(data), counted["signatures"], counted["calls"], peak)


@cache
def listener() -> Victim:
    """Return the peer that hears."""
    return Victim(COUNT)


@cache
def seeds() -> tuple[tuple[MessageKind, bytes], ...]:
    """Return kinds and bodies to begin with, none longer than is read."""
    said = [(one.kind, Envelope.parse(one.data).body) for one in (*honest(listener()), *hostile(listener()))]
    return tuple((kind, body) for kind, body in said if len(body) <= listener().caps.body[kind])


_HEADS = (b"\x90", b"\x9f", b"\xdc\x04\x00", b"\xc4\x00", b"\xc4\x20", b"\xc4\x26", b"\xc0", b"\x01")


def changed(body: bytes, draw: random.Random) -> bytes:
    """Return a body with another structure: pieces taken out, repeated, swapped with those of others, heads changed."""
    at, size = draw.randrange(len(body) + 1), draw.choice((1, 2, 4, 40, 150, 1000))
    piece, other = body[at : at + size], draw.choice(seeds())[1]
    start = draw.randrange(len(other) + 1)
    match draw.randrange(5):
        case 0:
            return body[:at] + body[at + size :]
        case 1:
            return body[:at] + piece * draw.choice((2, 8, 64)) + body[at + size :]
        case 2:
            return body[:at] + other[start : start + size] + body[at + size :]
        case 3:
            head = draw.choice(
                (b"\x90", b"\x9f", b"\xdc\x04\x00", b"\xc4\x00", b"\xc4\x20", b"\xc4\x26", b"\xc0", b"\x01")
            )
            return body[:at] + head + body[at + len(head) :]
        case _:
            return body[:at] + bytes([draw.randrange(256)]) + body[at + 1 :]


def found(seed: int, tries: int, until: float = float("inf")) -> tuple[Work, MessageKind, bytes]:
    """Return the message that strained its receiver most, of so many, or of those until a time of the clock."""
    draw = random.Random(seed)
    kept: dict[MessageKind, tuple[float, bytes]] = {}
    best: tuple[Work, MessageKind, bytes] | None = None
    for _ in range(tries):
        if time.monotonic() > until:
            break
        kind, body = draw.choice(seeds())
        if kind in kept and draw.random() < 0.6:
            body = kept[kind][1]
        for _ in range(draw.randrange(1, 5)):
            body = changed(body, draw)
        body = body[: listener().caps.body[kind]]
        done = work(listener(), listener().sign(draw.choice((kind, kind, kind, *IN_A_STEP)), body))
        if done.strain > kept.get(kind, (-1.0, b""))[0]:
            kept[kind] = (done.strain, body)
        if best is None or done.strain > best[0].strain:
            best = (done, kind, body)
    assert best is not None
    return best


def main(argv: Sequence[str] | None = None) -> int:
    """Search for as long as is asked for; the exit code is 1 if a message is beyond the limits."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.costs", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--tries", type=int, default=10**9)
    options = parser.parse_args(argv)
    done, kind, body = found(options.seed, options.tries, time.monotonic() + options.seconds)
    print(f"seed {options.seed}: {kind.name} of {done.size} bytes takes {done.strain:.2f} of what is allowed: {done}")
    print(body.hex() if len(body) < 4096 else f"{body[:2048].hex()}... of {len(body)} bytes")
    return int(done.strain > 1.0)


if __name__ == "__main__":
    sys.exit(main())
