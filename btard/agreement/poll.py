"""The votes that one member has heard, and the first majority of first votes that it has seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from btard.agreement.messages import VectorVote, VoteRound
from btard.agreement.terms import Terms
from btard.identity import Malformed, PeerId


@dataclass(frozen=True)
class Majority:
    """First votes of more than half of the voters for one vector, and when they were all seen."""

    vector: bytes
    votes: tuple[VectorVote, ...]
    seen_at: float


class Poll:
    """Counts one vote of each voter in each round, the first that comes. A majority that is shown whole counts whatever
    its voters have told this member before: liars vote for two things.

    Attributes:
        majority: the first one that has been seen.
        contested: whether another one has been seen, too.
    """

    def __init__(self, terms: Terms, has_signed: Callable[[VectorVote], bool]) -> None:
        self._terms, self._has_signed = terms, has_signed
        self._cast: dict[VoteRound, dict[PeerId, VectorVote]] = {round_: {} for round_ in VoteRound}
        self._tally: dict[VoteRound, dict[bytes, dict[PeerId, VectorVote]]] = {round_: {} for round_ in VoteRound}
        self.majority: Majority | None = None
        self.contested = False

    def hear(self, now: float, votes: Sequence[VectorVote]) -> None:
        """Votes came, together; raises Malformed at the first that its author has not signed."""
        shown: dict[bytes, dict[PeerId, VectorVote]] = {}
        for vote in votes:
            if vote.round is VoteRound.FIRST and vote.voter in self._terms.voters:
                shown.setdefault(vote.vector, {})[vote.voter] = vote
        for together in shown.values():
            if self._is_new_majority(together):
                for vote in together.values():
                    self._verify(vote)
                self._see(now, together)
        for vote in votes:
            if vote.voter in self._terms.voters and vote.voter not in self._cast[vote.round]:
                self._verify(vote)
                self.count(now, vote)

    def _verify(self, vote: VectorVote) -> None:
        if self._cast[vote.round].get(vote.voter) != vote and not self._has_signed(vote):
            raise Malformed("a vote that its author has not signed")

    def count(self, now: float, vote: VectorVote) -> None:
        """Count a vote that is known to be its author's."""
        self._cast[vote.round][vote.voter] = vote
        alike = self._tally[vote.round].setdefault(vote.vector, {})
        alike[vote.voter] = vote
        if vote.round is VoteRound.FIRST and self._is_new_majority(alike):
            self._see(now, alike)

    def _is_new_majority(self, alike: Mapping[PeerId, VectorVote]) -> bool:
        if self.contested or not self._terms.is_majority(alike.keys()):
            return False
        vector = next(iter(alike.values())).vector
        return self.majority is None or self.majority.vector != vector

    def _see(self, now: float, alike: Mapping[PeerId, VectorVote]) -> None:
        if self.majority is not None:
            self.contested = True
            return
        votes = tuple(alike.values())[: self._terms.majority]
        self.majority = Majority(votes[0].vector, votes, now)
        tally = self._tally[VoteRound.FIRST].setdefault(votes[0].vector, {})
        for vote in votes:
            tally.setdefault(vote.voter, vote)

    def voted_for(self, round_: VoteRound, vector: bytes) -> Mapping[PeerId, VectorVote]:
        """Return the votes for a vector in a round, by voter."""
        return self._tally[round_].get(vector, {})

    def certified(self) -> tuple[VectorVote, ...]:
        """Return votes that certify a vector, as few as do, or nothing."""
        needed = {VoteRound.FIRST: self._terms.certain, VoteRound.SECOND: self._terms.majority}
        for round_, vectors in self._tally.items():
            for votes in vectors.values():
                if self._terms.certifies(round_, votes.keys()):
                    return tuple(votes.values())[: needed[round_]]
        return ()
