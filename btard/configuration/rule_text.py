"""How rules are put together in text: `nnm+krum:m=3` is one behind another, `krum@3~median` one or the other."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Self

from btard.configuration.named import Named
from btard.errors import UserError

_THEN = re.compile(r"(?<!=)\+(?=\s*[a-zA-Z_])")
"""A plus before a name; that of a number like 1e+30 stands before a digit."""

_OR, _AS_OFTEN_AS = "~", "@"


@dataclass(frozen=True)
class Chain:
    """Pre-aggregators and, at the end, a rule.

    Attributes:
        links: their names and settings, in order; at least one.
        frequency: how often it is used among others, above zero.
    """

    links: tuple[Named, ...]
    frequency: float = 1.0

    @classmethod
    def parse(cls, text: str, what: str) -> Self:
        """Read one alternative of what a user types.

        Args:
            text: such as `nnm+krum@2`.
            what: the setting that holds the text, for the sentence.

        Raises:
            UserError: the text has another form.
        """
        names, at, often = text.partition(_AS_OFTEN_AS)
        try:
            frequency = float(often) if at else 1.0
        except ValueError:
            frequency = math.nan
        if not 0 < frequency < math.inf:
            raise UserError(f"{what} is {text!r}, but what follows the @ must be a number above zero")
        return cls(tuple(Named.parse(link, what) for link in _THEN.split(names)), frequency)

    def __str__(self) -> str:
        text = "+".join(map(str, self.links))
        if self.frequency == 1.0:
            return text
        return f"{text}{_AS_OFTEN_AS}{int(self.frequency) if self.frequency.is_integer() else self.frequency}"


def alternatives(text: str, what: str) -> tuple[Chain, ...]:
    """Read all that a user types for a rule; raises UserError as `Chain.parse` does."""
    return tuple(Chain.parse(each, what) for each in text.split(_OR))


def joined(chains: tuple[Chain, ...]) -> str:
    """Return the text that `alternatives` reads."""
    return _OR.join(map(str, chains))
