"""What the log of a coordinator tells."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from btard.swarm.events.event import Event
from btard.swarm.records.details import Found


def awaited(here: int, wanted: int, what: str = "roster") -> str:
    """Return in words how far the first roster or seating has come, as logs, page and `btard status` tell it."""
    return f"waiting for the first {what}: {here} of {wanted} {'is' if here == 1 else 'are'} here"


_SHOWN_MISSING = 10
_TAIL = 6
"""Last characters of a peer id, by which people tell peers apart."""


def pausing(step: int, voters: int, missing: Collection[str]) -> str:
    """Return in words which voters a run waits for, as logs, page and `btard status` tell it.

    Args:
        step: that cannot go on.
        voters: how many its roster has.
        missing: ids of those that are not here.
    """
    names = ", ".join(peer[-_TAIL:] for peer in sorted(missing)[:_SHOWN_MISSING])
    more = f" and {len(missing) - _SHOWN_MISSING} more" if len(missing) > _SHOWN_MISSING else ""
    here = voters - len(missing)
    return (
        f"step {step} waits for more than half of its {voters} voters: {here} {'is' if here == 1 else 'are'} here; "
        f"missing: {names or 'nobody, but they do not agree yet'}{more}"
    )


@dataclass(frozen=True, kw_only=True)
class CoordinatorStarted(Event):
    """The first line of each start.

    Attributes:
        rules: fingerprint of the rules that the run's steps are judged by.
        peer: the coordinator itself.
        addresses: multiaddresses to join at.
        resumed: an earlier start has begun the run.
    """

    event: Literal["started"] = "started"
    run_id: str
    rules: str
    experiment: str
    peer: str
    addresses: tuple[str, ...]
    resumed: bool


@dataclass(frozen=True, kw_only=True)
class PeerWelcomed(Event):
    """A peer waits for the first roster, as one of `count` where `wanted` are needed."""

    event: Literal["welcomed"] = "welcomed"
    peer: str
    count: int
    wanted: int


@dataclass(frozen=True, kw_only=True)
class FirstRosterAwaited(Event):
    """So many peers wait for the first roster, where `wanted` are needed; written when no welcome has told it."""

    event: Literal["awaited"] = "awaited"
    here: int
    wanted: int


@dataclass(frozen=True, kw_only=True)
class PeerRefused(Event):
    """A peer has knocked and is not welcome."""

    event: Literal["refused"] = "refused"
    peer: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class FirstRoster(Event):
    """The first roster is published."""

    event: Literal["genesis"] = "genesis"
    step: int
    members: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RosterChanged(Event):
    """The membership has changed."""

    event: Literal["roster"] = "roster"
    step: int
    members: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class StagesSeated(Event):
    """Each stage of each pipeline has a peer from now on.

    Attributes:
        number: of the seating; a higher one holds.
        step: from whose start all stages go on.
        seats: the peer of each stage, pipeline by pipeline.
        changed: the seats whose peer is another one than before.
    """

    event: Literal["seating"] = "seating"
    number: int
    step: int
    seats: tuple[str, ...]
    changed: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class StageAwaited(Event):
    """A stage has lost its peer, and none is there to take its seat.

    Attributes:
        step: that the pipeline is in.
        stages: those without a peer, by their seats.
    """

    event: Literal["unseated"] = "unseated"
    step: int
    stages: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class MemberJoined(Event):
    """A peer has become a member, seen in the roster of a step."""

    event: Literal["joined"] = "joined"
    peer: str
    step: int


@dataclass(frozen=True, kw_only=True)
class MemberLeft(Event):
    """A member is gone or suspended; it may come back."""

    event: Literal["left"] = "left"
    peer: str
    step: int


@dataclass(frozen=True, kw_only=True)
class MemberBanned(Event):
    """A member is banned, by the roster of a step; `BanVerified` or `BanUnproven` follows."""

    event: Literal["banned"] = "banned"
    peer: str
    step: int


@dataclass(frozen=True, kw_only=True)
class BanVerified(Event):
    """The evidence of a ban was fetched and checked.

    Attributes:
        step: in which the peer was proved to lie.
        offence: its name.
        words: what the peer did.
        basis: what it is proved by.
        evidence: the file, None where it could not be written.
    """

    event: Literal["verified"] = "verified"
    peer: str
    step: int
    offence: str
    words: str
    basis: str
    evidence: str | None


@dataclass(frozen=True, kw_only=True)
class BanUnproven(Event):
    """No member has shown evidence that proves a ban."""

    event: Literal["unproven"] = "unproven"
    peer: str
    step: int


@dataclass(frozen=True, kw_only=True)
class MemberExcluded(Event):
    """More than half of the members tell that a peer was left out of a step."""

    event: Literal["excluded"] = "excluded"
    peer: str
    step: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class PeerExamined(Event):
    """What a validator says of a peer's work in a step, unchecked."""

    event: Literal["examined"] = "examined"
    validator: str
    peer: str
    step: int
    found: Found


@dataclass(frozen=True, kw_only=True)
class ValidationStopped(Event):
    """From this step on no validators can be drawn; `words` say why."""

    event: Literal["unvalidated"] = "unvalidated"
    step: int
    words: str


@dataclass(frozen=True, kw_only=True)
class ValidationResumed(Event):
    """Validators can be drawn again."""

    event: Literal["validated"] = "validated"
    step: int


@dataclass(frozen=True, kw_only=True)
class DashboardOpened(Event):
    """Where the dashboard is served, without its token."""

    event: Literal["dashboard"] = "dashboard"
    address: str


@dataclass(frozen=True, kw_only=True)
class RunPaused(Event):
    """A step cannot go on: too few of its `voters` are in it; those that are missing do not answer."""

    event: Literal["paused"] = "paused"
    step: int
    voters: int
    missing: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RunWentOn(Event):
    """Most voters are in a step again."""

    event: Literal["went_on"] = "went_on"
    step: int


@dataclass(frozen=True, kw_only=True)
class SwarmSilent(Event):
    """No member answers any more."""

    event: Literal["silent"] = "silent"
    step: int


@dataclass(frozen=True, kw_only=True)
class CheckpointSaved(Event):
    """The state before a step is saved.

    Attributes:
        digest: of the state.
        evaluation_loss: on held-out data, None if it is not finite.
        folder: where it is.
        source: who served it.
    """

    event: Literal["checkpoint"] = "checkpoint"
    step: int
    digest: str
    evaluation_loss: float | None
    folder: str
    source: str


@dataclass(frozen=True, kw_only=True)
class CheckpointDelayed(Event):
    """The state before a step cannot be written; it is tried again, and the members hold it until then."""

    event: Literal["checkpoint_delayed"] = "checkpoint_delayed"
    step: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class ReportsMissed(Event):
    """Nobody has shown what the peers report of the steps from `first` to `last`: they have no line in the files."""

    event: Literal["reports_missed"] = "reports_missed"
    first: int
    last: int


@dataclass(frozen=True, kw_only=True)
class CheckpointMissed(Event):
    """The state before a step is given up."""

    event: Literal["checkpoint_missed"] = "checkpoint_missed"
    step: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class RunFinished(Event):
    """The run is over.

    Attributes:
        step: that would be the next.
        members: how many there were at the end.
        banned: who.
        evaluation_loss: of the last checkpoint, None without it.
    """

    event: Literal["finished"] = "finished"
    step: int
    members: int
    banned: tuple[str, ...]
    evaluation_loss: float | None


@dataclass(frozen=True, kw_only=True)
class CoordinatorStopped(Event):
    """The coordinator ends before the run does."""

    event: Literal["stopped"] = "stopped"
    reason: str


CoordinatorEvent = (
    CoordinatorStarted
    | PeerWelcomed
    | FirstRosterAwaited
    | PeerRefused
    | FirstRoster
    | RosterChanged
    | StagesSeated
    | StageAwaited
    | MemberJoined
    | MemberLeft
    | MemberBanned
    | BanVerified
    | BanUnproven
    | MemberExcluded
    | PeerExamined
    | ValidationStopped
    | ValidationResumed
    | DashboardOpened
    | RunPaused
    | RunWentOn
    | SwarmSilent
    | CheckpointSaved
    | CheckpointDelayed
    | CheckpointMissed
    | ReportsMissed
    | RunFinished
    | CoordinatorStopped
)
"""All that the log of a coordinator may hold."""
