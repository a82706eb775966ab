"""Whether a file proves that a stage of this run has lied: pure, and as slow as computing one step of one stage."""

from __future__ import annotations

from collections.abc import Mapping

from btard.identity import Malformed
from btard.pipeline.justice.case import StageCase
from btard.pipeline.justice.evidence import StageEvidence
from btard.pipeline.justice.facts import PlanFacts
from btard.pipeline.live.build import StageBuilder
from btard.pipeline.seats.seating import Seating
from btard.pipeline.step.sealing import Pledge


def check_proof(data: bytes, seatings: Mapping[bytes, Seating], builder: StageBuilder) -> tuple[StageEvidence, Seating]:
    """Return what a file proves, and the seating in which that was.

    Args:
        data: a stranger's bytes.
        seatings: that the coordinator has signed, by the name under which stages sign their messages.
        builder: knows the run's plan.

    Raises:
        Malformed: it proves nothing about a stage of these seatings.
    """
    evidence = StageEvidence.from_json(data)
    seating = seatings.get(evidence.alarm.header.run)
    if seating is None or tuple(evidence.roster) != seating.seats:
        raise Malformed("it is about peers that this coordinator has not seated so")
    _check_plan(evidence, builder.facts(seating))
    evidence.check()
    return evidence, seating


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
