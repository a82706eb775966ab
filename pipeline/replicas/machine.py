"""A stage of one of several pipelines: between its passes and its step it waits for the average of all replicas."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import torch

from btard.identity import IdentityKey, Malformed, PeerId
from btard.pipeline.defence.attacks import HONEST
from btard.pipeline.defence.behaviour import StageBehaviour
from btard.pipeline.machine.machine import StageMachine
from btard.pipeline.machine.messages import SignedHeader
from btard.pipeline.machine.plan import AwaitAverage, PipelinePlan, StageEffect, TellReplicas
from btard.pipeline.replicas.notes import RowNote, RowNoteKind
from btard.pipeline.replicas.record import ReplicaRecord, ReplicaStep
from btard.pipeline.replicas.rows import AveragedRows, Row
from btard.pipeline.schedule.worker import StageWorker

AllSteps = Callable[[int], Sequence[ReplicaStep]]
"""step -> that step of all pipelines, by replica; nothing where that is long ago."""

_MOST_ANSWERS = 16
"""To one stage of another pipeline in a step; it asks for two rows, and again after each deadline."""


def as_replica(machine: StageMachine) -> ReplicaMachine:
    """Return a stage of which it is known that it is one of several replicas."""
    assert isinstance(machine, ReplicaMachine)
    return machine


class ReplicaMachine(StageMachine):
    """One stage of one pipeline among several.

    Attributes:
        all_steps: what all know of the pipelines.
        replicas: how many there are.
    """

    _rows: AveragedRows

    def __init__(
        self,
        plan: PipelinePlan,
        key: IdentityKey,
        worker: StageWorker,
        all_steps: AllSteps,
        replicas: int,
        attack: StageBehaviour = HONEST,
    ) -> None:
        self.all_steps, self.replicas = all_steps, replicas
        self._asks_again = self._awaits = False
        self._asked: set[Row] = set()
        self._answers: Counter[PeerId] = Counter()
        self._early: dict[tuple[PeerId, bytes], bytes] = {}
        super().__init__(plan, key, worker, attack=attack)

    def begin(self, now: float, step: int) -> list[StageEffect]:
        """Begin a step; see `StageMachine`. Faster pipelines may have told rows of it already."""
        self._answers.clear()
        early, self._early = self._early, {}
        effects = super().begin(now, step)
        for (sender, _), data in early.items():
            effects += self.hear(sender, data)
        return effects

    def _attempt_anew(self, attempt: int) -> None:
        super()._attempt_anew(attempt)
        self._rows = AveragedRows(self.context, replicas=self.replicas)
        self._asked.clear()
        self._awaits = False

    @property
    def own_gradient(self) -> torch.Tensor | None:
        """What waits for its average: the sum over the pipeline's own micro-batches; None while passes go on."""
        return None if self._rows.averaged else self._rows.own

    def record(self) -> ReplicaRecord:
        """Return all that the gradient of this step was computed from, but for weights and batches."""
        return ReplicaRecord(tuple(self._writer.own_record(self._passes).pieces))

    def average(self, now: float, vector: torch.Tensor) -> list[StageEffect]:
        """Go on with the average of all replicas, float32 of shape (d,), in place of the own gradient."""
        self._stalls = now + self.plan.step_seconds
        self.deadline = min(self._stalls, now + self.plan.retry_seconds)
        self._rows.go_on_with(vector)
        return self._go_on()

    def tick(self, now: float) -> list[StageEffect]:
        """The deadline may have passed; see `StageMachine`. That an average takes long is no fault of this pipeline."""
        if self.own_gradient is not None:
            self._stalls = now + self.plan.step_seconds
        return super().tick(now) + self._speak()

    def _ask(self) -> None:
        super()._ask()
        self._asks_again = self._rows.averaged

    def _go_on(self) -> list[StageEffect]:
        return super()._go_on() + self._speak()

    def _speak(self) -> list[StageEffect]:
        """Return what is to be told other pipelines now, and that an average is waited for, once."""
        effects: list[StageEffect] = []
        if not self._awaits and self.own_gradient is not None:
            self._awaits = True
            effects.append(AwaitAverage(self.context.step, self.own_gradient, self.record().encode()))
        if self._asks_again:
            self._asks_again = False
            self._asked.clear()
            effects += self._questions()
        headers, self._rows.telling = self._rows.telling, []
        for signed in headers:
            others = [peer for roster in self._rosters() if roster != self.plan.roster for peer in roster]
            effects.append(self._tell(others, RowNoteKind.HEADER, signed))
        for row in self._rows.lacking:
            if row not in self._asked:
                self._asked.add(row)
                tellers = self._peers(row[1], self._rows.tellers(row))
                note = RowNote(RowNoteKind.ROW_ASKED, row[0], self.context.step, row[2])
                effects.append(TellReplicas(tuple(tellers), note.encode()))
        return effects

    def _questions(self) -> list[StageEffect]:
        """Return questions for the headers of rows that are missing, to the peers of other pipelines that have them."""
        return [
            TellReplicas(
                tuple(peer for peer in self._peers(stage, replicas) if peer not in self.plan.roster),
                RowNote(RowNoteKind.HEADER_ASKED, kind, self.context.step).encode(),
            )
            for kind, stage, replicas in self._rows.unheard()
        ]

    def _rosters(self) -> list[tuple[PeerId, ...]]:
        return [known.facts.roster for known in self.all_steps(self.context.step)]

    def _peers(self, stage: int, replicas: Sequence[int]) -> list[PeerId]:
        rosters = self._rosters()
        return [rosters[replica][stage] for replica in replicas]

    def _tell(self, peers: Sequence[PeerId], kind: RowNoteKind, signed: SignedHeader, row: bytes = b"") -> TellReplicas:
        header = signed.header
        content = row if kind is RowNoteKind.ROW else signed.encode()
        return TellReplicas(tuple(peers), RowNote(kind, header.kind, header.step, content).encode())

    def hear(self, sender: PeerId, data: bytes) -> list[StageEffect]:
        """A stage of another pipeline tells something about rows; what no honest one sends is dropped."""
        try:
            note = RowNote.decode(data)
            match note.kind:
                case RowNoteKind.HEADER:
                    self._hear_header(sender, note, data)
                case RowNoteKind.ROW:
                    self._rows.shown(note.content)
                case RowNoteKind.HEADER_ASKED | RowNoteKind.ROW_ASKED:
                    return self._answer_about_rows(sender, note)
        except Malformed:
            return []
        return self._go_on()

    def _hear_header(self, sender: PeerId, note: RowNote, data: bytes) -> None:
        """Note a header of this step; of the next one, which a faster pipeline may be in, keep it until then."""
        step = self.context.step
        signed = SignedHeader.decode(note.content)
        header = signed.header
        for replica, known in enumerate(self.all_steps(header.step if header.step in (step, step + 1) else step)):
            facts = known.facts
            told = (header.run, note.step, header.step, facts.roster[header.stage : header.stage + 1])
            if told == (facts.run, known.number, known.number, (sender,)) and header.kind is note.row:
                signed.verify(sender)
                if header.step == step:
                    self._rows.hear(replica, header)
                else:
                    self._early.setdefault((sender, bytes([header.kind])), data)

    def _answer_about_rows(self, sender: PeerId, note: RowNote) -> list[StageEffect]:
        """Return the own row that a stage of another pipeline lacks, or its header; nothing if there is none."""
        own = self.context.sent_in(note.step, note.row)
        wanted = note.kind is RowNoteKind.HEADER_ASKED or (own is not None and own.header.payload == note.content)
        known = any(sender in roster for roster in self._rosters())
        if own is None or not wanted or not known or self._answers[sender] >= _MOST_ANSWERS:
            return []
        self._answers[sender] += 1
        kind = RowNoteKind.ROW if note.kind is RowNoteKind.ROW_ASKED else RowNoteKind.HEADER
        return [self._tell([sender], kind, own.signed, own.payload)]
