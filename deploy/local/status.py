"""The state of a run, made of the events that its peers and its coordinator write."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise

from btard.deploy.local.plan import Member
from btard.swarm.events.coordinator import CheckpointSaved, CoordinatorEvent, DashboardOpened, RunFinished
from btard.swarm.events.peer import (
    AttemptVoided,
    JoinedRun,
    LeftRun,
    PeerBanned,
    PeerEvent,
    PlaceLost,
    StepFinished,
    StepsDone,
)
from btard.swarm.events.reading import parse_coordinator, parse_peer
from btard.swarm.events.tail import Tail

_RECENT = 20
"""Steps that the step time and the time left are judged by."""


class PeerState(StrEnum):
    """What a peer is doing."""

    STARTING = "starting"
    TRAINING = "training"
    ATTACKING = "attacking"
    SUSPENDED = "suspended"
    BANNED = "banned"
    LEFT = "left"
    FINISHED = "finished"
    FAILED = "failed"


GONE = frozenset({PeerState.BANNED, PeerState.LEFT, PeerState.FINISHED, PeerState.FAILED})
"""States that a peer does not come back from."""


@dataclass(frozen=True)
class BanEvent:
    """A peer's ban: in which step, and why."""

    name: str
    step: int
    reason: str


@dataclass
class PeerStatus:
    """What is known of a peer.

    Attributes:
        step: the last that it finished.
        loss: the last that it told.
        since: the step of its ban or departure.
        reason: of that.
    """

    member: Member
    state: PeerState = PeerState.STARTING
    step: int | None = None
    loss: float | None = None
    since: int | None = None
    reason: str = ""


@dataclass
class StepStatus:
    """What honest peers, or the liars while no honest peer was heard, say of a step.

    Attributes:
        losses: of honest peers, by name.
        members: how many took part.
        seconds: the wall time of the step, by name.
        time: when the first peer finished it, seconds since the epoch.
        attackers: the names of those that lied in it.
    """

    losses: dict[str, float] = field(default_factory=dict)
    members: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    time: float = 0.0
    attackers: set[str] = field(default_factory=set)

    @property
    def loss(self) -> float | None:
        """The mean loss of the honest peers, None when none told one."""
        return statistics.fmean(self.losses.values()) if self.losses else None


@dataclass(frozen=True)
class Evaluation:
    """A loss on held-out data: of the state before `step`."""

    step: int
    loss: float


class RunStatus:
    """Follows the events of a swarm.

    Args:
        peers: whose events to read.
        coordinator: whose checkpoints to read.
        total_steps: of the run.

    Attributes:
        peers: by name.
        steps: by number; only finished ones.
        bans: by name, in the order in which they were heard of.
        suspensions: how often peers were left out of a step.
        evaluations: ascending by step.
        over: the coordinator says that the run has finished.
        dashboard: address of the coordinator's live page, None without one.
    """

    def __init__(self, peers: Sequence[Member], coordinator: Member, total_steps: int) -> None:
        self.total_steps = total_steps
        self.peers = {member.name: PeerStatus(member) for member in peers}
        self.steps: dict[int, StepStatus] = {}
        self.bans: dict[str, BanEvent] = {}
        self.suspensions = 0
        self.over = False
        self.dashboard: str | None = None
        self.evaluations: list[Evaluation] = []
        self._names = {str(member.peer_id): member.name for member in peers}
        self._suspended: set[tuple[int, str]] = set()
        self._tails = {member.name: Tail[PeerEvent](member.events, parse_peer) for member in peers}
        self._coordinator = Tail[CoordinatorEvent](coordinator.events, parse_coordinator)

    def refresh(self) -> None:
        """Read what has happened since the last call."""
        for name, tail in self._tails.items():
            for event in tail.read_all():
                self.feed(name, event)
        for told in self._coordinator.read_all():
            self.feed_coordinator(told)

    def ended(self, name: str, code: int) -> None:
        """Note that a peer's process has ended, which its events may not tell."""
        peer = self.peers[name]
        if peer.state not in GONE:
            peer.state = PeerState.FINISHED if code == 0 else PeerState.FAILED
            peer.since = peer.step
            peer.reason = f"exit code {code}"

    def feed(self, name: str, event: PeerEvent) -> None:
        """Take in one event of a peer."""
        peer = self.peers[name]
        match event:
            case JoinedRun() if peer.state not in GONE:
                peer.state = PeerState.TRAINING
            case StepFinished():
                self._step(peer, event)
            case AttemptVoided():
                self._void(event)
            case PeerBanned():
                self._ban(event.peer, event.step, event.reason)
            case LeftRun():
                self._gone(peer, PeerState.LEFT, event.step, event.reason)
            case PlaceLost() if peer.state not in GONE:
                peer.state = PeerState.SUSPENDED
                peer.reason = event.reason
            case StepsDone():
                self._gone(peer, PeerState.FINISHED, peer.step, "")

    def feed_coordinator(self, event: CoordinatorEvent) -> None:
        """Take in one event of the coordinator."""
        match event:
            case DashboardOpened():
                self.dashboard = event.address
            case CheckpointSaved():
                self._evaluated(event.step, event.evaluation_loss)
            case RunFinished():
                self.over = True
                self._evaluated(event.step, event.evaluation_loss)

    def _evaluated(self, step: int, loss: float | None) -> None:
        if loss is not None:
            known = {each.step: each for each in [*self.evaluations, Evaluation(step, loss)]}
            self.evaluations = sorted(known.values(), key=_at)

    def _step(self, peer: PeerStatus, event: StepFinished) -> None:
        step = self.steps.setdefault(event.step, StepStatus(time=event.time or 0.0))
        if event.loss is not None:
            peer.loss = event.loss
            if peer.member.honest:
                step.losses[peer.member.name] = event.loss
        if peer.member.honest or not step.members:
            step.members = max(step.members, event.members)
        step.seconds[peer.member.name] = event.seconds
        if event.attacks:
            step.attackers.add(peer.member.name)
        peer.step = event.step
        if peer.state not in GONE:
            peer.state = PeerState.ATTACKING if event.attacks else PeerState.TRAINING

    def _void(self, event: AttemptVoided) -> None:
        for who, reason in event.banned:
            self._ban(who, event.step, reason)
        for who, reason in event.suspended:
            peer = self.peers.get(self._names.get(who, ""))
            if peer is not None and peer.state not in GONE and (event.step, who) not in self._suspended:
                self._suspended.add((event.step, who))
                self.suspensions += 1
                peer.state = PeerState.SUSPENDED
                peer.reason = reason

    def _ban(self, who: str, step: int, reason: str) -> None:
        """Note a ban; the earliest step counts: what a peer says of itself, the others hear a step later."""
        name = self._names.get(who)
        if name is not None and (name not in self.bans or step < self.bans[name].step):
            self.bans[name] = BanEvent(name, step, reason)
            self._gone(self.peers[name], PeerState.BANNED, step, reason)

    @staticmethod
    def _gone(peer: PeerStatus, state: PeerState, step: int | None, reason: str) -> None:
        if peer.state is not PeerState.BANNED or state is PeerState.BANNED:
            peer.state, peer.since, peer.reason = state, step, reason

    @property
    def step(self) -> int | None:
        """The last step that somebody finished."""
        return max(self.steps, default=None)

    @property
    def loss(self) -> float | None:
        """The loss of the last step that an honest peer told one of."""
        return next((self.steps[n].loss for n in sorted(self.steps, reverse=True) if self.steps[n].losses), None)

    @property
    def alive(self) -> int:
        """How many peers take part."""
        return sum(peer.state not in GONE and peer.state is not PeerState.STARTING for peer in self.peers.values())

    @property
    def step_seconds(self) -> float | None:
        """The median wall time of the latest steps."""
        recent = sorted(self.steps)[-_RECENT:]
        times = [seconds for number in recent for seconds in self.steps[number].seconds.values()]
        return statistics.median(times) if times else None

    @property
    def seconds_left(self) -> float | None:
        """How long the run will take at the pace of the latest steps."""
        recent = sorted(self.steps)[-_RECENT:]
        if len(recent) < 2:
            return None
        # The median, because one missed deadline would make the rest of the run look endless.
        pace = statistics.median(self.steps[b].time - self.steps[a].time for a, b in pairwise(recent))
        return max(0.0, pace * (self.total_steps - 1 - recent[-1]))

    @property
    def attack_start(self) -> int | None:
        """The first step in which somebody lied."""
        return min((number for number, step in self.steps.items() if step.attackers), default=None)


def _at(evaluation: Evaluation) -> int:
    return evaluation.step
