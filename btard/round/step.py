"""One step: attempts until all members of one hold the same bytes, or until this peer must stop."""

from __future__ import annotations

import contextlib
import math

from btard.identity import Envelope, Heading, Malformed, MessageKind, PeerId
from btard.round.actions import Action, Finished, OutcomeKind, Stopped, Verdict, Voided
from btard.round.aggregates import refusal
from btard.round.attempt.attempt import Attempt
from btard.round.context import StepContext
from btard.round.delivery.arrivals import accept
from btard.round.delivery.exchange import Exchange
from btard.round.delivery.intake import TIMELESS, Intake
from btard.round.delivery.patience import Patience
from btard.round.failure.aftermath import Aftermath
from btard.round.failure.court.following import follow
from btard.round.failure.court.hearing import Hearing, spoilt_column
from btard.round.failure.overdue import lose_patience
from btard.round.failure.settlement import Settlement, SettlementStage
from btard.round.failure.standing import Standing, end_of_road
from btard.round.failure.stopping import Grounds, charge_of, give_up, is_lost, proofs
from btard.round.messages.accusations import Charge, Fault
from btard.round.messages.bodies import BROADCASTS, Phase
from btard.round.messages.form import form_fault
from btard.round.messages.requests import Certificate, Pull
from btard.round.phases.agree import check_certificate
from btard.round.phases.commit import CommitPhase
from btard.round.phases.course import Course
from btard.round.phases.phase import StepStage
from btard.round.proof import make_evidence
from btard.round.work import answers
from btard.round.work.own import OwnWork
from btard.round.work.rows import Aggregated
from btard.vectors.buffers import BufferPool


class StepMachine:
    """A peer's part in one step.

    Every method is an event and returns actions. `deadline` is when `tick` wants to be called, in seconds of the
    driver's clock. What arrives is filed or answered, and looked at as a whole by the next `tick`, which the machine
    then wants at once: much arrives together. After a Finished or Stopped action it is `over` and ignores all.

    Attributes:
        over: whether the step has ended for this peer; every arrival asks.
        aftermath: once the step is finished, what is still to be done in it.
        exchange: answers and sends requests in the current attempt.
        settled: how the attempts before this one failed, by number.
        standing: what followed from that.
        own: what this peer's own work has come to.
    """

    def __init__(self, context: StepContext, pool: BufferPool | None = None) -> None:
        """Make ready for `start`; with a pool, its memory is used again."""
        self._context = context
        self._pool = pool
        self.own = OwnWork()
        self.standing = Standing(context.roster.members)
        self.settled: dict[int, Settlement] = {}
        self._accusation: Charge | None = None
        self._intake = Intake()
        self._left: dict[PeerId, Envelope] = {}
        self.over = self._unread = False
        self.aftermath: Aftermath | None = None
        self._new_attempt(0, context.roster.members)

    def _new_attempt(self, number: int, members: tuple[PeerId, ...]) -> None:
        context, standing = self._context, self.standing
        self.attempt = Attempt(context.seats(number, members), pool=self._pool)
        self.exchange = Exchange(context, self.attempt)
        left = {peer: leave for peer, leave in self._left.items() if peer in members}
        self._settlement = Settlement(context, self.attempt, self.exchange, standing, left)
        self._heard = self._settlement.heard
        commit = CommitPhase(context, self.attempt, standing.decided, self.own, standing.banned)
        self._course = Course(context, self.attempt, self.exchange, commit)
        self._charge = self._accusation if self._accusation and self._may_charge(self._accusation) else None
        seconds, settled, stand = self.attempt.seats.check_seconds, context.settled, context.others_stand_seconds
        self._patience = Patience(context.rules, seconds, context.pace, settled=settled, others_stand_seconds=stand)
        self._reasoned_at = math.inf
        self._hearing = Hearing()

    @property
    def stage(self) -> StepStage:
        """Where the step stands."""
        if self.over:
            return StepStage.OVER
        return StepStage.SETTLING if self._settlement.frozen else StepStage.RUNNING

    @property
    def wants_tick(self) -> bool:
        """Whether a `tick` is wanted as soon as all that has arrived is handed over."""
        return self._unread and not self.over

    @property
    def deadline(self) -> float:
        """When the machine wants a `tick` at the latest."""
        match self.stage:
            case StepStage.RUNNING:
                return min(self._patience.deadline, self._hearing.until)
            case StepStage.SETTLING:
                return self._settlement.wakes_at
            case StepStage.OVER:
                return math.inf

    def start(self, now: float) -> list[Action]:
        """Begin the step."""
        return self._advance(now, self._begin(now))

    def _begin(self, now: float) -> list[Action]:
        workers = len(self.attempt.seats.workers)
        if (reason := refusal(self._context.rules.aggregation, workers)) is not None:
            return self._stop(OutcomeKind.NO_MAJORITY, f"{workers} workers cannot aggregate: {reason}")
        return self._enter(now)

    def answer(self, now: float, answer: answers.Answer) -> list[Action]:
        """The answer to an action has come; one that is of no use any more is ignored."""
        settlement = self._settlement
        looking = settlement.court or self._course.check
        if self.over or not answer.belongs(self._context.number, self.attempt.seats.number):
            return []
        actions: list[Action] = []
        match answer:
            case answers.GradientComputed():
                self.own.gradient = answer
                return [] if settlement.frozen else self._course.commit.computed(answer)
            case answers.PartsEncoded(_, parts, digests) if self._course.commit.busy() and not settlement.frozen:
                actions = self._course.commit.encoded(parts, digests)
            case answers.RowsAggregated(_, result) if self._course.gather.busy():
                actions = self._aggregated(result)
            case answers.RowsMeasured(_, result):
                actions = self._course.measure.measured(result)
            case answers.RowInspected(_, author, part, row) if looking:
                looking.inspected(author, part, row)
            case answers.AggregateCompared(_, part, excess) if looking:
                looking.compared(part, excess)
            case answers.TargetExamined():
                actions = self._target_examined(answer)
            case answers.VectorSketched():
                self.own.sketch = answer.sketch
                actions = [] if settlement.frozen else self._course.commit.publish()
            case answers.OpeningChecked() | answers.Recalled() if settlement.court is not None:
                settlement.court.answered(answer)
            case _:
                return []
        return self._advance(now, actions)

    def _aggregated(self, result: Aggregated) -> list[Action]:
        offence = self._course.gather.offence(result.refused, result.too_long)
        if offence is not None and self._may_charge(offence) and not self._settlement.frozen:
            self._charge = offence
            return []
        return self._course.gather.aggregate_ready(result.payload)

    def _target_examined(self, answer: answers.TargetExamined) -> list[Action]:
        actions, target, finding = list[Action](), answer.target, answer.finding
        if target == self.attempt.seats.target and target not in self.own.examined:
            found, decide = charge_of(target, finding), self._context.behaviour.charge
            if found and self._may_charge(found) and (asks := self._course.commit.ask_others(target, finding)):
                return asks
            self.own.examined[target] = answer
            charge = decide(self._context.number, Phase.COMMIT, found, self.attempt.view)
            if charge is not None and self._may_charge(charge):
                self._charge = self._accusation = charge
            elif self._course.commit.busy() and not self._settlement.frozen:
                actions = self._course.commit.examined()
        if self._settlement.court is not None:
            self._settlement.court.examined(target, finding)
        return actions

    def _may_charge(self, charge: Charge) -> bool:
        return self.standing.hears(self.attempt.seats, self.attempt.seats.me, charge)

    def wants(self, heading: Heading | Envelope) -> bool:
        """Whether a message of this step is worth reading."""
        return self._intake.wants(self.attempt, heading)

    def on_envelope(self, now: float, envelope: Envelope) -> list[Action]:
        """A signed message of this run and step came, which this peer `wants`, authenticated as its author's own."""
        attempt, seats = self.attempt, self.attempt.seats
        if self.over or envelope.author not in seats.known:
            return []
        self._unread = True
        if envelope.kind in BROADCASTS and envelope.attempt == seats.number:
            attempt.file(envelope)
            return []
        if envelope.attempt == seats.number + 1 and envelope.kind not in TIMELESS:
            self._intake.keep(envelope)
            return []
        try:
            if form_fault(envelope) is not None:
                attempt.said.accuse_malformed(envelope)
                raise Malformed("a message of a wrong form")
            if envelope.kind is MessageKind.CERTIFICATE:
                return self._certified(now, envelope)
            if envelope.kind is MessageKind.LEAVE:
                self._left.setdefault(envelope.author, envelope)
                self._heard.add_goodbye(envelope)
            elif envelope.attempt == seats.number:
                return self._file(now, envelope)
            elif envelope.attempt in self.settled and envelope.kind is MessageKind.RELAY:
                return self.settled[envelope.attempt].hear_from(now, envelope, self._intake)
        except Malformed:
            self._intake.mute(envelope)
        return []

    def _file(self, now: float, envelope: Envelope) -> list[Action]:
        match envelope.kind:
            case MessageKind.PULL:
                if self._course.phase is self._course.commit and not envelope.read(Pull).early:
                    self._patience.others_have_passed(now, wait=False)
                return self.exchange.on_pull(now, envelope)
            case MessageKind.FORWARD:
                return self.exchange.take_up(envelope)
            case MessageKind.REPORT | MessageKind.VOTE | MessageKind.RELAY:
                return self._settlement.hear_from(now, envelope, self._intake)
            case MessageKind.OVERDUE:
                if self._heard.add_overdue(envelope):
                    self.exchange.account.note_at_work(envelope.author, now)
        return []

    def accept_part(self, sender: PeerId, envelope: Envelope, length: int) -> memoryview | None:
        """A payload is announced under this header: return its buffer, or None to refuse it."""
        if self.over:
            return None
        buffer, alarmed = accept(self.attempt, self._intake, sender, envelope, length)
        self._unread = self._unread or alarmed
        return buffer

    def on_part(self, sender: PeerId, envelope: Envelope, digest: bytes) -> bool:
        """An accepted payload is complete. Returns whether it is not what was announced and committed to."""
        if self.over or envelope.attempt != self.attempt.seats.number:
            return False
        self._unread = True
        with contextlib.suppress(Malformed):
            return self.attempt.complete(sender, envelope, digest) is None
        return True

    def on_part_failed(self, now: float, sender: PeerId, envelope: Envelope) -> list[Action]:
        """An accepted payload will not come."""
        if self.over or envelope.attempt != self.attempt.seats.number:
            return []
        self.attempt.failed(sender, envelope)
        return self._advance(now, [])

    def tick(self, now: float) -> list[Action]:
        """The deadline has passed (an early call does no harm)."""
        return [] if self.over else self._advance(now, [])

    def _enter(self, now: float) -> list[Action]:
        phase = self._course.phase
        self._patience.begin(now, phase.phase, phase.seconds())
        return phase.enter()

    def _advance(self, now: float, actions: list[Action]) -> list[Action]:
        self._unread = False
        actions += self.exchange.serve(now)
        going_on = not self._patience.paused
        while going_on and self.stage is StepStage.RUNNING:
            done, going_on = self._run(now)
            actions += done
        if self.stage is StepStage.SETTLING:
            settlement = self._settlement
            if settlement.court is not None and settlement.stage is SettlementStage.COURT:
                actions += follow(now, settlement.court, self._course, self.exchange, self.standing)
            actions += settlement.advance(now)
            actions += self._resolve(now)
        return actions

    def _run(self, now: float) -> tuple[list[Action], bool]:
        """Look at the phase once. Returns what is to be done, and whether it has ended, or the attempt has."""
        phase, actions = self._course.phase, list[Action]()
        self.exchange.account.note_progress(now, phase, self._patience)
        if phase is self._course.check:
            actions += self._course.check.advance()
        if now >= self._hearing.until:
            self._charge = self._charge or self._hearing.close()
        ready = not phase.busy() and phase.complete() and self._hearing.until == math.inf
        if not ready and phase is not self._course.check and self._calm(now):
            return actions, False
        reasoned = self._settlement.reasoned
        if reasoned:
            self._reasoned_at = min(now, self._reasoned_at)
        if phase is self._course.commit and self._course.commit.passed_elsewhere():
            self._patience.others_have_passed(now, wait=True)
        if reasoned and ready and self._charge is None:
            spoilt = spoilt_column(self._course)
            self._charge = spoilt if spoilt is not None and self._may_charge(spoilt) else None
        proven = proofs(self.attempt, phase.phase, self._course.reveal.false_reveals())
        going_on = not reasoned or phase is self._course.agree
        if ready and going_on and not proven and self._charge is None:
            return actions + self._next_phase(now), True
        missing = phase.missing()
        if not self._must_freeze(now, missing, proven):
            actions += self.exchange.urge_for(now, phase.phase, missing, self._course.wanted(), self._patience)
            working = phase is self._course.commit and phase.busy()
            impatience = self._heard.impatience
            actions += lose_patience(now, self._context, self.exchange, self._patience, impatience, working=working)
            return actions, False
        if phase is self._course.commit and self._course.commit.outvoted():
            return actions + self._stop(OutcomeKind.OUT_OF_SYNC, "most members hold another training state"), False
        return actions + self._freeze(now, missing, proven), True

    def _calm(self, now: float) -> bool:
        """Whether nothing says that waiting may be in vain: then a phase only has to be complete."""
        unusual = self.attempt.alarm or self._charge is not None or self._heard.disturbed
        quiet = not unusual and not self.exchange.is_awaited(self._course.phase.phase)
        return quiet and now < self._patience.deadline and self._course.waits()

    def _next_phase(self, now: float) -> list[Action]:
        course, standing, finished = self._course, self.standing, self._course.phase.phase
        shares = self._hearing.share(now, self._context, self.attempt, course)
        if course.may_accuse:
            view, decide = self.attempt.view, self._context.behaviour.charge
            charge = decide(self._context.number, finished, course.charge(), view)
            if charge is not None and self._may_charge(charge):
                if self._hearing.concerns(charge):
                    return shares + self._hearing.open(now, self._context, self.attempt, charge)
                self._charge = charge
                return shares
        if course.go_on(standing.banned, standing.redraws):
            return shares + self._enter(now)
        assert course.agree is not None
        return self._finish(now, course.agree.finished())

    def _must_freeze(self, now: float, missing: dict[PeerId, Fault], proven: list[Envelope]) -> bool:
        why = proven or self._charge or self._settlement.reasoned or self._hearing.ended(now, self._patience.ends)
        return bool(why) or is_lost(missing, self._heard, busy=self._course.phase.busy())

    def _freeze(self, now: float, missing: dict[PeerId, Fault], proven: list[Envelope]) -> list[Action]:
        late = self.exchange.account.late(min(now, self._reasoned_at), self._patience)
        phase, over = self._course.reached(self._charge), now >= self._patience.ends
        return give_up(now, self._context, self._settlement, Grounds(phase, missing, proven, self._charge, late, over))

    def _resolve(self, now: float) -> list[Action]:
        settlement, attempt, context = self._settlement, self.attempt, self._context
        if (resolution := settlement.resolution) is None:
            return []
        if settlement.finished:
            return self._finish_after_all(now)
        self.standing = self.standing.after(resolution)
        verdicts = tuple(Verdict(b.peer, make_evidence(b, attempt, context.previous)) for b in resolution.bans)
        number = attempt.seats.number
        actions: list[Action] = [Voided(context.number, number, resolution.suspended, verdicts, resolution.left)]
        if (end := end_of_road(attempt, resolution)) is not None:
            return actions + self._stop(*end)
        self.settled[number] = settlement
        self._new_attempt(number + 1, resolution.members)
        self.attempt.said.accuse_still(attempt.said.malformed.values())
        actions += self._begin(now)
        for envelope in self._intake.next_attempt():
            actions += self.on_envelope(now, envelope)
        return self._advance(now, actions)

    def _finish_after_all(self, now: float) -> list[Action]:
        finished, agree = self._settlement.finished, self._course.agree
        if agree is not None and finished[0].body == agree.digest.encode():
            return self._finish(now, agree.finished_by(finished))
        return self._stop(OutcomeKind.OUT_OF_SYNC, "the members have agreed on another end of the step")

    def _certified(self, now: float, envelope: Envelope) -> list[Action]:
        """Others have finished: so has a peer that signed the same digest, unless it has reported."""
        certificate = tuple(Envelope.parse(data) for data in envelope.read(Certificate).digests)
        members, digest = check_certificate(certificate, self._context.rules, self._context.roster)
        agree = self._course.agree
        if self.attempt.seats.me not in members:
            return self._stop(OutcomeKind.SUSPENDED, "the others finished the step without this peer")
        if agree is None or digest != agree.digest or self._settlement.frozen:
            return []
        return self._finish(now, agree.finished_by(tuple(sorted(certificate, key=lambda e: e.author))))

    def _finish(self, now: float, finished: Finished) -> list[Action]:
        self.over = True
        pace, waited = self._context.pace, self.exchange.account.held_against(now, self._patience)
        pace.step_over(finished.roster.members, waited)
        pace.spoilt(self._settlement.spoilers)
        self.aftermath = Aftermath(self.attempt, self._settlement, self._intake, pace)
        return [finished, *(self.aftermath.join(now) if self._heard.reasons else ())]

    def stand(self, now: float, *, still: bool) -> list[Action]:
        """Stand still in the first phase, which other members may not have reached, or go on: its time begins again."""
        committing = self._course.phase is self._course.commit and self.attempt.seats.number == 0
        if still and committing and self.stage is StepStage.RUNNING:
            self._patience.pause()
        elif not still and self._patience.paused and not self.over:
            self._patience.begin(now, Phase.COMMIT, self._course.commit.seconds())
            return self._advance(now, [])
        return []

    def abandon(self) -> None:
        """Ignore everything from now on: the step before has ended in another way."""
        self.over = True

    def _stop(self, kind: OutcomeKind, reason: str) -> list[Action]:
        self.over = True
        return [Stopped(self._context.roster.step, kind, reason)]
