"""How long the stages of a step took a peer: what it computed itself, and what it waited for others to do."""

from __future__ import annotations

from enum import StrEnum


class Stage(StrEnum):
    """What a peer is busy with, in the order of a step; an attempt that fails begins again with the first."""

    COMPUTE = "compute"
    """The own gradient and its parts; a validator recomputes another peer's."""
    SCATTER = "scatter"
    """Waiting for everyone's commitment and for the rows of the own part."""
    AGGREGATE = "aggregate"
    """CenteredClip of the own part."""
    GATHER = "gather"
    """Waiting for the aggregates and the randomness of the others."""
    MEASURE = "measure"
    """The own projections."""
    AGREE = "agree"
    """Waiting for everyone's numbers, checks, and the digest of the step."""


class StageClock:
    """Adds up the time between changes of stage. Times are in seconds of any clock that does not go back."""

    def __init__(self) -> None:
        self._seconds = dict.fromkeys(Stage, 0.0)
        self._stage: Stage | None = None
        self._since = 0.0

    def restart(self, now: float) -> None:
        """A step begins."""
        self._seconds = dict.fromkeys(Stage, 0.0)
        self._stage, self._since = Stage.COMPUTE, now

    def enter(self, stage: Stage, now: float) -> None:
        """The stage before ends, and this one begins; outside of a step nothing happens."""
        if self._stage is not None:
            self._seconds[self._stage] += now - self._since
            self._stage, self._since = stage, now

    def stop(self, now: float) -> None:
        """The step is over."""
        self.enter(Stage.AGREE, now)
        self._stage = None

    @property
    def seconds(self) -> dict[Stage, float]:
        """The time of each stage since the step began, up to the last change."""
        return dict(self._seconds)
