"""How fast the members of a run are, by what this peer has seen: when to ask for what is late, and who is too slow.

A phase's usual length is the time in which half of what it waits for comes. Liars that each keep a few members waiting
may hold up most of them together, until those ask for what is late. So in the first steps, in which hardly anything has
been measured, only the shortest time counts: otherwise all would ask later each time. All of this is one peer's own
measurement: it decides when that peer asks, and which members it names.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Mapping
from functools import partial

from btard.identity import PeerId
from btard.round.messages.bodies import Phase
from btard.vocabulary import SLOWEST

_WINDOW = 16
"""Steps of which a phase's usual length is the median, or the shortest while there are few."""

_ASK_AFTER = 2.0
"""Times the usual length of a phase after which what has not come is asked for."""

_TRAVEL = (Phase.SCATTER, Phase.REVEAL, Phase.AGREE)
"""Phases in which nothing is computed. A member that enters one late finds it short, so the longest counts for all."""

_LAST = 1.75
"""Times as long as half of what travels takes the last of it, where delays vary, or a witness asks for a row first."""

_FLOOR = 1 / 64
"""Of the bound on delay: nothing is asked for sooner."""

_FORGET = 1 / 20
"""The share of what is held against a member that is forgotten in each step."""

_FIRST_STEPS = 4
"""Steps in which nothing is held against anybody."""

_FORGIVEN = 0.5
"""Lengths of a step for which a member may be waited for in every one."""

_TOO_SLOW = 4.0
"""Lengths of a step for which a member may have been waited for, lately."""

_SPOILS = 2 * _TOO_SLOW
"""Lengths of a step that are held against a member that made the others agree on the end of a step for nothing: for so
many that it is named in each of the next steps, as not all know of it at once."""

_SHORTEST_STEP = 1 / 16
"""Of the bound on delay: no step counts as shorter when it is judged for how long a member has been waited for."""

_AT_ONCE = 2.0
"""Lengths of a step that are held against a member in one step: nobody loses its place for one or two slow steps."""

_OVERDUE_FLOOR = 0.5
"""Of the bound on delay: for so long a member may keep others waiting in any case."""


_ANSWERS = 0.75
"""Of the time for which a member may keep others waiting: so long may a validator wait for what its target has to show.
The vector of its target is as long as what that sends in SCATTER, which is a part of a step."""


class Pace:
    """The lengths of phases, and for how long each member has been waited for; it lasts as long as the run.

    For `slowest` lengths of a step a member may keep others waiting in one attempt. What is held against it over
    several is counted in lengths that are longer or shorter by the same measure.

    A member is judged by the length of the very step in which it is late, if that is longer than usual: when messages
    take long, or all compute for longer, half of the members are late, too, and that blames nobody. Nor is half
    of the members ever blamed for one step.

    Attributes:
        held_against: lengths of a step for which each member has been waited for lately, beyond what it may take.
    """

    def __init__(self, delay_bound_seconds: float, slowest: float = SLOWEST) -> None:
        """Begin with nothing measured."""
        self._delay_bound_seconds = delay_bound_seconds
        self._slowest = slowest
        self._lengths: defaultdict[Phase, deque[float]] = defaultdict(partial(deque, maxlen=_WINDOW))
        self._this_step: dict[Phase, float] = {}
        self._usual: dict[Phase, float | None] = {}
        self._asks_after: dict[Phase, float | None] = {}
        self._steps_over = 0
        self.held_against: dict[PeerId, float] = {}

    def anew(self) -> Pace:
        """Return the same measure for other members, nothing held against any."""
        made = Pace(self._delay_bound_seconds, self._slowest)
        made._steps_over = self._steps_over
        for phase, lengths in self._lengths.items():
            made._lengths[phase].extend(lengths)
        return made

    def measure(self, phase: Phase, seconds: float) -> None:
        """Half of what a phase waits for has come after so many seconds."""
        self._lengths[phase].append(seconds)
        self._this_step[phase] = seconds
        self._forget_usual()

    def _forget_usual(self) -> None:
        """What is usual has changed; it is asked for at nearly every event, and known until it changes again."""
        self._usual.clear()
        self._asks_after.clear()

    def usual(self, phase: Phase) -> float | None:
        """Return the usual length of a phase in seconds, None before anything has been measured: before the phase has
        been, it is that of computing and committing."""
        if phase not in self._usual:
            self._usual[phase] = self._find_usual(phase)
        return self._usual[phase]

    def _find_usual(self, phase: Phase) -> float | None:
        lengths = self._lengths.get(Phase.SCATTER if phase is Phase.CHECK else phase) or self._lengths[Phase.COMMIT]
        return self._typical(lengths) if lengths else None

    def _typical(self, lengths: Collection[float]) -> float:
        return statistics.median(lengths) if self._steps_over >= _FIRST_STEPS else min(lengths)

    def _longest_travel(self) -> float:
        """Return the usual length of the longest phase in which nothing but messages travel; of the middle one before
        enough has been measured."""
        lengths = [self._typical(self._lengths[phase]) for phase in _TRAVEL if self._lengths[phase]] or [0.0]
        return max(lengths) if self._steps_over >= _FIRST_STEPS else statistics.median_low(lengths)

    def usual_step(self) -> float | None:
        """Return how long half of the members usually take for a step, in seconds."""
        return sum(self.usual(phase) or 0.0 for phase in self._lengths) if self.usual(Phase.COMMIT) else None

    def asks_after(self, phase: Phase) -> float | None:
        """Return how long to wait in a phase before what has not come is asked for, None before there is a measure."""
        if phase not in self._asks_after:
            self._asks_after[phase] = self._find_asks_after(phase)
        return self._asks_after[phase]

    def _find_asks_after(self, phase: Phase) -> float | None:
        usual = self.usual(phase)
        if usual is None:
            return None
        travel = _LAST * self._longest_travel()
        return max(_FLOOR * self._delay_bound_seconds, _ASK_AFTER * max(usual, travel))

    def _length(self) -> float | None:
        """Return the usual length of a step or that of this one so far, whichever is longer, in seconds."""
        usual = self.usual_step()
        return None if usual is None else max(usual, sum(self._this_step.values()))

    def most_wait(self) -> float | None:
        """Return for how many seconds a member may keep this peer waiting in one attempt, None before anything has been
        measured."""
        length = self._length()
        return None if length is None else max(_OVERDUE_FLOOR * self._delay_bound_seconds, self._slowest * length)

    def answer_within(self) -> float:
        """Return for how many seconds this peer may wait for answers while the others wait for it, infinite before
        anything has been measured."""
        most = self.most_wait()
        return math.inf if most is None else _ANSWERS * most

    def step_over(self, members: Collection[PeerId], waited: Mapping[PeerId, float]) -> None:
        """A step of these members is over, in which some were waited for, beyond what each phase may take.

        A member that is held up by another is late before those that are not, so a little is forgiven in every step;
        and in the first ones, in which hardly anybody knows how long anything takes.
        """
        length = max(_SHORTEST_STEP * self._delay_bound_seconds, self._length() or 0.0) * self._slowest / SLOWEST
        self._this_step = {}
        self._steps_over += 1
        self._forget_usual()
        kept = {peer: (1 - _FORGET) * lengths for peer, lengths in self.held_against.items() if peer in members}
        seconds = beyond_most(members, waited) if self._steps_over > _FIRST_STEPS else {}
        late = {peer: min(_AT_ONCE, each / length - _FORGIVEN) for peer, each in seconds.items()}
        self.held_against = kept | {
            peer: kept.get(peer, 0.0) + lengths for peer, lengths in late.items() if lengths > 0
        }

    def spoilt(self, peers: Iterable[PeerId]) -> None:
        """These members have made the others agree on the end of a step that was finished all the same."""
        self.held_against |= dict.fromkeys(peers, _SPOILS)

    def laggards(self) -> tuple[PeerId, ...]:
        """Return the members that this peer would leave out, ascending: it has waited too long for them lately."""
        return tuple(sorted(peer for peer, lengths in self.held_against.items() if lengths > _TOO_SLOW))


def beyond_most(members: Collection[PeerId], waited: Mapping[PeerId, float]) -> dict[PeerId, float]:
    """Return for how many seconds each member has been waited for longer than half of them were: what half of
    them are late by is an accident, and the deadlines decide."""
    if not (members and waited):
        return {}  # as it is almost always, and this is asked at every event
    common = sorted(waited.get(peer, 0.0) for peer in members)[len(members) // 2]
    return {peer: waited[peer] - common for peer in members if waited.get(peer, 0.0) > common}
