"""A peer's part in a pipeline whose stages may be lost: when it begins a step, which states it makes, keeps, forgets.

Every n-th step each stage makes its state anew and signs its digest; the stage after it fetches a copy and tells all.
A state of all stages is agreed once every stage's is kept twice. No step begins before all states but the last are
agreed, so what a loss costs is bounded; states older than the last two agreed ones are forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from btard.identity import IdentityKey, Malformed, PeerId
from btard.pipeline.seats.seating import Seating
from btard.pipeline.seats.statements import NoteKind, SeatNote, SeatPhase, ShownBan, Stance, StateClaim


@dataclass(frozen=True, slots=True)
class LoadStage:
    """Have the stage of a seating ready to compute, and all others forgotten; `Occupant.on_loaded` is to follow."""

    seating: Seating
    stage: int | None


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
        stage: the own one, None without a seat.
        phase: what the peer is doing.
        step: that it is in.
    """

    plan: KeepingPlan
    key: IdentityKey
    seating: Seating | None = None
    stage: int | None = None
    phase: SeatPhase = SeatPhase.WAITING
    step: int = 0
    _ready: set[int] = field(default_factory=set)
    _claims: dict[tuple[int, int], StateClaim] = field(default_factory=dict)
    _fetching: dict[int, StateClaim] = field(default_factory=dict)
    _kept: dict[int, set[int]] = field(default_factory=dict)
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
        self.seating, self.stage, self.step = seating, seating.stage_of(self.key.peer_id), seating.step
        self._ready, self._claims, self._fetching, self._kept = set(), {}, {}, {}
        self._agreed = (seating.step, seating.step)
        self.phase = SeatPhase.WAITING if self.stage is None else SeatPhase.LOADING
        return [LeaveRun()] if seating.over else [LoadStage(seating, self.stage)]

    def on_loaded(self, number: int) -> list[SeatEffect]:
        """The stage of a seating is ready to compute."""
        if not self._holds(number) or self.phase is not SeatPhase.LOADING:
            return []
        assert self.stage is not None
        self.phase = SeatPhase.READY
        self._ready.add(self.stage)
        return [self._tell(self._others(), NoteKind.READY), *self._begin_if_all_are_ready()]

    def on_note(self, sender: PeerId, data: bytes) -> list[SeatEffect]:
        """Another peer tells something; what no honest one tells is dropped.

        Args:
            sender: the peer that the connection has proved.
        """
        try:
            note = SeatNote.decode(data)
            stage = self._stage_of(sender)
            if stage is None or not self._holds(note.number):
                return []
            match note.kind:
                case NoteKind.READY | NoteKind.READY_TOO:
                    return self._hear_ready(sender, stage, note.kind)
                case NoteKind.CLAIM:
                    assert note.claim is not None
                    return self._hear_claim(sender, stage, note.claim)
                case NoteKind.KEPT:
                    assert note.claim is not None
                    return self._hear_kept(stage, note.claim)
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
        assert self.stage is not None and self.seating is not None
        claim = StateClaim(self.plan.run, number, self.stage, step, state).signed(self.key)
        self._claims[self.stage, step] = claim
        keeper = self.seating.keeper(self.stage)
        if keeper is None:
            return [*self._note_kept(claim), *self._go_on()]
        self._kept.setdefault(step, set())
        return [self._tell((self.seating.seats[keeper],), NoteKind.CLAIM, claim), *self._go_on()]

    def on_kept(self, claim: StateClaim) -> list[SeatEffect]:
        """A state of another stage has been fetched."""
        if not self._holds(claim.number) or self._fetching.get(claim.stage) != claim:
            return []
        del self._fetching[claim.stage]
        self._claims[claim.stage, claim.step] = claim
        return [self._tell(self._others(), NoteKind.KEPT, claim), *self._note_kept(claim)]

    def on_unkept(self, claim: StateClaim) -> list[SeatEffect]:
        """A state of another stage could not be fetched: its owner's next word is heard again."""
        if self._fetching.get(claim.stage) == claim:
            del self._fetching[claim.stage]
        return []

    def on_stalled(self, number: int) -> list[SeatEffect]:
        """What the own stage waits for has not come in time."""
        if self._holds(number) and self.phase is SeatPhase.TRAINING:
            self.phase = SeatPhase.STALLED
        return []

    def tick(self) -> list[SeatEffect]:
        """Say again what others may have missed, as far as this peer waits for it."""
        if self.seating is None or self.stage is None:
            return []
        if self.phase is SeatPhase.READY:
            missing = [peer for stage, peer in enumerate(self.seating.seats) if stage not in self._ready]
            return [self._tell(missing, NoteKind.READY)]
        asked = [c for (stage, step), c in self._claims.items() if stage == self.stage and step > self._agreed[1]]
        return [self._tell(self._others(), NoteKind.CLAIM, claim) for claim in asked]

    def stance(self, states: Sequence[bytes], reports: Sequence[bytes] = (), bans: Sequence[ShownBan] = ()) -> Stance:
        """Return where this peer stands, given the digests of the states that it can show, and the bans."""
        number, claims = 0 if self.seating is None else self.seating.number, tuple(self._claims.values())
        return Stance(number, self.phase, self.step, tuple(states), claims, tuple(reports), tuple(bans))

    def _holds(self, number: int) -> bool:
        return self.seating is not None and self.seating.number == number

    def _stage_of(self, peer: PeerId) -> int | None:
        return None if self.seating is None or self.stage is None else self.seating.stage_of(peer)

    def _others(self) -> list[PeerId]:
        assert self.seating is not None
        return [peer for peer in self.seating.seats if peer != self.key.peer_id]

    def _tell(self, peers: Sequence[PeerId], kind: NoteKind, claim: StateClaim | None = None) -> TellPeers:
        assert self.seating is not None
        return TellPeers(tuple(peers), SeatNote(kind, self.seating.number, claim))

    def _hear_ready(self, sender: PeerId, stage: int, kind: NoteKind) -> list[SeatEffect]:
        self._ready.add(stage)
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

    def _hear_claim(self, sender: PeerId, stage: int, claim: StateClaim) -> list[SeatEffect]:
        """Fetch a state, if that falls to this peer; and tell of the one that it keeps, which the sender may miss."""
        assert self.seating is not None
        if claim.run != self.plan.run or not self._holds(claim.number) or claim.stage != stage:
            return []
        places = self._claims.items()
        kept = [known for (of, step), known in places if of != self.stage and step == claim.step]
        effects: list[SeatEffect] = [self._tell((sender,), NoteKind.KEPT, known) for known in kept]
        is_new = (stage, claim.step) not in self._claims and stage not in self._fetching
        if is_new and self.seating.keeper(stage) == self.stage and self._is_due(claim):
            claim.verify(sender)
            self._fetching[stage] = claim
            effects.append(KeepState(claim, sender))
        return effects

    def _hear_kept(self, stage: int, claim: StateClaim) -> list[SeatEffect]:
        assert self.seating is not None
        if not self._is_due(claim) or self.seating.keeper(claim.stage) != stage:
            return []
        claim.verify(self.seating.seats[claim.stage])
        return self._note_kept(claim)

    def _is_due(self, claim: StateClaim) -> bool:
        """Whether a state may be spoken of: of this seating, and of a step that honest peers can have come to."""
        assert self.seating is not None
        fits = claim.run == self.plan.run and self._holds(claim.number) and claim.stage < len(self.seating.seats)
        return fits and self._agreed[1] < claim.step <= self.step + 1 and self.plan.keeps(claim.step)

    def _note_kept(self, claim: StateClaim) -> list[SeatEffect]:
        assert self.seating is not None
        kept = self._kept.setdefault(claim.step, set())
        kept.add(claim.stage)
        if len(kept) < len(self.seating.seats):
            return []
        self._agreed = (self._agreed[1], claim.step)
        oldest = self._agreed[0]
        self._kept = {step: stages for step, stages in self._kept.items() if step > claim.step}
        self._claims = {place: known for place, known in self._claims.items() if place[1] >= oldest}
        return [ForgetStates(oldest), *self._go_on()]

    def _go_on(self) -> list[SeatEffect]:
        """Begin the next step if the own state before it is made, and all older ones are agreed."""
        if self.phase is not SeatPhase.KEEPING or (self.stage, self.step) not in self._claims:
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
