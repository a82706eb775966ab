"""How long an attempt waits: for each phase, for what is late, and for a barrier that others have passed."""

from __future__ import annotations

import math

from btard.round.attempt.pace import Pace
from btard.round.messages.accusations import MOST_SIGNS_OF_LIFE
from btard.round.messages.bodies import Phase
from btard.round.rules import StepRules

_URGE_AFTER = 0.5
"""The share of a phase's time after which parts that are late are asked for through drawn members, at the latest."""

_URGE_ALL_AFTER = 0.75
"""The share of a phase's time after which everything that is late is asked for of all members, at the latest."""

_THIRD_PEERS_TAKE = 3
"""Times the wait before drawn members are asked after which all are: a drawn one may have to ask the author."""

_SIGNATURES = 2.0
"""Times as long as elsewhere before what is late in AGREE is asked for: peers are furthest apart there, and a peer
that has finished answers with all digests."""

_BULKY = frozenset({Phase.SCATTER, Phase.GATHER, Phase.CHECK})
"""The phases in which parts travel."""

_APART = 6
"""Times the bound on delay between the time at which a phase is due and its end.

Honest barriers lie at most four apart: what shows that others have passed takes one, a peer that sees it waits one, and
has what it missed after two more. One more for an answer to arrive, and one to spare for a peer asked in between.
"""


_SIGNS_OF_LIFE = 4
"""How often within the bound on delay a member that others cannot expect to be ready says that it is at work."""


def signs_every(rules: StepRules) -> float:
    """Return after how many seconds a member that loads the state, or computes its first vector, says so again."""
    return max(rules.delay_bound_seconds / _SIGNS_OF_LIFE, rules.commit_seconds / MOST_SIGNS_OF_LIFE)


def lives_for(rules: StepRules) -> float:
    """Return for how many seconds a member that has said that it is at work is believed to be."""
    return _SIGNS_OF_LIFE * signs_every(rules)


def begins_within(rules: StepRules) -> float:
    """Return within how many seconds all members begin the first step of a run, or say that they are at work: each
    learns of the roster, of where the others are, and of whether the run begins, one after the other."""
    return _APART * rules.delay_bound_seconds


class Patience:
    """The deadlines of one attempt, in seconds of the driver's clock.

    A phase is *due* at a time at which everything of it has come from every honest peer. One that still misses
    something has asked all members for it by then, and waits until the phase *ends*: whatever reached one honest peer
    when it was due has reached it by then, too. After the barrier these times are fixed, and a phase is due late enough
    that a peer held up in the phase before is heard of before it is blamed.

    As soon as it is known how long a phase usually takes, what is late is asked for earlier than that: a request costs
    little, and its answer comes as soon as there is one.

    Attributes:
        ends: when the current phase must be over.
        deadline: when something is to be done about what is missing; every arrival asks for it.
        barrier: when the commit phase began or, once it is over, ended.
        paused: until a phase begins again there is nothing to be done.
    """

    def __init__(
        self,
        rules: StepRules,
        check_seconds: float,
        pace: Pace,
        *,
        settled: bool = True,
        others_stand_seconds: float = 0.0,
    ) -> None:
        """Begin an attempt.

        Args:
            check_seconds: how long CHECK may take, which depends on how much is checked.
            pace: how long phases usually take.
            settled: whether this peer is expected to commit as soon as others; else it has to say that it is at work.
            others_stand_seconds: how much longer COMMIT lasts, since the others may not have begun.
        """
        self._settled = settled
        self._others_stand_seconds = others_stand_seconds
        self._rules = rules
        self._pace = pace
        self._entered: dict[Phase, float] = {}
        self._halfway: dict[Phase, float] = {}
        self._few_late: dict[Phase, float] = {}
        self._again = math.inf
        self._check_seconds = check_seconds
        self._longer = {Phase.CHECK: check_seconds / rules.scatter_seconds, Phase.AGREE: _SIGNATURES}
        self._apart = _APART * rules.delay_bound_seconds
        self._due: dict[Phase, float] = {}
        self._seen_passing = False
        self._urges: list[tuple[float, bool]] = []
        self.ends = math.inf
        self.deadline = math.inf
        self.barrier = 0.0
        self.paused = False

    def begin(self, now: float, phase: Phase, seconds: float) -> None:
        """A phase begins that may take so long."""
        if phase in (Phase.COMMIT, Phase.SCATTER):
            self.barrier = now
            self._due = {phase: now + seconds} if phase is Phase.COMMIT else self._due | self._schedule(now)
        self.paused = False
        self.ends = self._due[phase] + self._grace(phase, seconds)
        if phase is Phase.COMMIT:
            self.ends += self._others_stand_seconds
        self._entered[phase] = now
        tells = phase is Phase.COMMIT and not self._settled
        self._again = now + signs_every(self._rules) if tells else math.inf
        if phase is Phase.CHECK:
            self._few_late[phase] = now
        self._plan_requests(phase, seconds)

    def pause(self) -> None:
        """Wait for nothing until a phase begins."""
        self.paused, self.deadline = True, math.inf

    def _plan_requests(self, phase: Phase, seconds: float) -> None:
        """Plan when to ask for what is late in a phase, by what has been measured so far."""
        entered, usual = self._entered[phase], self._asks_after(phase)
        drawn = min(usual, _URGE_AFTER * seconds)
        everyone = min(usual * (_THIRD_PEERS_TAKE if phase in _BULKY else 1), _URGE_ALL_AFTER * seconds)
        self._urges = [(entered + drawn, False)] if phase in _BULKY else []
        self._urges.append((entered + everyone, True))
        self._set_deadline()

    def _asks_after(self, phase: Phase) -> float:
        """Return how long to wait in a phase by what has been measured, infinite before anything has."""
        seconds = self._pace.asks_after(phase)
        return math.inf if seconds is None else self._longer.get(phase, 1.0) * seconds

    def note_halfway(self, now: float, phase: Phase, seconds: float) -> None:
        """Half of what the current phase waits for, which may take so many seconds, has come: the first time counts."""
        if phase in self._halfway:
            return
        self._halfway[phase] = now
        self.note_few_late(now, phase)
        first = self._pace.usual(phase) is None
        self._pace.measure(phase, now - self._entered[phase])
        if first:
            self._plan_requests(phase, seconds)

    def note_few_late(self, now: float, phase: Phase) -> None:
        """Fewer than half of the members keep this peer waiting in a phase, or half of what it waits for has come: so
        not all are slow. The first time counts."""
        self._few_late.setdefault(phase, now)

    def may_blame(self, phase: Phase) -> bool:
        """Whether that has been noted."""
        return phase in self._few_late

    def look_again(self, now: float, at: float) -> None:
        """Be called once more at a time, or before, whatever comes."""
        self._again = min(at, self._again) if self._again > now else at
        self._set_deadline()

    @property
    def began(self) -> float:
        """When the first phase began."""
        return self._entered[Phase.COMMIT]

    def blames_from(self, phase: Phase, asked: float) -> float:
        """Return from when on an author keeps others waiting that was asked for something of a phase at a time: that
        is never before this peer has waited for it in vain, and half of the members do not keep it waiting: all may
        be slow; and it is a usual length after the request."""
        usual = self._pace.usual(phase)
        if usual is None or phase not in self._few_late:
            return math.inf
        return max(asked, self._few_late[phase], self._entered[phase] + self._asks_after(phase)) + usual

    def _schedule(self, barrier: float) -> dict[Phase, float]:
        """Return when the phases after the barrier are due."""
        due, ended = {}, barrier - self._apart
        for phase, seconds in self._lengths().items():
            due[phase] = ended + self._apart + seconds
            ended = due[phase] + self._grace(phase, seconds)
        return due

    def _lengths(self) -> dict[Phase, float]:
        rules = self._rules
        lengths = (
            rules.scatter_seconds,
            rules.gather_seconds,
            rules.agree_seconds,
            rules.gather_seconds,
            self._check_seconds,
            rules.agree_seconds,
        )
        return dict(zip(list(Phase)[1:], lengths, strict=True))

    def _grace(self, phase: Phase, seconds: float) -> float:
        """Return how long a phase is waited for beyond the time at which it is due: see `allowance`."""
        return self._apart + ((_URGE_ALL_AFTER - _URGE_AFTER) * seconds if phase in _BULKY else 0.0)

    def due(self, phase: Phase) -> float:
        """Return when everything of a phase has come from every honest peer; never before the own barrier."""
        return self._due.get(phase, math.inf)

    def allowance(self, phase: Phase) -> float:
        """Return how long an honest author may take to answer a request for something of a phase that it has.

        A peer that asks all members at `_URGE_ALL_AFTER` has the answers of members that had to ask first, perhaps for
        the author's commitment before that, within four delays and this time: that is when the phase ends.
        """
        seconds = _URGE_AFTER * self._lengths()[phase] if phase in _BULKY else 0.0
        return 2 * self._rules.delay_bound_seconds + seconds

    def others_have_passed(self, now: float, *, wait: bool) -> None:
        """Others are seen to have passed the barrier: what is missing exists, and comes within a moment, or is asked
        for."""
        if not self._seen_passing:
            self._seen_passing = True
            self._urges = [
                (min(at, now + self._rules.delay_bound_seconds * wait), everyone) for at, everyone in self._urges
            ]
            self._set_deadline()

    def _set_deadline(self) -> None:
        if not self.paused:
            self.deadline = min([self.ends, self._again, *(at for at, _ in self._urges[:1])])

    def last_end(self, *, committing: bool) -> float:
        """Return when every other member that still waits for something must have given the attempt up, too."""
        schedule = self._schedule(self.ends if committing else self.barrier)
        return schedule[Phase.AGREE] + 2 * self._apart

    def takes_late(self, now: float) -> tuple[bool, bool]:
        """Return whether it is time to ask drawn members for what is late, and all members; each once a phase."""
        if now >= self._again:
            self._again = math.inf
        passed = [everyone for at, everyone in self._urges if now >= at]
        self._urges = self._urges[len(passed) :]
        self._set_deadline()
        return bool(passed), any(passed)
