"""On whose behalf a peer asks a target for what that must show: its validator's, whom nobody else has to believe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from btard.identity import PeerId
from btard.round.session import Session


@dataclass(frozen=True)
class Relaying:
    """A session as it looks to one that asks on behalf of others; `now` is the driver's clock."""

    session: Session
    now: Callable[[], float]

    def begin(self, asker: PeerId, target: PeerId, step: int) -> bool:
        """Whether to ask a target about a step on behalf of a peer. The time that it takes from now on is not held
        against its validator."""
        machine, previous = self.session.machine, self.session.previous
        if machine is None or machine.over or previous is None or previous.seats.roster.step != step:
            return False
        if machine.attempt.seats.validators.get(asker) != target:
            return False
        machine.exchange.account.note_relaying(asker, target, self.now())
        return True

    def end(self, asker: PeerId, target: PeerId) -> None:
        """The target has answered, or has had its time."""
        if self.session.machine is not None:
            self.session.machine.exchange.account.note_relayed(asker, target, self.now())
