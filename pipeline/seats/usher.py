"""The coordinator's part in a pipeline: which peer sits where, and from which step all go on after a loss."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import inf

from btard.identity import Malformed, PeerId
from btard.pipeline.seats.seating import DRAWN, Seating
from btard.pipeline.seats.statements import SeatPhase, Stance, StateClaim
from btard.swarm.questions import Directory

_MOST_STEPS = 8
"""Steps whose states are remembered; no peer holds more."""


@dataclass(frozen=True, slots=True)
class UsherPlan:
    """What the usher goes by.

    Attributes:
        run: the run's name.
        stages: how many a pipeline has.
        silent_seconds: after which a peer that does not answer is lost.
        load_seconds: in which a stage must be ready to compute.
        first: digest of each stage's state before the first step; none where they follow from the run's seed.
        replicas: how many pipelines there are.
    """

    run: bytes
    stages: int
    silent_seconds: float = 10.0
    load_seconds: float = 600.0
    first: tuple[bytes, ...] = ()
    replicas: int = 1

    @property
    def seats(self) -> int:
        """How many peers have a stage."""
        return self.stages * self.replicas

    @property
    def beginning(self) -> tuple[bytes, ...]:
        """The digest of each stage's state before the first step; these can always be had."""
        return self.first or (DRAWN,) * self.stages


@dataclass(frozen=True, slots=True)
class Errand:
    """What a peer without a seat is asked to keep: the state of a stage before a step, by its digest."""

    stage: int
    step: int
    state: bytes


@dataclass
class Usher:
    """Decides which peer has which seat; it reads no clock and sends nothing.

    Attributes:
        plan: what it goes by.
        seating: the newest one, None before the first.
        banned: peers that get no seat any more.
    """

    plan: UsherPlan
    seating: Seating | None = None
    banned: set[PeerId] = field(default_factory=set)
    _heard: dict[PeerId, tuple[float, Stance]] = field(default_factory=dict)
    _claimed: dict[int, dict[int, bytes]] = field(default_factory=dict)
    """By step and seat the digests of states that were made in this seating, also of peers that are gone."""
    _since: float = -inf
    _stalls: tuple[int, int] = (-1, 0)
    """The step at which all stood still last, and how often they have."""
    _lied_in: float = inf
    """The first step of this seating in which a banned peer has lied: all go back behind it if they can."""
    _unwanted: set[PeerId] = field(default_factory=set)
    """Peers that the replicas of their stage have left out once."""
    _forgetful: bool = False
    """Whether a peer with a seat has been started anew, so that the others wait for it in vain."""

    def hear(self, now: float, peer: PeerId, stance: Stance) -> None:
        """A peer has answered where it stands; claims that their authors have not signed are left out."""
        before, seating = self._stance(peer), self.seating
        if before is not None and seating is not None and peer in seating.seats:
            self._forgetful |= stance.number < before.number == seating.number
        self._heard[peer] = (now, replace(stance, claims=()))
        for claim in stance.claims:
            if self._is_true(claim):
                self._claimed.setdefault(claim.step, {}).setdefault(claim.seat, claim.state)
        for step in sorted(self._claimed)[:-_MOST_STEPS]:
            del self._claimed[step]

    def gone(self, peer: PeerId) -> None:
        """The connection to a peer is closed, and it does not answer another one: it is lost at once."""
        if peer in self._heard:
            self._heard[peer] = (-inf, self._heard[peer][1])

    def ban(self, peer: PeerId, number: int, step: float) -> None:
        """Take a peer's seat away for good: it has lied in a step of the seating of this number, which is to be done
        again; an infinite one is not."""
        self.banned.add(peer)
        if self.seating is not None and number == self.seating.number:
            self._lied_in = min(self._lied_in, step)

    def errand(self, place: int) -> Errand | None:
        """Return what the peer at a place in the line of those that wait is to keep; None if there is nothing yet."""
        if self.seating is None:
            return None
        step, states = self._newest_states({*self._heard})
        stage = place % self.plan.stages
        return None if states[stage] in self.plan.beginning else Errand(stage, step, states[stage])

    def forget(self, peers: Iterable[PeerId]) -> None:
        """Keep no answers but those of these peers and of stages."""
        kept = {*peers, *(() if self.seating is None else self.seating.seats)}
        self._heard = {peer: heard for peer, heard in self._heard.items() if peer in kept}

    def is_finished(self, now: float) -> bool:
        """Whether every seat has gone through the last step, and all last states are kept.

        Where most replicas of every stage have, those are not waited for that are lost, left out or stand still.
        """
        seating = self.seating
        if seating is None:
            return False
        done = {n for n, peer in enumerate(seating.seats) if self._is_in(peer, SeatPhase.FINISHED)}
        others = {n for n in range(len(seating.seats)) if n not in done}
        if not others:
            return True
        stalled = {n for n in others if self._is_in(seating.seats[n], SeatPhase.STALLED)}
        most = Counter(map(seating.stage_of, done))
        enough = all(2 * most[stage] > seating.replicas for stage in range(seating.stages))
        return enough and others <= {*self.lost(now), *self._left_out(), *stalled}

    def final_states(self) -> tuple[int, tuple[bytes, ...]]:
        """Return the step before which the newest state of every stage is held, and the states' digests."""
        assert self.seating is not None
        return self._newest_states({*self._heard})

    def holders(self, state: bytes) -> list[PeerId]:
        """Return the peers that say that they can show a state."""
        return [peer for peer, (_, stance) in self._heard.items() if state in stance.states]

    def look(self, now: float, waiting: Mapping[PeerId, tuple[str, ...]]) -> Seating | None:
        """Return a new seating if one is needed and can be made.

        Args:
            now: seconds, of the clock that `hear` is told of.
            waiting: the peers that are here, those that came first in front, and where each can be dialled.
        """
        here = [peer for peer in waiting if peer not in self.banned]
        if self._since == -inf:
            self._since = now  # a coordinator that was started anew has heard of nobody yet
        if self.seating is None:
            if len(here) < self.plan.seats:
                return None
            first = tuple(here[: self.plan.seats])
            return self._seat(now, 0, first, self.plan.beginning, waiting)
        if self.seating.over:
            return None
        lost, stands_still = self.lost(now), self._stands_still()
        left_out = [seat for seat in self._left_out() if seat not in lost]
        if not lost and not left_out and not stands_still:
            return None
        alive = {peer for peer, (when, _) in self._heard.items() if now - when <= self.plan.silent_seconds}
        free = [peer for peer in here if peer not in self.seating.seats and peer in alive]
        suspects = (lost + left_out)[: len(free)]
        if len(free) < len(lost) or not (suspects or stands_still):
            return None
        step, states = self._newest_states(alive - self.banned, self._lied_in)
        if not suspects and free:
            suspects = self._suspect(step)
        self._unwanted.update(self.seating.seats[seat] for seat in left_out)
        seats = list(self.seating.seats)
        for seat in suspects:
            # A peer that has the state already need not fetch it; one that others have left out comes back last.
            state = states[self.seating.stage_of(seat)]
            free.sort(key=lambda peer: (peer in self._unwanted, state not in self._heard[peer][1].states))
            seats[seat] = free.pop(0)
        return self._seat(now, step, tuple(seats), states, waiting)

    def end(self, now: float) -> Seating:
        """Return the seating that tells all that the run is over."""
        assert self.seating is not None
        step, states = self.final_states()
        self.seating = replace(self.seating, number=self.seating.number + 1, step=step, states=states, over=True)
        return self.seating

    def _seat(
        self,
        now: float,
        step: int,
        seats: tuple[PeerId, ...],
        states: tuple[bytes, ...],
        waiting: Mapping[PeerId, tuple[str, ...]],
    ) -> Seating:
        number = 1 if self.seating is None else self.seating.number + 1
        known = {} if self.seating is None else self.seating.directory.addresses
        directory = Directory({**{peer: known[peer] for peer in seats if peer in known}, **waiting})
        self.seating, self._since = Seating(self.plan.run, number, step, seats, states, False, directory), now
        self._forgetful, self._claimed, self._lied_in = False, {}, inf
        return self.seating

    def lost(self, now: float) -> list[int]:
        """Return the seats whose peers are gone or banned, or have not loaded in time."""
        assert self.seating is not None
        lost = []
        for seat, peer in enumerate(self.seating.seats):
            heard_at, stance = self._heard.get(peer, (self._since, None))
            loads = stance is None or stance.number < self.seating.number or stance.phase is SeatPhase.LOADING
            silent = now - heard_at > self.plan.silent_seconds
            if peer in self.banned or silent or (loads and now - self._since > self.plan.load_seconds):
                lost.append(seat)
        return lost

    def _left_out(self) -> list[int]:
        """Return the seats whose peers more than half of the replicas of their stage have left out of their rounds."""
        seating = self.seating
        assert seating is not None
        told: Counter[int] = Counter()
        for seat, peer in enumerate(seating.seats):
            stance = self._stance(peer)
            if stance is None or stance.number != seating.number:
                continue
            others = {seating.seat_of(other) for other in stance.left_out} - {None, seat}
            told.update(n for n in others if n is not None and seating.stage_of(n) == seating.stage_of(seat))
        return [seat for seat, count in sorted(told.items()) if 2 * count > seating.replicas]

    def _stands_still(self) -> bool:
        assert self.seating is not None
        return self._forgetful or any(self._is_in(peer, SeatPhase.STALLED) for peer in self.seating.seats)

    def _is_in(self, peer: PeerId, phase: SeatPhase) -> bool:
        """Whether a peer with a seat says that it is in a phase of the newest seating."""
        stance, seating = self._stance(peer), self.seating
        assert seating is not None
        return stance is not None and stance.phase is phase and stance.number == seating.number

    def _suspect(self, step: int) -> list[int]:
        """Return the seat that another peer gets after a standstill: none the first time, then each in turn.

        A message may have been lost once; a stage that is mute although it answers must go sooner or later. Of several
        pipelines it is one of those in which a stage stands still.
        """
        assert self.seating is not None
        at, often = self._stalls
        often = often + 1 if at == step else 1
        self._stalls = (step, often)
        stuck = [n for n, peer in enumerate(self.seating.seats) if self._is_in(peer, SeatPhase.STALLED)]
        stalled = set(map(self.seating.replica_of, stuck))
        seats = [n for n in range(self.plan.seats) if not stalled or self.seating.replica_of(n) in stalled]
        return [] if often == 1 else [seats[(often - 2) % len(seats)]]

    def _newest_states(self, holders: set[PeerId], most: float = inf) -> tuple[int, tuple[bytes, ...]]:
        """Return the newest step before which somebody here holds every stage's state, and the states' digests.

        One up to `most`, if there is one. If a state that all would need is lost everywhere, training begins anew.
        """
        assert self.seating is not None
        stances = [stance for peer, (_, stance) in self._heard.items() if peer in holders]
        held = {state for stance in stances for state in stance.states}
        held.update(self.plan.beginning)
        agreed = {step: self._agreed_states(claimed) for step, claimed in self._claimed.items()}
        options = {self.seating.step: dict(enumerate(self.seating.states)), **agreed}
        for step, states in sorted(options.items(), key=lambda option: (option[0] <= most, option[0]), reverse=True):
            if len(states) == self.plan.stages and held.issuperset(states.values()):
                return step, tuple(states[stage] for stage in range(self.plan.stages))
        return 0, self.plan.beginning

    def _agreed_states(self, claimed: Mapping[int, bytes]) -> dict[int, bytes]:
        """Return by stage the digest that more than half of its seats have told; of a single seat, that one."""
        assert self.seating is not None
        votes = Counter((self.seating.stage_of(seat), state) for seat, state in claimed.items())
        return dict(place for place, count in votes.items() if 2 * count > self.plan.replicas)

    def _stance(self, peer: PeerId) -> Stance | None:
        return self._heard[peer][1] if peer in self._heard else None

    def _is_true(self, claim: StateClaim) -> bool:
        seating = self.seating
        if seating is None or claim.number != seating.number or claim.run != self.plan.run:
            return False
        if claim.seat >= len(seating.seats) or claim.step <= seating.step or claim.state == DRAWN:
            return False
        try:
            claim.verify(seating.seats[claim.seat])
        except Malformed:
            return False
        return True
