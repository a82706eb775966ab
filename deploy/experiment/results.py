"""What a run has left, read from its peers' events: losses, living peers, attacks and bans."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path

import yaml

from btard.swarm.events.peer import AttemptVoided, JoinedRun, PeerBanned, PeerEvent, StepFinished
from btard.swarm.events.reading import EVENTS_FILE, parse_peer
from btard.swarm.events.tail import Tail
from btard.vocabulary import NO_ATTACK

_CONFIG = "config.yaml"
_ENDS = 5
"""Steps that the first and last losses are the means of."""


class RunProgress:
    """How far a run has come, looked at again and again."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._tails: dict[Path, Tail[PeerEvent]] = {}
        self._steps = 0

    def refresh(self) -> int:
        """Return how many steps have been made: the number of the next one."""
        for file in self._directory.glob(f"*/{EVENTS_FILE}"):
            for event in self._tails.setdefault(file, Tail(file, parse_peer)).read_all():
                if isinstance(event, StepFinished):
                    self._steps = max(self._steps, event.step + 1)
        return self._steps


@dataclass(frozen=True)
class RunResult:
    """A run in numbers.

    Attributes:
        losses: mean of the honest peers, by step.
        alive: peers taking part, by step.
        attack_start: the first step with a lie, None without.
        banned_liars, banned_honest: the steps of the bans.
        liars: how many peers were told to lie.
    """

    losses: dict[int, float]
    alive: dict[int, int]
    attack_start: int | None
    banned_liars: tuple[int, ...]
    banned_honest: tuple[int, ...]
    liars: int

    @property
    def first_loss(self) -> float | None:
        """The mean of the first steps' losses."""
        return _mean([self.losses[step] for step in sorted(self.losses)[:_ENDS]])

    @property
    def last_loss(self) -> float | None:
        """The mean of the last steps' losses."""
        return _mean([self.losses[step] for step in sorted(self.losses)[-_ENDS:]])

    @property
    def worst_loss(self) -> float | None:
        """The largest loss after the attack began."""
        start = self.attack_start
        return max((loss for step, loss in self.losses.items() if start is None or step >= start), default=None)


def read_run(directory: Path, until: int) -> RunResult:
    """Return what a run has left, up to the step that ended it; files that are cut are read as far as they go."""
    losses: dict[int, dict[str, float]] = {}
    alive: dict[int, int] = {}
    bans: dict[str, int] = {}
    starts: list[int] = []
    names: dict[str, bool] = {}
    peers = [
        path for path in sorted(directory.iterdir()) if (path / EVENTS_FILE).exists() and path.name != "coordinator"
    ]
    for peer in peers:
        honest = _honest(peer)
        for event in Tail(peer / EVENTS_FILE, parse_peer).read_all():
            match event:
                case JoinedRun():
                    names[event.peer] = honest
                case StepFinished(step=step) if step < until:
                    if honest:
                        _note(event, peer.name, losses, alive)
                    if event.attacks:
                        starts.append(step)
                case PeerBanned(peer=who, step=step) if step < until:
                    bans[who] = min(step, bans.get(who, step))
                case AttemptVoided(step=step) if step < until:
                    for who, _ in event.banned:
                        bans[who] = min(step, bans.get(who, step))
    return RunResult(
        losses={step: statistics.fmean(values.values()) for step, values in sorted(losses.items())},
        alive=dict(sorted(alive.items())),
        attack_start=min(starts, default=None),
        banned_liars=tuple(sorted(step for who, step in bans.items() if not names.get(who, False))),
        banned_honest=tuple(sorted(step for who, step in bans.items() if names.get(who, False))),
        liars=sum(not _honest(peer) for peer in peers),
    )


def _note(event: StepFinished, name: str, losses: dict[int, dict[str, float]], alive: dict[int, int]) -> None:
    if event.loss is not None:
        losses.setdefault(event.step, {})[name] = event.loss
    alive[event.step] = max(event.members, alive.get(event.step, 0))


def _honest(peer: Path) -> bool:
    """Whether a peer was told to be; its configuration knows."""
    try:
        content = yaml.safe_load((peer / _CONFIG).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return not peer.name.startswith("attacker")
    return not isinstance(content, dict) or content.get("attack_type", NO_ATTACK) == NO_ATTACK


def _mean(values: list[float]) -> float | None:
    return statistics.fmean(values) if values else None
