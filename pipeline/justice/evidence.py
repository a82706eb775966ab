"""Why a stage was banned, as a file that people can open and a stranger can check without the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from btard.errors import UserError
from btard.identity import IdentityKey, Malformed, PeerId
from btard.identity.codec import encode, from_base64, to_base64
from btard.pipeline.justice.case import MAX_CASE, FiledCase
from btard.pipeline.justice.judgement import StageJudgement, StageOffence, judge
from btard.pipeline.machine.messages import StageMessage
from btard.pipeline.stages.split import MAX_STAGES

EVIDENCE_FORMAT = "btard stage evidence 1"

MAX_EVIDENCE = MAX_CASE * 4 // 3 + (1 << 20)
"""Bytes of a file: a case in base64, and what stands around it."""

_DOMAIN = b"btard pipeline verdict 1\0"


@dataclass(frozen=True, slots=True)
class StageVerdict:
    """What a third stage has found, with its signature.

    Attributes:
        judge: the stage.
        liar: the stage that it names.
        filed: the case that was filed about the alarm.
        signature: of the judge's key.
    """

    judge: int
    liar: int
    filed: FiledCase
    signature: bytes

    @classmethod
    def sign(cls, key: IdentityKey, judge: int, liar: int, alarm: StageMessage, filed: FiledCase) -> StageVerdict:
        """Return a finding that a key has signed."""
        return cls(judge, liar, filed, key.sign(_signed(judge, liar, alarm, filed)))

    def verify(self, peer: PeerId, alarm: StageMessage) -> None:
        """Check that a peer has found this about an alarm; raises Malformed."""
        if not peer.has_signed(_signed(self.judge, self.liar, alarm, self.filed), self.signature):
            raise Malformed("the signature of the verdict does not verify")


def _signed(judge: int, liar: int, alarm: StageMessage, filed: FiledCase) -> bytes:
    return _DOMAIN + encode([judge, liar, alarm.signature, filed.signature])


@dataclass(frozen=True, slots=True)
class StageEvidence:
    """A ban of a stage's peer and its proof.

    Attributes:
        roster: the peer of each stage.
        step: in which it has lied.
        stage: its seat.
        offence: what it did.
        alarm: that was raised, by the stage itself or about it.
        verdict: the third stage's, with the case.
    """

    roster: Sequence[PeerId]
    step: int
    stage: int
    offence: StageOffence
    alarm: StageMessage
    verdict: StageVerdict

    @property
    def peer(self) -> PeerId:
        """The banned peer."""
        return self.roster[self.stage]

    def check(self) -> None:
        """Judge the case again; raises Malformed where it does not prove the ban."""
        if self.stage >= len(self.roster) or self.verdict.judge >= len(self.roster):
            raise Malformed("it names a stage that has no peer")
        if self.alarm.header.step != self.step:
            raise Malformed("it is about another step")
        self.verdict.verify(self.roster[self.verdict.judge], self.alarm)
        found = judge(self.verdict.filed, self.alarm, self.roster)
        if self.offence is StageOffence.FALSE_VERDICT:
            if self.stage != self.verdict.judge or self.verdict.liar == found.liar:
                raise Malformed(f"stage {self.verdict.judge} has named the liar, which is stage {found.liar}")
        elif found != StageJudgement(self.stage, self.offence):
            raise Malformed(f"the case shows that stage {found.liar} {found.offence}")

    @property
    def file_name(self) -> str:
        """The name of the file: step, peer, offence."""
        return f"step-{self.step:06d}-{self.peer.short}-{self.offence.name.lower().replace('_', '-')}.json"

    def to_json(self) -> bytes:
        """Return the file's bytes."""
        return (
            _EvidenceModel(
                format=EVIDENCE_FORMAT,
                words=_words(self),
                offence=self.offence.name,
                accused=str(self.peer),
                stage=self.stage,
                step=self.step,
                roster=[str(peer) for peer in self.roster],
                alarm=to_base64(self.alarm.encode()),
                judge=self.verdict.judge,
                named=self.verdict.liar,
                verdict_signature=to_base64(self.verdict.signature),
                filed=to_base64(self.verdict.filed.encode()),
            )
            .model_dump_json(indent=1)
            .encode()
        )

    @classmethod
    def from_json(cls, data: bytes) -> StageEvidence:
        """Read a file's bytes, which may come from anybody; raises Malformed."""
        try:
            model = _EvidenceModel.model_validate_json(data)
            if model.format != EVIDENCE_FORMAT:
                raise Malformed(f"its format is {model.format[:40]!r}, not {EVIDENCE_FORMAT!r}")
            filed, signature = FiledCase.decode(from_base64(model.filed)), from_base64(model.verdict_signature)
            evidence = cls(
                tuple(PeerId.parse(text) for text in model.roster),
                model.step,
                model.stage,
                StageOffence[model.offence],
                StageMessage.decode(from_base64(model.alarm)),
                StageVerdict(model.judge, model.named, filed, signature),
            )
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            raise Malformed(f"{'.'.join(map(str, problem['loc'])) or 'the file'}: {problem['msg']}") from None
        except KeyError as error:
            raise Malformed(f"there is no offence {error}") from None
        except UserError as error:
            raise Malformed(str(error)) from None
        if evidence.stage >= len(evidence.roster) or (model.words, model.accused) != (
            _words(evidence),
            str(evidence.peer),
        ):
            raise Malformed("its words or its peer are not those of what it proves")
        return evidence


class _EvidenceModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str
    words: str
    offence: str
    accused: str
    stage: Annotated[int, Field(ge=0, lt=MAX_STAGES)]
    step: Annotated[int, Field(ge=0)]
    roster: Annotated[list[str], Field(min_length=1, max_length=MAX_STAGES)]
    alarm: str
    judge: Annotated[int, Field(ge=0, lt=MAX_STAGES)]
    named: Annotated[int, Field(ge=0, lt=MAX_STAGES)]
    verdict_signature: str
    filed: str


def _words(evidence: StageEvidence) -> str:
    return f"{evidence.peer} {evidence.offence}"
