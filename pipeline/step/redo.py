"""Why an attempt is done anew, and who takes part in the next one."""

from __future__ import annotations

from collections.abc import Callable

from btard.identity import Malformed
from btard.pipeline.choices import AfterAlarm
from btard.pipeline.defence.recovery import Recovery, recovery
from btard.pipeline.justice.accusation import Accusation, Claim
from btard.pipeline.machine.context import StageContext
from btard.pipeline.machine.messages import StageMessage, StageMessageKind
from btard.pipeline.machine.plan import PipelinePlan
from btard.pipeline.step.lineup import Lineup

CAUSES = (StageMessageKind.ALARM, StageMessageKind.RAW)


class Causes:
    """The reasons of one step so far.

    Attributes:
        context: of the stage.
        trusts: whether a stage's alarms still count; the last stage decides.
    """

    def __init__(self, context: StageContext, trusts: Callable[[int], bool]) -> None:
        self.context, self.trusts = context, trusts
        self._found: list[StageMessage] = []
        self._raw: frozenset[int] = frozenset()

    def add(self, cause: StageMessage) -> None:
        """Act upon a reason from the next attempt on."""
        self._found.append(cause)
        if cause.header.kind is StageMessageKind.RAW:
            self._raw |= {cause.header.micro_batch}

    def suspicions(self) -> list[tuple[int, Accusation]]:
        """Return accuser and accusation of each alarm."""
        alarms = [cause for cause in self._found if cause.header.kind is StageMessageKind.ALARM]
        return [(alarm.header.stage, Accusation.decode(alarm.payload)) for alarm in alarms]

    def lineup(self) -> Lineup:
        """Return which stages take part after all alarms so far; nobody does without the first or the last stage."""
        context, plan = self.context, self.context.plan
        skipped, frozen = set(context.vacant), set(context.vacant)
        if plan.after_alarm is AfterAlarm.SKIP:
            for accuser, accusation in self.suspicions():
                chosen = suspects(context.stages, accuser, accusation, plan)
                skipped |= chosen.skipped
                frozen |= chosen.frozen
        if {0, context.last} & skipped:
            skipped = frozen = set(range(context.stages))
        return Lineup(context.stages, plan.duplicates, Recovery(frozenset(skipped), frozenset(frozen)), self._raw)

    def counts(self, cause: StageMessage) -> bool:
        """Whether a message is a reason to do the current attempt anew."""
        context, told = self.context, cause.header
        if (told.run, told.step, told.attempt) != (context.plan.run, context.step, context.attempt):
            return False
        if told.kind not in CAUSES or told.stage >= context.stages or told.stage in context.vacant:
            return False
        try:
            cause.verify(context.plan.roster[told.stage])
            if told.kind is StageMessageKind.RAW:
                return not cause.payload and told.micro_batch not in self._raw and told.micro_batch < context.last
            Accusation.decode(cause.payload).check(told, context.plan.roster)
        except Malformed:
            return False
        return context.plan.checked and (context.number != context.last or self.trusts(told.stage))


def suspects(stages: int, accuser: int, accusation: Accusation, plan: PipelinePlan) -> Recovery:
    """Return which stages an alarm passes by, and which do not learn.

    A stage that checks the one before it may be wrong, or lie, or have been sent something else than that one (see
    `recovery`). Any other alarm is about the accused and its accuser alone; one that shows two faces, about the
    accused.
    """
    accused = accusation.accused
    if plan.duplicates and accuser == accused + 1 and accused >= 1 and accusation.claim is not Claim.TWO_FACED:
        return recovery(stages, accuser, trusted_relay=plan.trusted_relay)
    parties = frozenset({accused} if accusation.claim is Claim.TWO_FACED else {accused, accuser})
    if accused in (0, stages - 1):
        return Recovery(parties, parties)
    middle = parties - {0, stages - 1}
    # A stage whose duplicate lives on one that is passed by does not learn either, or the two would differ.
    beside = {stage - 1 for stage in middle if plan.duplicates and stage >= 2}
    return Recovery(middle, middle | beside)
