"""One step: attempts until all members of one hold the same bytes, or until this peer must stop."""

from __future__ import annotations

import math
from collections.abc import Callable

from btard.behaviour import Behaviour
from btard.identity import Envelope, IdentityKey, Malformed, MessageKind, PeerId
from btard.round.actions import Action, OutcomeKind, Stopped, Voided
from btard.round.agree import AgreePhase, check_certificate
from btard.round.attempt import Attempt, StepRules
from btard.round.commit import CommitPhase
from btard.round.gather import GatherPhase
from btard.round.messages import Certificate, Fault, Leave, Phase
from btard.round.phases import HOPELESS, PhaseOfAttempt, StepContext
from btard.round.roster import Roster
from btard.round.scatter import ScatterPhase
from btard.round.void import Settlement
from btard.transport.base import Payload


class StepMachine:
    """A peer's part in one step.

    Every method is an event and returns actions. `deadline` is the time at which `tick` wants to be called; times are
    in seconds of the driver's clock. After a Finished or Stopped action the machine is `over` and ignores everything.
    """

    def __init__(
        self,
        rules: StepRules,
        roster: Roster,
        key: IdentityKey,
        behaviour: Behaviour,
        *,
        parameters: bytes,
        candidates: tuple[PeerId, ...] = (),
    ) -> None:
        self._step = StepContext(rules, roster, key, behaviour, parameters, candidates)
        self._banned: frozenset[PeerId] = frozenset()
        self._future: dict[tuple[MessageKind, PeerId], Envelope] = {}
        self._left: dict[PeerId, Envelope] = {}
        self.over = False
        self._new_attempt(0, roster.members)

    def _new_attempt(self, number: int, members: tuple[PeerId, ...]) -> None:
        self._attempt = Attempt(
            self._step.rules, self._step.roster, number, members, self._step.key.peer_id, self._step.parameters
        )
        self._settlement = Settlement(self._step, self._attempt)
        self._settlement.left = {peer: leave for peer, leave in self._left.items() if peer in members}
        self._commit = CommitPhase(self._step, self._attempt)
        self._gather = GatherPhase(self._step, self._attempt)
        self._agree: AgreePhase | None = None
        self._phase: PhaseOfAttempt = self._commit
        self._phase_ends = math.inf
        self._barrier = 0.0
        self._others_passed = math.inf

    @property
    def members(self) -> tuple[PeerId, ...]:
        """The members of the current attempt."""
        return self._attempt.members

    @property
    def deadline(self) -> float:
        """When the machine wants a `tick`."""
        if self.over:
            return math.inf
        return self._settlement.deadline if self._settlement.frozen else self._phase_ends

    def start(self, now: float) -> list[Action]:
        """Begin the step."""
        return self._advance(now, self._enter(now, self._commit))

    def parts_ready(
        self, now: float, attempt: int, parts: tuple[memoryview, ...], digests: tuple[bytes, ...]
    ) -> list[Action]:
        """The parts that an EncodeParts action asked for are ready; an answer to an earlier attempt is ignored."""
        if self.over or attempt != self._attempt.number or not self._commit.busy() or self._settlement.frozen:
            return []
        return self._advance(now, self._commit.parts_ready(parts, digests))

    def aggregate_ready(self, now: float, attempt: int, payload: Payload, refused: tuple[int, ...]) -> list[Action]:
        """The aggregate that an AggregateRows action asked for is ready; one of an earlier attempt is ignored."""
        if self.over or attempt != self._attempt.number or not self._gather.busy() or self._settlement.frozen:
            return []
        return self._advance(now, self._gather.aggregate_ready(payload, refused))

    def on_envelope(self, now: float, envelope: Envelope) -> list[Action]:
        """A signed message of this run and step came, authenticated as its author's own."""
        if self.over or envelope.author not in self._attempt.position:
            return []
        try:
            if envelope.kind is MessageKind.CERTIFICATE:
                return self._certified(envelope)
            if envelope.kind is MessageKind.LEAVE:
                Leave.decode(envelope.body)
                self._left.setdefault(envelope.author, envelope)
                self._settlement.left.setdefault(envelope.author, envelope)
            elif envelope.attempt == self._attempt.number + 1:
                self._future.setdefault((envelope.kind, envelope.author), envelope)
            elif envelope.attempt == self._attempt.number:
                self._file(envelope)
        except Malformed:
            return []
        return self._advance(now, [])

    def _file(self, envelope: Envelope) -> None:
        keep: dict[MessageKind, Callable[[Envelope], None]] = {
            MessageKind.COMMIT: self._attempt.add_commit,
            MessageKind.DIGEST: self._attempt.add_digest,
            MessageKind.REPORT: self._settlement.add_report,
            MessageKind.RELAY: self._settlement.add_relay,
        }
        if envelope.kind in keep:
            keep[envelope.kind](envelope)

    def accept_part(self, envelope: Envelope, length: int) -> memoryview | None:
        """A payload is announced under this header: return its buffer, or None to refuse it."""
        if self.over or self._settlement.frozen or envelope.attempt != self._attempt.number:
            return None
        try:
            return self._attempt.accept(envelope, length)
        except Malformed:
            return None

    def on_part(self, now: float, envelope: Envelope, payload: memoryview, digest: bytes) -> list[Action]:
        """An accepted payload is complete."""
        if self.over or envelope.attempt != self._attempt.number:
            return []
        self._attempt.complete(envelope, payload, digest)
        return self._advance(now, [])

    def on_part_failed(self, now: float, envelope: Envelope) -> list[Action]:
        """An accepted payload will not come."""
        if self.over or envelope.attempt != self._attempt.number:
            return []
        self._attempt.failed(envelope)
        return self._advance(now, [])

    def tick(self, now: float) -> list[Action]:
        """The deadline has passed (an early call does no harm)."""
        return [] if self.over else self._advance(now, [])

    def _enter(self, now: float, phase: PhaseOfAttempt) -> list[Action]:
        """Begin a phase, and set its deadline.

        After the barrier every phase ends a fixed time after it, so that who is held up in an earlier phase is heard of
        before it is blamed in a later one: barriers differ by at most three times the bound on delay (`settle`).
        """
        rules = self._step.rules
        starts = {
            Phase.COMMIT: 0.0,
            Phase.SCATTER: 0.0,
            Phase.GATHER: rules.scatter + 4 * rules.settle,
            Phase.AGREE: rules.scatter + rules.gather + 8 * rules.settle,
        }
        if phase.phase in (Phase.COMMIT, Phase.SCATTER):
            self._barrier = now
        self._phase = phase
        self._phase_ends = self._barrier + starts[phase.phase] + phase.seconds()
        return phase.enter()

    def _advance(self, now: float, actions: list[Action]) -> list[Action]:
        """Go as far as what has arrived allows."""
        while not self.over and not self._settlement.frozen:
            if self._phase is self._commit and self._commit.passed_elsewhere():
                self._phase_ends = min(self._phase_ends, self._barrier_seen(now) + self._step.rules.settle)
            missing = self._phase.missing()
            proofs = self._proofs()
            if not missing and not proofs and not self._phase.busy():
                actions += self._next_phase(now)
                continue
            if not self._must_freeze(now, missing, proofs):
                return actions
            if self._phase is self._commit and self._commit.outvoted():
                return actions + self._stop(OutcomeKind.OUT_OF_SYNC, "most members hold another training state")
            actions += self._freeze(now, missing, proofs)
        if not self.over:
            actions += self._settlement.advance(now)
            actions += self._resolve(now)
        return actions

    def _barrier_seen(self, now: float) -> float:
        """Return when it was first seen that others have passed the barrier."""
        self._others_passed = min(self._others_passed, now)
        return self._others_passed

    def _next_phase(self, now: float) -> list[Action]:
        if self._phase is self._commit:
            return self._enter(now, ScatterPhase(self._step, self._attempt))
        if isinstance(self._phase, ScatterPhase):
            return self._enter(now, self._gather)
        if self._agree is None:
            self._agree = AgreePhase(self._step, self._attempt, self._banned)
            return self._enter(now, self._agree)
        self.over = True
        return [self._agree.finished()]

    def _proofs(self) -> list[Envelope]:
        pairs = list(self._attempt.contradictions.values())
        pairs += [(commit, part) for _, commit, part in self._attempt.part_mismatches()]
        return [envelope for pair in pairs for envelope in pair]

    def _must_freeze(self, now: float, missing: dict[PeerId, Fault], proofs: list[Envelope]) -> bool:
        """Whether the attempt is lost: proven lies, a deadline, or nothing to wait for but what will not come."""
        if proofs or now >= self._phase_ends or not self._settlement.left.keys().isdisjoint(missing):
            return True
        gone = self._settlement.explained
        hopeless = {peer for peer, fault in missing.items() if fault in HOPELESS}
        return bool(missing) and not self._phase.busy() and set(missing) <= gone | hopeless

    def _freeze(self, now: float, missing: dict[PeerId, Fault], proofs: list[Envelope]) -> list[Action]:
        explained = self._settlement.explained
        late = now >= self._phase_ends
        complaints = {
            peer: fault for peer, fault in missing.items() if fault in HOPELESS or (late and peer not in explained)
        }
        if any(fault is Fault.OTHER_DIGEST for fault in complaints.values()):
            kinds = (MessageKind.COMMIT, MessageKind.AGGREGATE)
            proofs = proofs + [e for (kind, author), e in self._attempt.signed.items() if kind in kinds]
        return self._settlement.freeze(now, self._phase.phase, complaints, proofs)

    def _resolve(self, now: float) -> list[Action]:
        resolution = self._settlement.resolution(now)
        if resolution is None:
            return []
        number, me = self._attempt.number, self._attempt.me
        self._banned |= {verdict.peer for verdict in resolution.verdicts}
        actions: list[Action] = [
            Voided(self._step.roster.step, number, resolution.suspended, resolution.verdicts, resolution.left)
        ]
        if me not in resolution.members:
            reason = dict(resolution.suspended).get(me, "banned")
            return actions + self._stop(OutcomeKind.SUSPENDED, reason)
        if 2 * len(resolution.members) <= len(self._step.roster.members):
            left, all_members = len(resolution.members), len(self._step.roster.members)
            return actions + self._stop(
                OutcomeKind.NO_MAJORITY, f"{left} of {all_members} members are left, and more than half must agree"
            )
        if number > 2 * len(self._step.roster.members):
            return actions + self._stop(OutcomeKind.NO_MAJORITY, f"{number + 1} attempts have failed")
        self._new_attempt(number + 1, resolution.members)
        actions += self._enter(now, self._commit)
        for envelope in self._take_future():
            actions += self.on_envelope(now, envelope)
        return self._advance(now, actions)

    def _take_future(self) -> list[Envelope]:
        future, self._future = list(self._future.values()), {}
        return future

    def _certified(self, envelope: Envelope) -> list[Action]:
        """Others have finished: so has whoever signed the same digest; who did not cannot know the result."""
        certificate = tuple(Envelope.decode(data) for data in Certificate.decode(envelope.body).digests)
        members, digest = check_certificate(certificate, self._step.rules, self._step.roster)
        if self._agree is not None and digest == self._agree.digest:
            self.over = True
            return [self._agree.finished_by(tuple(sorted(certificate, key=lambda e: e.author)))]
        if self._attempt.me not in members:
            return self._stop(OutcomeKind.SUSPENDED, "the others finished the step without this peer")
        return []

    def _stop(self, kind: OutcomeKind, reason: str) -> list[Action]:
        self.over = True
        return [Stopped(self._step.roster.step, kind, reason)]
