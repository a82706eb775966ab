"""What a run came to: one sentence for people, `summary.json` for programs."""

from __future__ import annotations

import statistics
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from btard.deploy.local.live_table import duration, number
from btard.deploy.local.settings import SwarmSettings
from btard.deploy.local.status import BanEvent, PeerState, RunStatus
from btard.vocabulary import NO_ATTACK

FILE = "summary.json"

_ENDS = 10
"""Steps that the loss at the beginning and at the end is the mean of: one batch is noise."""


class BanSummary(BaseModel):
    """A peer's ban."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    peer: str
    peer_id: str
    attack: str
    step: int
    reason: str


class Summary(BaseModel):
    """A run, once it is over.

    Attributes:
        attack: the attack types of the Byzantine peers; empty when all are honest.
        attack_start: the first step in which one lied; None when none did.
        steps: how many were finished.
        first_loss, final_loss: mean losses of the honest peers over the first and the last ten steps.
        evaluation_loss: of the last checkpoint, on data that nobody trains on; None if the run kept none.
        evaluation_step: before which that state stood.
        bans: in the order of their steps.
        suspensions: how often a peer was left out of a step.
        survivors: honest peers that finished.
        duration: seconds from the launch to the end.
        step_seconds: median wall time of a step.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    experiment: str
    task: str
    size: str
    rule: str
    seed: int
    peers: int
    byzantine: int
    attack: tuple[str, ...]
    attack_start: int | None
    steps: int
    first_loss: float | None
    final_loss: float | None
    evaluation_loss: float | None
    evaluation_step: int | None
    bans: tuple[BanSummary, ...]
    suspensions: int
    survivors: int
    duration: float
    step_seconds: float | None

    def save(self, directory: Path) -> Path:
        """Write it into the run's directory and return the file."""
        path = directory / FILE
        path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
        return path

    @property
    def sentence(self) -> str:
        """The run in one sentence."""
        liars = f"{_all_of(self.byzantine, self.peers)} {' and '.join(self.attack)}" if self.byzantine else "all honest"
        if self.byzantine and self.attack_start is not None:
            liars += f" from step {self.attack_start}"
        pace = f", {self.step_seconds:.2f} s a step" if self.step_seconds is not None else ""
        held_out = f" ({number(self.evaluation_loss)} on held-out data)" if self.evaluation_loss is not None else ""
        return (
            f"{self.experiment}: {self.peers} peers, {liars}, trained {self.task} {self.size} with {self.rule} for "
            f"{self.steps} steps in {duration(self.duration)}{pace}; the loss went from {number(self.first_loss)} to "
            f"{number(self.final_loss)}{held_out}; {self._bans_in_words()}."
        )

    def _bans_in_words(self) -> str:
        liars = [ban for ban in self.bans if ban.attack != NO_ATTACK]
        wronged = [ban for ban in self.bans if ban.attack == NO_ATTACK]
        words = []
        if self.byzantine and not liars:
            words.append("no attacker was banned")
        elif liars:
            who = (
                "every attacker was"
                if len(liars) == self.byzantine
                else f"{len(liars)} of {self.byzantine} attackers {'was' if len(liars) == 1 else 'were'}"
            )
            words.append(f"{who} banned, at {_steps(liars)}")
        if wronged:
            words.append(f"{len(wronged)} honest {_plural('peer', wronged)} banned, at {_steps(wronged)}")
        else:
            words.append("no honest peer was banned")
        return " and ".join(words)


def summarise(status: RunStatus, settings: SwarmSettings, seconds: float) -> Summary:
    """Return the summary of a run that took so many seconds."""
    honest = [peer for peer in status.peers.values() if peer.member.honest]
    evaluation = status.evaluations[-1] if status.evaluations else None
    losses = [loss for number in sorted(status.steps) if (loss := status.steps[number].loss) is not None]
    return Summary(
        experiment=settings.experiment,
        task=settings.task,
        size=settings.size,
        rule=settings.rule,
        seed=settings.seed,
        peers=settings.peers,
        byzantine=settings.byzantine,
        attack=tuple(sorted({peer.member.attack for peer in status.peers.values() if not peer.member.honest})),
        attack_start=status.attack_start,
        steps=0 if status.step is None else status.step + 1,
        first_loss=_mean(losses[:_ENDS]),
        final_loss=_mean(losses[-_ENDS:]),
        evaluation_loss=evaluation.loss if evaluation else None,
        evaluation_step=evaluation.step if evaluation else None,
        bans=tuple(_record(status, ban) for ban in sorted(status.bans.values(), key=lambda ban: (ban.step, ban.name))),
        suspensions=status.suspensions,
        survivors=sum(peer.state is PeerState.FINISHED for peer in honest),
        duration=round(seconds, 2),
        step_seconds=_median_step(status),
    )


def _record(status: RunStatus, ban: BanEvent) -> BanSummary:
    member = status.peers[ban.name].member
    return BanSummary(
        peer=ban.name, peer_id=str(member.peer_id), attack=member.attack, step=ban.step, reason=ban.reason
    )


def _mean(losses: list[float]) -> float | None:
    return statistics.fmean(losses) if losses else None


def _median_step(status: RunStatus) -> float | None:
    times = [seconds for step in status.steps.values() for seconds in step.seconds.values()]
    return round(statistics.median(times), 4) if times else None


def _all_of(some: int, total: int) -> str:
    return f"{some} of them" if some < total else "all"


def _plural(noun: str, bans: list[BanSummary]) -> str:
    return f"{noun} was" if len(bans) == 1 else f"{noun}s were"


def _steps(bans: list[BanSummary]) -> str:
    steps = [str(ban.step) for ban in bans]
    if len(steps) == 1:
        return f"step {steps[0]}"
    return f"steps {', '.join(steps[:-1])} and {steps[-1]}"
