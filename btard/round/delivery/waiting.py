"""What has kept a peer and others waiting: when it asked for what, when that came, and who waited for it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Protocol

from btard.identity import MessageKind, PeerId
from btard.round.attempt.attempt import Attempt
from btard.round.context import StepContext
from btard.round.delivery.patience import Patience, begins_within, lives_for
from btard.round.messages.accusations import Fault
from btard.round.messages.bodies import Phase
from btard.round.messages.requests import Item

_PHASES = {
    MessageKind.COMMIT: Phase.COMMIT,
    MessageKind.AGGREGATE: Phase.GATHER,
    MessageKind.REVEAL: Phase.REVEAL,
    MessageKind.SCALARS: Phase.MEASURE,
    MessageKind.DIGEST: Phase.AGREE,
}


class Expected(Protocol):
    """What a phase waits for: see `btard.round.phases.phase`."""

    phase: Phase

    def halfway(self) -> bool:
        """Whether it has come from most voters."""

    def missing(self) -> Mapping[PeerId, Fault]:
        """Return of whom something has not."""

    def seconds(self) -> float:
        """How long the phase may take."""


_Seconds = defaultdict[Phase, float]
"""By the phase in which they were waited."""


class WaitingAccount:
    """What was asked for in one attempt, and how long it took."""

    def __init__(self, context: StepContext, attempt: Attempt) -> None:
        """Begin with nothing asked for."""
        self._context = context
        self._seats = attempt.seats
        self._said = attempt.said
        self._carried = attempt.carried
        self._asked: dict[Item, float] = {}
        self._asked_in: dict[Item, Phase] = {}
        self._outstanding: dict[Item, None] = {}
        self._came: dict[Item, float] = {}
        self._committed: dict[PeerId, float] = {}
        self._waiting_since: dict[tuple[PeerId, Item], float] = {}
        self._served: dict[tuple[PeerId, Item], float] = {}
        self._at_work: dict[PeerId, float] = {}
        self._relaying: dict[tuple[PeerId, PeerId], tuple[float, float]] = {}

    def note_at_work(self, peer: PeerId, now: float) -> None:
        """A member says that it has not committed, but will: it loads the state, or computes its first vector."""
        self._at_work[peer] = now

    def note_relaying(self, asker: PeerId, target: PeerId, now: float) -> None:
        """This peer begins to ask a target on behalf of its validator, which has to wait for the answer as it does."""
        self._relaying.setdefault((asker, target), (now, math.inf))

    def note_relayed(self, asker: PeerId, target: PeerId, now: float) -> None:
        """The target has answered, or has had its time."""
        since, until = self._relaying.get((asker, target), (now, math.inf))
        self._relaying[asker, target] = since, min(until, now)

    def has_asked(self, item: Item) -> bool:
        """Whether all, or its author, were asked for an item."""
        return item in self._asked

    def note_asked(self, item: Item, now: float) -> None:
        """Note when all, or its author, were asked for an item, and in which phase: rows of a part that is aggregated
        already are asked for only to be checked."""
        if item in self._asked:
            return
        self._asked[item] = now
        self._outstanding[item] = None
        kind, _, part = item
        if kind is MessageKind.PART:
            aggregated = self._seats.owners[part] in self._carried.gathered
            self._asked_in[item] = Phase.CHECK if aggregated else Phase.SCATTER

    def note_asker(self, asker: PeerId, item: Item, now: float) -> None:
        """A member asks for what this peer has not got either."""
        self._waiting_since[asker, item] = now

    def note_progress(self, now: float, phase: Expected, patience: Patience) -> None:
        """Note when half of what a phase waits for has come, and when fewer than half of the members are late. One
        that waits itself, in an earlier phase, for what this peer has not got either, is not."""
        if phase.halfway():
            patience.note_halfway(now, phase.phase, phase.seconds())
        elif self.is_waiting and not patience.may_blame(phase.phase):
            waiting = self._waiting_since.keys() - self._served.keys()
            held_up = {asker for asker, item in waiting if self.phase_of(item) < phase.phase}
            if 2 * len(phase.missing().keys() - held_up) < len(self._seats.members):
                patience.note_few_late(now, phase.phase)

    def note_served(self, askers: Iterable[PeerId], item: Item, now: float) -> None:
        """Members get what they have waited for."""
        self._served.update(((asker, item), now) for asker in askers)

    def note_arrivals(self, now: float, has: Callable[[Item], bool]) -> None:
        """Note what has come of that which was asked for."""
        for item in list(self._outstanding):
            if has(item):
                self._came[item] = now
                del self._outstanding[item]
            if item[1] in self._said.commits:
                self._committed.setdefault(item[1], now)

    @property
    def is_waiting(self) -> bool:
        """Whether something that was asked for has not come."""
        return bool(self._outstanding)

    def waited(self, now: float, patience: Patience) -> dict[PeerId, float]:
        """Return for how long, in seconds, members have kept this peer and others waiting in the attempt, all phases
        together.

        A member is not blamed for the time in which it was waiting itself, in an earlier phase, for what this peer has
        not got either. In a later one it waits for those that wait for it. Nor is a validator blamed for the time in
        which its target let this peer wait that asked on its behalf. Nor is one that was not there in the step
        before blamed for a late commitment for as long as it says that it is at work: it may have to load the state.
        """
        if not (self._asked or self._relaying):
            return {}  # as mostly
        late: defaultdict[PeerId, _Seconds] = defaultdict(lambda: defaultdict(float))
        held: defaultdict[PeerId, _Seconds] = defaultdict(lambda: defaultdict(float))
        for item, asked in self._asked.items():
            since = patience.blames_from(self._waited_in(item), asked)
            if item[0] is MessageKind.COMMIT and item[1] not in self._context.settled_in:
                since = max(since, self._at_work.get(item[1], patience.began) + self._silence())
            seconds = min(now, self._arrival(item)) - since
            of, phase = late[item[1]], self.phase_of(item)
            of[phase] = max(of[phase], seconds)
        for (asker, item), since in self._waiting_since.items():
            of, phase = held[asker], self.phase_of(item)
            of[phase] = max(of[phase], self._served.get((asker, item), now) - since)
        found = {peer: _beyond(of, held[peer]) for peer, of in late.items()}
        for (asker, _), (since, until) in self._relaying.items():
            found[asker] = found.get(asker, 0.0) - (min(now, until) - since)
        return {peer: seconds for peer, seconds in found.items() if seconds > 0}

    def held_against(self, now: float, patience: Patience) -> dict[PeerId, float]:
        """Return the same as it is held against members over several steps: a target pays for the time in which it was
        asked on its validator's behalf. It does not lose its place for it at once, as it may have to answer all."""
        seconds = self.waited(now, patience)
        for (_, target), (since, until) in self._relaying.items():
            seconds[target] = seconds.get(target, 0.0) + min(now, until) - since
        return seconds

    def _silence(self) -> float:
        """Return for how many seconds a member may say nothing that others cannot expect to be ready."""
        rules = self._context.rules
        return lives_for(rules) if self._context.settled_in else begins_within(rules)

    def phase_of(self, item: Item) -> Phase:
        """Return the phase in which an item travels."""
        kind = item[0]
        return self._asked_in.get(item, Phase.SCATTER) if kind is MessageKind.PART else _PHASES[kind]

    def _waited_in(self, item: Item) -> Phase:
        """Return the phase in which this peer is held up by an item that is late: of another owner's part it is the
        phase in which that one is missed."""
        phase = self.phase_of(item)
        return Phase.GATHER if phase is Phase.SCATTER and item[2] != self._seats.my_part else phase

    def late(self, until: float, patience: Patience) -> Collection[PeerId]:
        """Return the peers of which something that was asked for came too late or never, as far as is known at a
        time: not before its author must have had it, and had time to answer."""
        return {item[1] for item in self._asked if self._deadline(item, patience) < min(until, self._arrival(item))}

    def _arrival(self, item: Item) -> float:
        return self._came.get(item, math.inf)

    def _deadline(self, item: Item, patience: Patience) -> float:
        kind, author, _ = item
        asked = self._asked[item]
        if kind is not MessageKind.PART:
            phase = _PHASES[kind]
            return max(patience.due(phase), asked + patience.allowance(phase))
        # A peer that has committed holds its parts, and need not wait for anybody to show them.
        committed = self._committed.get(author, math.inf)
        return max(committed, asked) + patience.allowance(self._asked_in[item])


def _beyond(late: _Seconds, held: _Seconds) -> float:
    """Return the seconds for which a member was late, less those for which others held it up before, each once."""
    total = excused = 0.0
    for phase in sorted({*late, *held}):
        used = min(excused, late[phase])
        total += late[phase] - used
        excused += held[phase] - used
    return total
