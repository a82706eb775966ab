"""What the log of a peer tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from btard.swarm.events.event import Event


@dataclass(frozen=True, kw_only=True)
class JoinedRun(Event):
    """This peer is counted in, at the start or after it was left out.

    Attributes:
        peer: this one.
        step: the first that it is a member in.
        members, banned: of the roster of that step.
        roster: digest of the roster.
        rules: fingerprint of the rules that the run's steps are judged by.
        incarnation: of the run; it goes up by one when most peers were gone.
    """

    event: Literal["joined"] = "joined"
    peer: str
    step: int
    members: tuple[str, ...]
    banned: tuple[str, ...]
    roster: str
    rules: str
    incarnation: int = 0


@dataclass(frozen=True, kw_only=True)
class PeerAdmitted(Event):
    """The members have let another peer in.

    Attributes:
        step: the first that it is a member in.
        probation: the step until which it is on probation, None without.
    """

    event: Literal["admitted"] = "admitted"
    peer: str
    step: int
    probation: int | None = None


@dataclass(frozen=True, kw_only=True)
class StepFinished(Event):
    """A step has been finished.

    Attributes:
        loss: of the own batch; None of a validator, and where it is not told.
        seconds: from the beginning of the step to its end.
        members: that have signed its result.
        newcomers: those on probation among them.
        attacks: this peer lied in the step.
        attempt: the number of the one that succeeded.
        roster: digest of the roster.
        validates: whom this peer has examined in the step, None if it was no validator.
        state: digest of the training state after the step; honest peers of one kind of machine hold the same.
    """

    event: Literal["step"] = "step"
    step: int
    loss: float | None
    seconds: float
    members: int
    newcomers: int = 0
    attacks: bool
    attempt: int
    roster: str
    validates: str | None = None
    state: str | None = None


@dataclass(frozen=True, kw_only=True)
class AttemptVoided(Event):
    """An attempt at a step has failed.

    Attributes:
        suspended, banned: who is left out because of it, each with the reason.
        left: who has said goodbye.
    """

    event: Literal["void"] = "void"
    step: int
    attempt: int
    suspended: tuple[tuple[str, str], ...]
    banned: tuple[tuple[str, str], ...]
    left: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class PeerBanned(Event):
    """A peer is banned: another one, or this one by the lottery.

    Attributes:
        step: in which it was proved to lie.
        reason: in words.
        offence: its name, None for the lottery.
        evidence: the file that proves it, None where there is none.
    """

    event: Literal["banned"] = "banned"
    peer: str
    step: int
    reason: str
    offence: str | None = None
    evidence: str | None = None


@dataclass(frozen=True, kw_only=True)
class LeftRun(Event):
    """This peer has said goodbye after a step."""

    event: Literal["left"] = "left"
    step: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class PlaceLost(Event):
    """This peer is no member any more.

    Attributes:
        kind: `banned`, or why it may come back.
        reason: in words, may be empty.
    """

    event: Literal["stopped"] = "stopped"
    step: int
    kind: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class StepsDone(Event):
    """The last step of the run is done; `step` would be the next."""

    event: Literal["finished"] = "finished"
    step: int


@dataclass(frozen=True, kw_only=True)
class StageTaken(Event):
    """This peer runs a stage of a pipeline from now on, or waits for one.

    Attributes:
        number: of the seating.
        stage: None for a peer that waits.
        step: from whose start all go on.
        fetched: bytes of states that came from others for it.
    """

    event: Literal["seated"] = "seated"
    peer: str
    number: int
    stage: int | None
    step: int
    fetched: int = 0


@dataclass(frozen=True, kw_only=True)
class StageStepFinished(Event):
    """The stage of this peer has finished a step.

    Attributes:
        loss: the mean over the micro-batches; None but at the last stage.
        seconds: from the step's beginning to its end.
        alarm: the stage whose alarm was acted upon, None if there was none.
    """

    event: Literal["stage"] = "stage"
    number: int
    stage: int
    step: int
    loss: float | None
    seconds: float
    alarm: int | None = None


PeerEvent = (
    JoinedRun
    | PeerAdmitted
    | StepFinished
    | AttemptVoided
    | PeerBanned
    | LeftRun
    | PlaceLost
    | StepsDone
    | StageTaken
    | StageStepFinished
)
"""All that the log of a peer may hold."""
