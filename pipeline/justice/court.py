"""From an alarm to a ban: the accuser files its case with a drawn third stage, whose verdict everybody checks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from btard.hashing import tagged_digest
from btard.identity import Malformed, PeerId
from btard.identity.codec import as_bytes, as_fields, as_int, decode, encode
from btard.identity.peer_id import SIGNATURE_SIZE
from btard.pipeline.justice.accusation import Accusation
from btard.pipeline.justice.case import MAX_CASE, FiledCase, StageCase
from btard.pipeline.justice.evidence import StageEvidence, StageVerdict
from btard.pipeline.justice.judgement import StageJudgement, StageOffence, draw_judges, judge
from btard.pipeline.machine.context import StageContext
from btard.pipeline.machine.messages import StageMessage, StageMessageKind
from btard.pipeline.machine.parcels import open_parcel, send_parcel
from btard.pipeline.machine.plan import StageBanned
from btard.pipeline.machine.sizes import CASE_STEPS
from btard.pipeline.stages.split import MAX_STAGES

STEPS_A_JUDGE = 2
"""For how many steps one judge is waited for before the next one is asked."""


@dataclass
class Dispute:
    """An alarm that no verdict has settled.

    Attributes:
        alarm: of the accuser.
        roster: the peers in that step.
        judges: in which order they are asked.
        asked: how many were.
    """

    alarm: StageMessage
    roster: tuple[PeerId, ...]
    judges: list[int]
    asked: int = 0

    @property
    def at(self) -> tuple[int, int]:
        """Step and attempt of the alarm."""
        return self.alarm.header.step, self.alarm.header.attempt

    @property
    def accusation(self) -> Accusation:
        """What it says; it was checked when it was heard."""
        return Accusation.decode(self.alarm.payload)

    def judge(self, step: int) -> int | None:
        """Return the stage that is to judge in a step; None if all had their turn."""
        turn = (step - self.at[0]) // STEPS_A_JUDGE
        return self.judges[turn] if turn < len(self.judges) else None


class StageCourt:
    """The disputes as one stage knows them.

    Attributes:
        banned: the seats of stages that were found out, until other peers take them.
    """

    def __init__(self, context: StageContext) -> None:
        self.context = context
        self.banned: set[int] = set()
        self._disputes: list[Dispute] = []
        self._filed: dict[tuple[int, int], FiledCase] = {}
        self._unproven: dict[int, int] = {}

    def file(self, alarm: StageMessage, case: StageCase) -> None:
        """Keep the case of an own alarm, for the stage that will judge."""
        place = alarm.header.step, alarm.header.attempt
        self._filed[place] = FiledCase.sign(self.context.key, alarm, case)

    def open(self, alarm: StageMessage, redo: StageMessage) -> None:
        """Hear of an alarm that all act upon; the signature that says so draws the judges."""
        context, accusation = self.context, Accusation.decode(alarm.payload)
        parties = (alarm.header.stage, accusation.accused)
        able = [stage for stage in range(context.stages) if stage not in parties and stage not in context.vacant]
        seed = tagged_digest("btard pipeline judges", alarm.signature, redo.signature)
        self._disputes.append(Dispute(alarm, context.plan.roster, draw_judges(seed, able)))

    def trusts(self, stage: int) -> bool:
        """Whether a stage's alarms still count: two without a case were enough."""
        return self._unproven.get(stage, 0) < 2 and stage not in self.banned

    def begin(self) -> None:
        """Go on to a step: disputes without an end lapse."""
        for dispute in list(self._disputes):
            if self.context.step - dispute.at[0] > CASE_STEPS or dispute.judge(self.context.step) is None:
                accuser = dispute.alarm.header.stage
                self._unproven[accuser] = self._unproven.get(accuser, 0) + 1
                self._disputes.remove(dispute)
        oldest = self.context.step - CASE_STEPS
        self._filed = {place: filed for place, filed in self._filed.items() if place[0] >= oldest}

    def advance(self) -> None:
        """File, judge, and act upon verdicts, as far as what has arrived allows."""
        for dispute in list(self._disputes):
            current = dispute.judge(self.context.step)
            if current is None:
                continue
            self._ask(dispute, current)
            if self.context.number in dispute.judges[: dispute.asked]:
                self._judge(dispute)
            for number in dispute.judges[: dispute.asked]:
                verdict = self._heard(dispute, number)
                if verdict is not None:
                    self._settle(dispute, verdict)
                    break

    def wanted(self) -> list[tuple[StageMessageKind, int, int, tuple[int, int]]]:
        """Return what is missing: kind, stage, number, and where it belongs."""
        missing = []
        for dispute in self._disputes:
            current = dispute.judge(self.context.step)
            if current is None:
                continue
            kind, author = StageMessageKind.VERDICT, current
            if current == self.context.number:
                kind, author = StageMessageKind.CASE, dispute.alarm.header.stage
            found = open_parcel(partial(self._find, dispute, kind, author))
            if isinstance(found, int) and author != self.context.number:
                missing.append((kind, author, found, dispute.at))
        return missing

    def _find(self, dispute: Dispute, kind: StageMessageKind, author: int, number: int) -> StageMessage | None:
        if author == self.context.number:
            return self.context.sent_at(dispute.at, kind, number)
        return self.context.inbox.find_of(*dispute.at, kind, author, number)

    def _ask(self, dispute: Dispute, current: int) -> None:
        """As the accuser, file the case with each judge in its turn; everybody counts the turns."""
        turn = dispute.judges.index(current) + 1
        if turn <= dispute.asked:
            return
        dispute.asked = turn
        filed = self._filed.get(dispute.at)
        if dispute.alarm.header.stage == self.context.number and filed is not None:
            send_parcel(self.context, StageMessageKind.CASE, [current], filed.encode(), dispute.at)

    def _judge(self, dispute: Dispute) -> None:
        """As a judge, say who has lied, once."""
        context = self.context
        if context.sent_at(dispute.at, StageMessageKind.VERDICT) is not None:
            return
        data = open_parcel(partial(self._find, dispute, StageMessageKind.CASE, dispute.alarm.header.stage))
        if isinstance(data, int):
            return
        try:
            filed = FiledCase.decode(data)
            found = judge(filed, dispute.alarm, dispute.roster)
        except Malformed:
            return
        parties = dispute.alarm.header.stage, dispute.accusation.accused
        named = context.behaviour.finding(context.place(), found.liar, *parties)
        verdict = StageVerdict.sign(context.key, context.number, named, dispute.alarm, filed)
        payload = encode([verdict.judge, verdict.liar, filed.encode(), verdict.signature])
        send_parcel(context, StageMessageKind.VERDICT, context.others(), payload, dispute.at)

    def _heard(self, dispute: Dispute, number: int) -> StageVerdict | None:
        """Return a judge's verdict if it has come and is one."""
        data = open_parcel(partial(self._find, dispute, StageMessageKind.VERDICT, number))
        if isinstance(data, int):
            return None
        try:
            told, liar, filed, signature = as_fields(decode(data, limit=MAX_CASE), 4)
            verdict = StageVerdict(
                as_int(told, number, number),
                as_int(liar, 0, MAX_STAGES - 1),
                FiledCase.decode(as_bytes(filed, most=MAX_CASE)),
                as_bytes(signature, SIGNATURE_SIZE),
            )
            verdict.verify(dispute.roster[number], dispute.alarm)
            verdict.filed.verify(dispute.roster[dispute.alarm.header.stage], dispute.alarm)
        except Malformed:
            return None
        return verdict

    def _settle(self, dispute: Dispute, verdict: StageVerdict) -> None:
        """Judge again what a judge has found, and ban the liar; and the judge, if it has named another one."""
        found = judge(verdict.filed, dispute.alarm, dispute.roster)
        self._disputes.remove(dispute)
        self._ban(dispute, verdict, found)
        if verdict.liar != found.liar:
            self._ban(dispute, verdict, StageJudgement(verdict.judge, StageOffence.FALSE_VERDICT))

    def _ban(self, dispute: Dispute, verdict: StageVerdict, found: StageJudgement) -> None:
        context, seat, step = self.context, found.liar, dispute.at[0]
        evidence = StageEvidence(dispute.roster, step, seat, found.offence, dispute.alarm, verdict)
        if context.plan.roster[seat] != evidence.peer or seat in self.banned:
            return
        self.banned.add(seat)
        context.effect(StageBanned(step, seat, evidence.peer, evidence.to_json()))
