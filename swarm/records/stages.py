"""What a coordinator answers about the stages of its run: for people to look at, decoded strictly."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field, ValidationError

from btard.identity import Malformed
from btard.swarm.pipeline_terms import MOST_STAGES
from btard.swarm.records.details import Count, OneLine, Part, PeerText, Seconds

MOST_TOLD_BANS = 64
"""Bans in one answer, the newest."""

MAX_STAGE_LINE = 512 * (MOST_STAGES + MOST_TOLD_BANS)
"""Bytes of an answer."""

_Loss = Annotated[float, Field(allow_inf_nan=False)]


class StageRow(Part):
    """One stage of one pipeline. Numbers of steps are what its peers have reported and signed, and None before that.

    Attributes:
        stage: which.
        replica: of which pipeline.
        blocks: of the model, in it.
        peer: that has the seat; empty before the first seating.
        number: of the seating under which the last step was reported.
        step: the last one that it has gone through.
        seconds: that this step took.
        loss: of this step, which only the last stage knows.
        sent_bytes, received_bytes: of messages between stages, in this step.
        checks: activations that were compared with a duplicate's, in all steps.
        alarms: that it has raised, in all steps.
        passed_by: steps in which it was passed by.
    """

    stage: Count
    replica: Count = 0
    blocks: Count
    peer: PeerText | Annotated[str, Field(max_length=0)]
    number: Count | None = None
    step: Count | None = None
    seconds: Seconds | None = None
    loss: _Loss | None = None
    sent_bytes: Count | None = None
    received_bytes: Count | None = None
    checks: Count = 0
    alarms: Count = 0
    passed_by: Count = 0


def seat_words(seats: Iterable[int], stages: int, replicas: int) -> str:
    """Return in words which stages seats are: of pipelines with so many stages, of which there are so many."""
    if replicas == 1:
        return f"stages {', '.join(map(str, seats))}"
    return ", ".join(f"stage {seat % stages} of pipeline {seat // stages}" for seat in seats)


class StageBanRow(Part):
    """A peer that has lost its seat for good, as the coordinator has found by computing its step again.

    Attributes:
        stage: that it had.
        step: in which it lied.
        words: what it has done.
    """

    peer: PeerText
    stage: Count
    step: Count
    offence: Annotated[str, Field(max_length=64), OneLine]
    words: Annotated[str, Field(max_length=200), OneLine]


class StageLine(Part):
    """All stages of a run, pipeline by pipeline, first stage first.

    Attributes:
        seating: number of the newest one, 0 before the first.
        over: whether the run has ended.
        lost: seats that no peer is here for, so that training waits.
        stages: a row each.
        bans: in the order in which they were proved.
    """

    seating: Count
    over: bool
    lost: Annotated[list[Count], Field(max_length=MOST_STAGES)]
    stages: Annotated[list[StageRow], Field(min_length=1, max_length=MOST_STAGES)]
    bans: Annotated[list[StageBanRow], Field(max_length=MOST_TOLD_BANS)]

    def encode(self) -> bytes:
        """Return the bytes to send."""
        return self.model_dump_json().encode()

    @classmethod
    def decode(cls, data: bytes) -> StageLine:
        """Read bytes from the network; raises Malformed."""
        try:
            line = cls.model_validate_json(data)
        except ValidationError as error:
            raise Malformed(f"no line of stages: {error.errors()[0]['msg']}") from None
        stages = line.stages[-1].stage + 1
        if [(row.replica, row.stage) for row in line.stages] != [divmod(n, stages) for n in range(len(line.stages))]:
            raise Malformed("a line of stages has each of them once, in their order")
        return line
