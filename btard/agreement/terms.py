"""The members that agree, how many of them may lie, and how long a window is."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

from btard.agreement.messages import VoteRound
from btard.identity import PeerId

_VOTE_WINDOWS = {VoteRound.FIRST: 2, VoteRound.SECOND: 3}
"""Within how many windows of their start voters vote in a round."""

_CERTIFICATE_WINDOWS = 3
"""How many windows later than a statement a certificate may come: that of second votes at the latest."""


@dataclass(frozen=True)
class Terms:
    """What all participants know before they begin.

    Attributes:
        topic: 32 bytes that name what is agreed on; every signature is about it.
        members: all that take part, ascending.
        voters: members whose endorsements and votes count.
        bound_seconds: what a message between honest members may take.
        listeners: members that have nothing to say, and learn what is decided.
    """

    topic: bytes
    members: tuple[PeerId, ...]
    voters: frozenset[PeerId]
    bound_seconds: float
    listeners: frozenset[PeerId] = frozenset()

    @cached_property
    def speakers(self) -> frozenset[PeerId]:
        """The members that are to say something."""
        return frozenset(self.members) - self.listeners

    @cached_property
    def faults(self) -> int:
        """f: how many voters may lie."""
        return (len(self.voters) - 1) // 2

    @cached_property
    def majority(self) -> int:
        """m: the least number of votes that more than half of the voters have cast; more than may lie."""
        return len(self.voters) // 2 + 1

    @cached_property
    def quorum(self) -> int:
        """q: the least number of votes of which two sets have an honest voter in common, 2 q > v + f."""
        return (len(self.voters) + self.faults) // 2 + 1

    @cached_property
    def certain(self) -> int:
        """The least number of first votes beside which no other vector can have a majority, nor so many: at least
        v - m + f + 1, and a quorum."""
        return max(self.quorum, len(self.voters) - self.majority + self.faults + 1)

    def is_majority(self, voted: Collection[PeerId]) -> bool:
        """Whether most voters are among these."""
        return len(self.voters.intersection(voted)) >= self.majority

    def suffices(self, voted: Collection[PeerId], gone: Collection[PeerId]) -> bool:
        """Whether the first votes of these let nobody else have as many where those have bidden farewell: a quorum; or
        all others, if they are most voters."""
        voting = self.voters.intersection(voted)
        return len(voting) >= self.quorum or (2 * len(voting) > len(self.voters) and self.voters <= voting.union(gone))

    def certifies(self, round_: VoteRound, voted: Collection[PeerId]) -> bool:
        """Whether the votes of these in a round are a certificate."""
        needed = {VoteRound.FIRST: self.certain, VoteRound.SECOND: self.majority}[round_]
        return len(self.voters.intersection(voted)) >= needed

    def vouches(self, endorsed: Collection[PeerId], gone: Collection[PeerId]) -> bool:
        """Whether an honest voter is among those that have endorsed something where those have bidden farewell: they
        are more than may lie; or they are half of those that have not, of whom fewer than half lie."""
        if len(endorsed) > self.faults:
            return True
        staying = self.voters.difference(gone)
        return bool(staying) and 2 * len(staying.intersection(endorsed)) >= len(staying)

    @property
    def window_seconds(self) -> float:
        """Two bounds: one for a start that is later than another's, one for the message."""
        return 2 * self.bound_seconds

    def statement_until(self, endorsements: int) -> float:
        """Return until how many seconds after the start a statement with so many endorsements is accepted."""
        return (min(endorsements, self.faults + 1) + 1) * self.window_seconds

    def vote_until(self, round_: VoteRound) -> float:
        """Return how many seconds after the start a voter votes in a round at the latest."""
        return _VOTE_WINDOWS[round_] * self.window_seconds

    def certificate_until(self, endorsements: int) -> float:
        """Return until how many seconds after the start a certificate with so many endorsements is accepted."""
        return self.statement_until(endorsements) + _CERTIFICATE_WINDOWS * self.window_seconds

    @property
    def most_seconds(self) -> float:
        """After so many seconds everybody has decided: f + 5 windows."""
        return self.certificate_until(self.faults + 1)
