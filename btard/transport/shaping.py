"""A link as slow as a user wants it: rate, latency, jitter and loss, for simulated networks and for real ones.

It reads no clock: the caller says what time it is. Neither root nor the operating system's own shaping is needed.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, replace
from typing import Annotated, Self

from pydantic import AfterValidator

PRESETS = ("10gbit", "1gbit", "500mbit", "300mbit", "100mbit")
"""Rates between stages for which figures of activation compression are published."""

_RATE = re.compile(r"([0-9]+(?:\.[0-9]+)?)([kmg])bit")
_MILLISECONDS = re.compile(r"([0-9]+(?:\.[0-9]+)?)ms")
_PERCENT = re.compile(r"([0-9]+(?:\.[0-9]+)?)%")
_BITS = {"k": 1e3, "m": 1e6, "g": 1e9}
_FORM = "a link is RATE, then latency, jitter and loss as far as wanted, such as 100mbit, or 100mbit,40ms,5ms,1%"


@dataclass(frozen=True)
class LinkConditions:
    """What a peer's way out is like.

    Attributes:
        rate: bytes a second, above zero.
        latency_seconds: from the last byte on the link to its arrival.
        jitter_seconds: the most that a latency is longer or shorter, drawn uniformly; at most the latency.
        loss: probability that a message does not arrive; its bytes take their time all the same.
    """

    rate: float
    latency_seconds: float = 0.0
    jitter_seconds: float = 0.0
    loss: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what a user types: `100mbit`, `100mbit,40ms`, `100mbit,40ms,5ms,1%`; a rate may have k, m or g.

        Raises:
            ValueError: a text of another form, a rate of zero, more jitter than latency, or nothing that arrives.
        """
        first, *rest = (piece.strip() for piece in text.lower().split(","))
        matched = _RATE.fullmatch(first)
        if matched is None or len(rest) > 3:
            raise ValueError(_FORM)
        link = cls(float(matched[1]) * _BITS[matched[2]] / 8)
        for name, piece in zip(("latency_seconds", "jitter_seconds", "loss"), rest, strict=False):
            value = (_PERCENT if name == "loss" else _MILLISECONDS).fullmatch(piece)
            if value is None:
                raise ValueError(_FORM)
            link = replace(link, **{name: float(value[1]) / (100 if name == "loss" else 1000)})
        if link.rate <= 0 or link.loss >= 1 or link.jitter_seconds > link.latency_seconds:
            raise ValueError("a link needs a rate above zero, at most as much jitter as latency, and a loss below 100%")
        return link


def _checked(text: str) -> str:
    LinkConditions.parse(text)
    return text


LinkText = Annotated[str, AfterValidator(_checked)]
"""A link as a user types it."""


class Shaper:
    """A link on which one message follows another: a token bucket of no depth, so that nothing is ahead of its rate."""

    def __init__(self, link: LinkConditions, seed: bytes) -> None:
        """Begin with an idle link; `seed` fixes its jitter and its losses."""
        self._link = link
        self._random = random.Random(seed)
        self._free_at = 0.0

    def departure(self, now: float, size: int) -> float | None:
        """Put a message on the link; return when it arrives, or None if it is lost.

        Args:
            now: seconds of a clock that does not run back.
            size: bytes.
        """
        self.occupy(now, size)
        return self.arrival()

    def occupy(self, now: float, size: int) -> float:
        """Put a piece of a message on the link; return when its last byte leaves."""
        self._free_at = max(now, self._free_at) + size / self._link.rate
        return self._free_at

    def arrival(self) -> float | None:
        """Return when a message arrives whose last byte is the last one on the link, or None if it is lost."""
        link = self._link
        if link.loss and self._random.random() < link.loss:
            return None
        jitter = self._random.uniform(-link.jitter_seconds, link.jitter_seconds) if link.jitter_seconds else 0.0
        return self._free_at + link.latency_seconds + jitter
