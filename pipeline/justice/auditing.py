"""A drawn stage computes another one's step again: who shows it what, and what it finds."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from btard.hashing import digest
from btard.identity import Malformed
from btard.identity.codec import as_bytes, as_list, decode, encode
from btard.pipeline.justice.audit import AuditFinding, StepRecord, find_wrong
from btard.pipeline.justice.case import MAX_CASE, CasePiece, StageCase
from btard.pipeline.justice.cases import CaseWriter
from btard.pipeline.justice.judgement import CaseUnfounded
from btard.pipeline.machine.context import StageContext
from btard.pipeline.machine.messages import StageMessage, StageMessageKind
from btard.pipeline.machine.parcels import open_parcel, send_parcel
from btard.pipeline.machine.shown import ShownMessage
from btard.pipeline.step.passes import Passes
from btard.pipeline.step.sealing import Sealing

_ROWS = StageMessageKind.TIED, StageMessageKind.NORMS


@dataclass
class Auditing:
    """The audits of one attempt.

    Attributes:
        context: of the stage.
        audits: which stage is audited by which.
        wanted: what is missing.
        right: the cases of the stages that were found right here.
    """

    context: StageContext
    sealing: Sealing
    writer: CaseWriter
    passes: Passes
    audits: dict[int, int]
    wanted: list[tuple[StageMessageKind, int, int]] = field(default_factory=list)
    right: dict[int, StageCase] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Show drawn stages what they need."""
        context, lineup = self.context, self.context.lineup
        for audited, auditor in self.audits.items():
            if audited == context.number:
                record = self.writer.own_record(self.passes).encode()
                send_parcel(context, StageMessageKind.RECORD, [auditor], record, (context.step, context.attempt))
            shown = []
            if lineup.before(audited) == context.number:
                shown.append(StageMessageKind.GRADIENT)
            if lineup.after(audited) == context.number:
                shown.append(StageMessageKind.ACTIVATION)
            for kind in shown:
                messages = [context.find(kind, audited, number) for number in range(context.plan.micro_batches)]
                whole = not context.plan.comparison.exact
                told = [ShownMessage.of(message, whole=whole).encode() for message in messages if message is not None]
                if auditor != context.number:
                    context.send(StageMessageKind.WITNESS, [auditor], encode(told), audited)

    def advance(self) -> tuple[AuditFinding, StageCase] | bool:
        """Check what can be checked; whether all audits of the attempt are done, or what one has found."""
        context = self.context
        self.wanted = []
        for audited, auditor in self.audits.items():
            if auditor == context.number and audited not in self.right:
                outcome = self._audit(audited)
                if isinstance(outcome, tuple):
                    return outcome
                if outcome:
                    context.send(StageMessageKind.AUDITED, [context.last], b"", audited)
            elif context.number == context.last and context.find(StageMessageKind.AUDITED, auditor, audited) is None:
                self.wanted.append((StageMessageKind.AUDITED, auditor, audited))
        return not self.wanted

    def _audit(self, audited: int) -> tuple[AuditFinding, StageCase] | bool:
        """Return what is wrong with a stage's step, or whether it could be checked."""
        context = self.context
        data = open_parcel(lambda n: context.find(StageMessageKind.RECORD, audited, n))
        witnessed = self._witnessed(audited)
        if isinstance(data, int) or witnessed is None:
            self.wanted += [(StageMessageKind.RECORD, audited, data)] if isinstance(data, int) else []
            return False
        pledge = context.inbox.find(0, StageMessageKind.PLEDGE, audited)
        rows = {kind: context.find(kind, audited) for kind in _ROWS}
        told = {kind: message for kind, message in rows.items() if message is not None}
        try:
            record = StepRecord.decode(data)
            case = StageCase(
                self.sealing.facts,
                pledge,
                None,
                list(context.batches),
                context.plan.ids(context.step),
                record.state.weights,
                record.state.optimizer,
                record.pieces,
                list(self.writer.rows(StageMessageKind.TIED).values()),
                scale=record.state.scale,
            )
            learns = audited in context.lineup.learning
            found = find_wrong(case, audited, (context.step, context.attempt), witnessed, told if learns else {})
        except (Malformed, CaseUnfounded):
            self.wanted.append((StageMessageKind.RECORD, audited, 0))
            return False
        if found is None or context.behaviour.tolerates(context.place(), audited):
            self.right[audited] = case
            return True
        said = found.said or self._whole(audited, found)
        return found, replace(
            case, said=said, optimizer=b"", optimizer_digest=digest(case.optimizer), pieces=self._relevant(case, found)
        )

    def _whole(self, audited: int, found: AuditFinding) -> StageMessage | None:
        """Return the message in question with its bytes, which only matter where bits may differ."""
        header = found.accusation.said.header
        for (kind, number), shown in (self._witnessed(audited) or {}).items():
            if (kind, number) == (header.kind, header.micro_batch) and shown.payload:
                return StageMessage(header, found.accusation.said.signature, shown.payload)
        return None

    def _relevant(self, case: StageCase, found: AuditFinding) -> list[CasePiece]:
        header = found.accusation.said.header
        if header.kind in _ROWS:
            return list(case.pieces)
        return [piece for piece in case.pieces if piece.number == header.micro_batch]

    def _witnessed(self, audited: int) -> dict[tuple[StageMessageKind, int], ShownMessage] | None:
        """Return what the audited stage has sent its neighbours, None while one of them has not shown it."""
        lineup, found = self.context.lineup, dict[tuple[StageMessageKind, int], ShownMessage]()
        neighbours = (
            (lineup.before(audited), StageMessageKind.GRADIENT),
            (lineup.after(audited), StageMessageKind.ACTIVATION),
        )
        for neighbour, kind in neighbours:
            if neighbour is None:
                continue
            shown = self._shown_by(neighbour, audited, kind)
            if shown is None:
                self.wanted.append((StageMessageKind.WITNESS, neighbour, audited))
                return None
            found.update({(kind, number): message for number, message in enumerate(shown)})
        return found

    def _shown_by(self, neighbour: int, audited: int, kind: StageMessageKind) -> list[ShownMessage] | None:
        context, count = self.context, self.context.plan.micro_batches
        if neighbour == context.number:
            own = [context.find(kind, audited, number) for number in range(count)]
            return [ShownMessage.of(message, whole=True) for message in own if message is not None]
        message = context.find(StageMessageKind.WITNESS, neighbour, audited)
        if message is None:
            return None
        try:
            shown = [
                ShownMessage.decode(as_bytes(item, most=MAX_CASE))
                for item in as_list(decode(message.payload, limit=len(message.payload)), most=count)
            ]
            for number, item in enumerate(shown):
                told = item.signed.header
                wanted = (context.plan.run, context.step, context.attempt, kind, audited, number)
                if (told.run, told.step, told.attempt, told.kind, told.stage, told.micro_batch) != wanted:
                    return None
                item.signed.verify(context.plan.roster[audited])
        except Malformed:
            return None
        return shown if len(shown) == count else None
