"""What the file of a ban says: of a stage that has lied in its pipeline, or of a replica in the rounds of its stage."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from btard.identity import PeerId
from btard.pipeline.justice.evidence import EVIDENCE_FORMAT, StageEvidence
from btard.pipeline.justice.judgement import StageOffence
from btard.pipeline.replicas.rules import stage_of_rounds
from btard.round.evidence.evidence import Evidence, Offence
from btard.round.evidence.file import file_name, from_json

_HEAD = 4096
"""Bytes in which a file names its format."""


@dataclass(frozen=True, slots=True)
class BanProof:
    """A file that proves a ban, if its evidence holds.

    Attributes:
        evidence: found by computing a stage again, or by the votes and signatures of a stage's replicas.
    """

    evidence: StageEvidence | Evidence

    @classmethod
    def from_json(cls, data: bytes) -> BanProof:
        """Read a file's bytes, which may come from anybody; raises Malformed if it is neither."""
        is_of_stage = EVIDENCE_FORMAT.rpartition(" ")[0].encode() in data[:_HEAD]
        return cls(StageEvidence.from_json(data) if is_of_stage else from_json(data))

    @property
    def peer(self) -> PeerId:
        """The banned peer."""
        return self.evidence.peer if isinstance(self.evidence, StageEvidence) else self.evidence.accused

    @property
    def stage(self) -> int:
        """That it had."""
        return self.evidence.stage if isinstance(self.evidence, StageEvidence) else stage_of_rounds(self.evidence.rules)

    @property
    def step(self) -> int:
        """In which it was found out."""
        return self.evidence.step if isinstance(self.evidence, StageEvidence) else self.evidence.scene.roster.step

    @property
    def offence(self) -> StageOffence | Offence:
        """What it did; its text says so in words."""
        return self.evidence.offence

    @property
    def file_name(self) -> str:
        """The name of the file: step, peer, offence."""
        return self.evidence.file_name if isinstance(self.evidence, StageEvidence) else file_name(self.evidence)

    @property
    def basis(self) -> str:
        """What the proof rests on, in words."""
        stage = isinstance(self.evidence, StageEvidence)
        return "by computing its step again" if stage else "by what the replicas of its stage have signed"

    @property
    def again_from(self) -> float:
        """The step that has to be done again, infinite if none: what a replica submits is clipped, and stays."""
        if not isinstance(self.evidence, StageEvidence):
            return inf
        # A state that was pledged before a step and is wrong has come out of the step before.
        return self.step - (self.offence is StageOffence.STATE)
