"""Whether a file proves that a peer of this run has lied: pure, and as slow as computing one step of one stage."""

from __future__ import annotations

from collections.abc import Mapping

from btard.identity import Malformed
from btard.pipeline.justice.case import StageCase
from btard.pipeline.justice.evidence import StageEvidence
from btard.pipeline.justice.facts import PlanFacts
from btard.pipeline.live.ban_proof import BanProof
from btard.pipeline.live.build import StageBuilder
from btard.pipeline.replicas.rules import stage_of_rounds
from btard.pipeline.seats.seating import Seating
from btard.pipeline.step.sealing import Pledge
from btard.round.evidence.evidence import Evidence
from btard.round.proof import Unproven, verify


def check_proof(data: bytes, seatings: Mapping[bytes, Seating], builder: StageBuilder) -> tuple[BanProof, Seating]:
    """Return what a file proves, and the seating in which that was.

    Args:
        data: a stranger's bytes.
        seatings: that the coordinator has signed, by the name under which stages sign their messages.
        builder: knows the run's plan.

    Raises:
        Malformed: it proves nothing about a stage of these seatings.
    """
    proof = BanProof.from_json(data)
    if isinstance(proof.evidence, StageEvidence):
        return proof, _check_stage(proof.evidence, seatings, builder)
    return proof, _check_round(proof.evidence, seatings, builder)


def _check_round(evidence: Evidence, seatings: Mapping[bytes, Seating], builder: StageBuilder) -> Seating:
    """Return the seating in whose rounds a replica was banned; that the roster was such the others say."""
    stage = stage_of_rounds(evidence.rules)
    if stage >= builder.terms.stages or builder.terms.replicas == 1:
        raise Malformed("it is about rounds that this run has not")
    for seating in seatings.values():
        if evidence.rules == builder.rules(seating, stage) and evidence.accused in seating.copies(stage):
            break
    else:
        raise Malformed("it is about peers that this coordinator has not seated so")
    try:
        verify(evidence)
    except Unproven as error:
        raise Malformed(str(error)) from None
    return seating


def _check_stage(evidence: StageEvidence, seatings: Mapping[bytes, Seating], builder: StageBuilder) -> Seating:
    seating = seatings.get(evidence.alarm.header.run)
    if seating is None or tuple(evidence.roster) != seating.seats:
        raise Malformed("it is about peers that this coordinator has not seated so")
    _check_plan(evidence, builder.facts(seating))
    evidence.check()
    return seating


def _check_plan(evidence: StageEvidence, facts: PlanFacts) -> None:
    """Check that nothing is computed but a step of this run.

    An accused that has signed another plan lies together with its accuser, and how long that computes they choose.
    """
    try:
        case = StageCase.decode(evidence.verdict.filed.case)
    except (Malformed, RuntimeError, ValueError, LookupError):
        return  # it proves that its accuser lies, and nothing is computed
    if case.facts.digest == facts.digest or case.pledge is None:
        return
    if Pledge.decode(case.pledge.payload).facts == case.facts.digest:
        raise Malformed("it is judged by another plan than the run's")
