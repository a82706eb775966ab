"""Parts whose rows a peer collects, all of them, to aggregate them once more and compare."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection as Peers
from enum import Enum, auto

from btard.identity import MessageKind, PeerId
from btard.round.actions import Action, AggregateAgain
from btard.round.attempt.attempt import Attempt
from btard.round.delivery.exchange import Exchange
from btard.round.messages.requests import Item


class _Stage(Enum):
    """How far a part is."""

    ASKED = auto()
    COMPARING = auto()
    COMPARED = auto()


class Collection:
    """The rows of some parts, and what their aggregates turn out to be."""

    def __init__(self, attempt: Attempt, exchange: Exchange) -> None:
        """Begin with no part."""
        self._seats = attempt.seats
        self._carried = attempt.carried
        self._results = attempt.results
        self._exchange = exchange
        self._parts: dict[int, _Stage] = {}

    def ask(self, parts: Peers[int]) -> list[Action]:
        """Collect more parts, and ask their rows' authors for what has not come."""
        fresh = [part for part in parts if part not in self._parts]
        self._parts.update(dict.fromkeys(fresh, _Stage.ASKED))
        by_author: dict[PeerId, list[Item]] = defaultdict(list)
        for item in self._missing(fresh):
            by_author[item[1]].append(item)
        return [action for author, items in by_author.items() for action in self._exchange.pull_from(author, items)]

    def advance(self) -> list[Action]:
        """Compare the parts whose rows have all come."""
        seats, carried = self._seats, self._carried
        actions: list[Action] = []
        for part in [part for part, stage in self._parts.items() if stage is _Stage.ASKED]:
            rows = [carried.rows.get((peer, part)) for peer in seats.workers]
            complete = tuple(row for row in rows if row is not None)
            if len(complete) == len(rows):
                self._parts[part] = _Stage.COMPARING
                actions.append(
                    AggregateAgain(seats.number, seats.aggregation, seats.partition, part, complete, carried.flat)
                )
        return actions

    def compared(self, part: int, excess: float) -> None:
        """An aggregate has been compared with what its rows give; `excess` is how many times its tolerance it is
        off."""
        self._results.excess[part] = excess
        if part in self._parts:
            self._parts[part] = _Stage.COMPARED

    def wanted(self) -> list[Item]:
        """Return the rows that have not come."""
        return self._missing([part for part, stage in self._parts.items() if stage is _Stage.ASKED])

    @property
    def busy(self) -> bool:
        """Whether a part is being compared."""
        return _Stage.COMPARING in self._parts.values()

    @property
    def complete(self) -> bool:
        """Whether all parts have been compared."""
        return all(stage is _Stage.COMPARED for stage in self._parts.values())

    def _missing(self, parts: Peers[int]) -> list[Item]:
        rows = self._carried.rows
        return [
            (MessageKind.PART, peer, part) for part in parts for peer in self._seats.workers if (peer, part) not in rows
        ]
