"""The state of a run, made of the events that its peers and its coordinator write."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Any

from btard.deploy.local.events import Tail
from btard.deploy.local.plan import Member

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
        self._tails = {member.name: Tail(member.events) for member in peers}
        self._coordinator = Tail(coordinator.events)

    def refresh(self) -> None:
        """Read what has happened since the last call."""
        for name, tail in self._tails.items():
            for event in tail.read():
                self.feed(name, event)
        for event in self._coordinator.read():
            self.feed_coordinator(event)

    def ended(self, name: str, code: int) -> None:
        """Note that a peer's process has ended, which its events may not tell."""
        peer = self.peers[name]
        if peer.state not in GONE:
            peer.state = PeerState.FINISHED if code == 0 else PeerState.FAILED
            peer.since = peer.step
            peer.reason = f"exit code {code}"

    def feed(self, name: str, event: dict[str, Any]) -> None:
        """Take in one event of a peer; one that is not understood changes nothing."""
        peer = self.peers[name]
        match event:
            case {"event": "joined"} if peer.state not in GONE:
                peer.state = PeerState.TRAINING
            case {"event": "step", "step": int(step)}:
                self._step(peer, step, event)
            case {"event": "void", "step": int(step)}:
                self._void(step, event)
            case {"event": "banned", "peer": str(who), "step": int(step)}:
                self._ban(who, step, str(event.get("reason", "")))
            case {"event": "withdrawn", "peer": str(who)}:
                self._take_back(who)
            case {"event": "left", "step": int(step)}:
                self._gone(peer, PeerState.LEFT, step, str(event.get("reason", "")))
            case {"event": "stopped"} if peer.state not in GONE:
                peer.state = PeerState.SUSPENDED
                peer.reason = str(event.get("reason", ""))
            case {"event": "finished"}:
                self._gone(peer, PeerState.FINISHED, peer.step, "")

    def feed_coordinator(self, event: dict[str, Any]) -> None:
        """Take in one event of the coordinator."""
        self.over |= event["event"] == "finished"
        match event:
            case {"event": "dashboard", "address": str(address)}:
                self.dashboard = address
            case {"step": int(step), "evaluation_loss": int() | float() as loss}:
                self.evaluations = sorted(
                    {e.step: e for e in [*self.evaluations, Evaluation(step, loss)]}.values(), key=_at
                )

    def _step(self, peer: PeerStatus, number: int, event: dict[str, Any]) -> None:
        step = self.steps.setdefault(number, StepStatus(time=event.get("time", 0.0)))
        attacks = event.get("attacks") is True
        loss = event.get("loss")
        if isinstance(loss, int | float):
            peer.loss = float(loss)
            if peer.member.honest:
                step.losses[peer.member.name] = float(loss)
        if peer.member.honest or not step.members:
            step.members = max(step.members, event.get("members", 0))
        step.seconds[peer.member.name] = event.get("seconds", 0.0)
        if attacks:
            step.attackers.add(peer.member.name)
        peer.step = number
        if peer.state not in GONE:
            peer.state = PeerState.ATTACKING if attacks else PeerState.TRAINING

    def _void(self, step: int, event: dict[str, Any]) -> None:
        for who, reason in event.get("banned", []):
            self._ban(who, step, reason)
        for who, reason in event.get("suspended", []):
            peer = self.peers.get(self._names.get(who, ""))
            if peer is not None and peer.state not in GONE and (step, who) not in self._suspended:
                self._suspended.add((step, who))
                self.suspensions += 1
                peer.state = PeerState.SUSPENDED
                peer.reason = reason

    def _ban(self, who: str, step: int, reason: str) -> None:
        """Note a ban; the earliest step counts: what a peer says of itself, the others hear a step later."""
        name = self._names.get(who)
        if name is not None and (name not in self.bans or step < self.bans[name].step):
            self.bans[name] = BanEvent(name, step, reason)
            self._gone(self.peers[name], PeerState.BANNED, step, reason)

    def _take_back(self, who: str) -> None:
        """A ban that did not stand; the peer may be heard of again."""
        ban = self.bans.pop(self._names.get(who, ""), None)
        if ban is not None:
            peer = self.peers[ban.name]
            peer.state, peer.since, peer.reason = PeerState.SUSPENDED, None, "its ban was taken back"

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
