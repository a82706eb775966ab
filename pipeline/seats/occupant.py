"""A peer's part in a pipeline whose stages may be lost: when it begins a step, which states it makes, keeps, forgets.

Every n-th step each stage makes its state anew and signs its digest; the stage after it fetches a copy and tells all.
A state of all stages is agreed once every stage's is kept twice. Replicas of a stage fetch no copies: all tell their
digests, and a stage's state is agreed once more than half of them have told the same. No step begins before all states
but the last are agreed, so what a loss costs is bounded; states older than the last two agreed ones are forgotten.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from btard.identity import IdentityKey, Malformed, PeerId
from btard.pipeline.seats.seating import Seating
from btard.pipeline.seats.statements import NoteKind, SeatNote, SeatPhase, ShownBan, Stance, StateClaim


@dataclass(frozen=True, slots=True)
class LoadStage:
    """Have the stage of a seat ready to compute, and all others forgotten; `Occupant.on_loaded` is to follow."""

    seating: Seating
    seat: int | None


@dataclass(frozen=True, slots=True)
class BeginStep:
    """Begin a step."""

    number: int
    step: int


@dataclass(frozen=True, slots=True)
class MakeState:
    """Serialise the own state before a step; `Occupant.on_made` is to follow."""

    number: int
    step: int


@dataclass(frozen=True, slots=True)
class KeepState:
    """Fetch a state of another stage; `Occupant.on_kept` is to follow once it is here."""

    claim: StateClaim
    owner: PeerId


@dataclass(frozen=True, slots=True)
class ForgetStates:
    """Let go of the states before steps that are earlier than this one."""

    before: int


@dataclass(frozen=True, slots=True)
class TellPeers:
    """Send a note to some peers."""

    peers: tuple[PeerId, ...]
    note: SeatNote


@dataclass(frozen=True, slots=True)
class LeaveRun:
    """The run is over."""


SeatEffect = LoadStage | BeginStep | MakeState | KeepState | ForgetStates | TellPeers | LeaveRun


@dataclass(frozen=True, slots=True)
class KeepingPlan:
    """What all peers agree on about states.

    Attributes:
        run: the run's name.
        coordinator: signs seatings.
        total_steps: of the run.
        keep_every: steps from one state that is kept to the next.
    """

    run: bytes
    coordinator: PeerId
    total_steps: int
    keep_every: int = 1

    def keeps(self, step: int) -> bool:
        """Whether the states before a step are made and kept."""
        return step % self.keep_every == 0 or step == self.total_steps


@dataclass
class Occupant:
    """One peer. It reads no clock: the driver calls `tick` about once a second.

    Attributes:
        plan: what all agree on.
        key: the peer's.
        seating: the newest one, None before the first.
        seat: the own one, None without one.
        phase: what the peer is doing.
        step: that it is in.
    """

    plan: KeepingPlan
    key: IdentityKey
    seating: Seating | None = None
    seat: int | None = None
    phase: SeatPhase = SeatPhase.WAITING
    step: int = 0
    _ready: set[int] = field(default_factory=set)
    _claims: dict[tuple[int, int], StateClaim] = field(default_factory=dict)
    _fetching: dict[int, StateClaim] = field(default_factory=dict)
    _kept: dict[int, dict[int, bytes]] = field(default_factory=dict)
    """By step the seats whose states are kept elsewhere, or are known, and their digests."""
    _agreed: tuple[int, int] = (0, 0)
    """The last two steps before which all states are agreed, the older first."""

    def on_seating(self, data: bytes) -> list[SeatEffect]:
        """A seating has arrived from any peer; one that is not newer than the own one changes nothing."""
        try:
            seating = Seating.decode(data, self.plan.run, self.plan.coordinator)
        except Malformed:
            return []
        if self.seating is not None and seating.number <= self.seating.number:
            return []
        self.seating, self.seat, self.step = seating, seating.seat_of(self.key.peer_id), seating.step
        self._ready, self._claims, self._fetching, self._kept = set(), {}, {}, {}
        self._agreed = (seating.step, seating.step)
        self.phase = SeatPhase.WAITING if self.seat is None else SeatPhase.LOADING
        return [LeaveRun()] if seating.over else [LoadStage(seating, self.seat)]

    def on_loaded(self, number: int) -> list[SeatEffect]:
        """The stage of a seating is ready to compute."""
        if not self._holds(number) or self.phase is not SeatPhase.LOADING:
            return []
        assert self.seat is not None
        self.phase = SeatPhase.READY
        self._ready.add(self.seat)
        return [self._tell(self._others(), NoteKind.READY), *self._begin_if_all_are_ready()]

    def on_note(self, sender: PeerId, data: bytes) -> list[SeatEffect]:
        """Another peer tells something; what no honest one tells is dropped.

        Args:
            sender: the peer that the connection has proved.
        """
        try:
            note = SeatNote.decode(data)
            seat = self._seat_of(sender)
            if seat is None or not self._holds(note.number):
                return []
            match note.kind:
                case NoteKind.READY | NoteKind.READY_TOO:
                    return self._hear_ready(sender, seat, note.kind)
                case NoteKind.CLAIM:
                    assert note.claim is not None
                    return self._hear_claim(sender, seat, note.claim)
                case NoteKind.KEPT:
                    assert note.claim is not None
                    return self._hear_kept(seat, note.claim)
        except Malformed:
            return []

    def on_step_over(self, number: int, step: int) -> list[SeatEffect]:
        """The own stage has finished a step."""
        if not self._holds(number) or self.phase is not SeatPhase.TRAINING or step != self.step:
            return []
        self.step += 1
        if self.plan.keeps(self.step):
            self.phase = SeatPhase.KEEPING
            return [MakeState(number, self.step)]
        return [BeginStep(number, self.step)]

    def on_made(self, number: int, step: int, state: bytes) -> list[SeatEffect]:
        """The own state before a step is made; `state` is its digest."""
        if not self._holds(number) or self.phase is not SeatPhase.KEEPING or step != self.step:
            return []
        assert self.seat is not None and self.seating is not None
        claim = StateClaim(self.plan.run, number, self.seat, step, state).signed(self.key)
        self._claims[self.seat, step] = claim
        keeper = self.seating.keeper(self.seat)
        if keeper is None:
            others = self._others()
            told = [self._tell(others, NoteKind.CLAIM, claim)] if others else []
            return [*told, *self._note_kept(claim), *self._go_on()]
        self._kept.setdefault(step, {})
        return [self._tell((self.seating.seats[keeper],), NoteKind.CLAIM, claim), *self._go_on()]

    def on_kept(self, claim: StateClaim) -> list[SeatEffect]:
        """A state of another stage has been fetched."""
        if not self._holds(claim.number) or self._fetching.get(claim.seat) != claim:
            return []
        del self._fetching[claim.seat]
        self._claims[claim.seat, claim.step] = claim
        return [self._tell(self._others(), NoteKind.KEPT, claim), *self._note_kept(claim)]

    def on_unkept(self, claim: StateClaim) -> list[SeatEffect]:
        """A state of another stage could not be fetched: its owner's next word is heard again."""
        if self._fetching.get(claim.seat) == claim:
            del self._fetching[claim.seat]
        return []

    def on_stalled(self, number: int) -> list[SeatEffect]:
        """What the own stage waits for has not come in time."""
        if self._holds(number) and self.phase is SeatPhase.TRAINING:
            self.phase = SeatPhase.STALLED
        return []

    def tick(self) -> list[SeatEffect]:
        """Say again what others may have missed, as far as this peer waits for it."""
        if self.seating is None or self.seat is None:
            return []
        if self.phase is SeatPhase.READY:
            missing = [peer for seat, peer in enumerate(self.seating.seats) if seat not in self._ready]
            return [self._tell(missing, NoteKind.READY)]
        asked = [c for (seat, step), c in self._claims.items() if seat == self.seat and step > self._agreed[1]]
        return [self._tell(self._others(), NoteKind.CLAIM, claim) for claim in asked]

    def stance(
        self,
        states: Sequence[bytes],
        reports: Sequence[bytes] = (),
        bans: Sequence[ShownBan] = (),
        left_out: Sequence[PeerId] = (),
    ) -> Stance:
        """Return where this peer stands, given what it can show, and whom its stage's replicas have left out."""
        number, claims = 0 if self.seating is None else self.seating.number, tuple(self._claims.values())
        return Stance(
            number, self.phase, self.step, tuple(states), claims, tuple(reports), tuple(bans), tuple(left_out)
        )

    def _holds(self, number: int) -> bool:
        return self.seating is not None and self.seating.number == number

    def _seat_of(self, peer: PeerId) -> int | None:
        return None if self.seating is None or self.seat is None else self.seating.seat_of(peer)

    def _others(self) -> list[PeerId]:
        assert self.seating is not None
        return [peer for peer in self.seating.seats if peer != self.key.peer_id]

    def _tell(self, peers: Sequence[PeerId], kind: NoteKind, claim: StateClaim | None = None) -> TellPeers:
        assert self.seating is not None
        return TellPeers(tuple(peers), SeatNote(kind, self.seating.number, claim))

    def _hear_ready(self, sender: PeerId, seat: int, kind: NoteKind) -> list[SeatEffect]:
        self._ready.add(seat)
        effects = self._begin_if_all_are_ready()
        if kind is NoteKind.READY and self.phase is not SeatPhase.LOADING:
            effects.insert(0, self._tell((sender,), NoteKind.READY_TOO))
        return effects

    def _begin_if_all_are_ready(self) -> list[SeatEffect]:
        assert self.seating is not None
        if self.phase is not SeatPhase.READY or len(self._ready) < len(self.seating.seats):
            return []
        if self.step == self.plan.total_steps:
            self.phase = SeatPhase.FINISHED
            return []
        self.phase = SeatPhase.TRAINING
        return [BeginStep(self.seating.number, self.step)]

    def _hear_claim(self, sender: PeerId, seat: int, claim: StateClaim) -> list[SeatEffect]:
        """Fetch a state, if that falls to this peer; and tell what it holds itself, which the sender may miss."""
        assert self.seating is not None
        if claim.run != self.plan.run or not self._holds(claim.number) or claim.seat != seat:
            return []
        among_replicas, places = self.seating.replicas > 1, self._claims.items()
        shown = [c for (of, step), c in places if (of == self.seat) == among_replicas and step == claim.step]
        effects: list[SeatEffect] = [self._tell((sender,), NoteKind.KEPT, known) for known in shown]
        if among_replicas:
            return [*effects, *self._hear_kept(seat, claim)]
        is_new = (seat, claim.step) not in self._claims and seat not in self._fetching
        if is_new and self.seating.keeper(seat) == self.seat and self._is_due(claim):
            claim.verify(sender)
            self._fetching[seat] = claim
            effects.append(KeepState(claim, sender))
        return effects

    def _hear_kept(self, seat: int, claim: StateClaim) -> list[SeatEffect]:
        """Another peer holds a state: the keeper of a seat that seat's, a replica its own."""
        assert self.seating is not None
        if not self._is_due(claim):
            return []
        keeper = claim.seat if self.seating.replicas > 1 else self.seating.keeper(claim.seat)
        if keeper != seat:
            return []
        claim.verify(self.seating.seats[claim.seat])
        return self._note_kept(claim)

    def _is_due(self, claim: StateClaim) -> bool:
        """Whether a state may be spoken of: of this seating, and of a step that honest peers can have come to."""
        assert self.seating is not None
        fits = claim.run == self.plan.run and self._holds(claim.number) and claim.seat < len(self.seating.seats)
        return fits and self._agreed[1] < claim.step <= self.step + 1 and self.plan.keeps(claim.step)

    def _note_kept(self, claim: StateClaim) -> list[SeatEffect]:
        assert self.seating is not None
        if claim.step <= self._agreed[1]:  # most replicas may be a step ahead
            return []
        kept = self._kept.setdefault(claim.step, {})
        kept.setdefault(claim.seat, claim.state)
        if not self._is_agreed(kept):
            return []
        self._agreed = (self._agreed[1], claim.step)
        oldest = self._agreed[0]
        self._kept = {step: seats for step, seats in self._kept.items() if step > claim.step}
        self._claims = {place: known for place, known in self._claims.items() if place[1] >= oldest}
        return [ForgetStates(oldest), *self._go_on()]

    def _is_agreed(self, kept: Mapping[int, bytes]) -> bool:
        """Whether of every stage more than half of the seats are kept, with one digest; of a single one, that seat."""
        assert self.seating is not None
        votes = Counter((self.seating.stage_of(seat), state) for seat, state in kept.items())
        return sum(2 * count > self.seating.replicas for count in votes.values()) == self.seating.stages

    def _go_on(self) -> list[SeatEffect]:
        """Begin the next step if the own state before it is made, and all older ones are agreed."""
        if self.phase is not SeatPhase.KEEPING or (self.seat, self.step) not in self._claims:
            return []
        assert self.seating is not None
        if self.step == self.plan.total_steps:
            if self._agreed[1] == self.step:
                self.phase = SeatPhase.FINISHED
            return []
        if any(step < self.step for step in self._kept):
            return []
        self.phase = SeatPhase.TRAINING
        return [BeginStep(self.seating.number, self.step)]
