"""One member's part in agreeing on which step goes on: a state machine of signed messages and time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from btard.hashing import tagged_digest
from btard.identity import Envelope, IdentityKey, Malformed, MessageKind, PeerId
from btard.reunion.messages import Memory, Place
from btard.round.roster import Roster
from btard.vocabulary import MAX_INCARNATIONS

MOST_MEMORIES = 4
"""Different memories of one author that count; an honest one has one or two."""

MOST_ROUNDS = 4
"""Incarnations of one author whose votes are kept, the highest ones."""

_ROUND_WINDOWS = 4
"""Windows without a new vote after which a round is given up; all that stands alike has begun by then."""


@dataclass(frozen=True)
class Reopening:
    """The run goes on from a place, in this incarnation."""

    incarnation: int
    place: Place


class Reunion:
    """Collects what the voters of a roster remember, votes, and decides.

    A voter votes once an incarnation. Two sets of votes by which peers begin one incarnation in two places would have
    an honest voter in common where they are as large as `quorum`; smaller majorities have to stand for a window, in
    which all that are there are shown all votes, and votes of authors that have voted twice count for nothing.

    Attributes:
        roster: the newest that this peer believes; more than half of its voters are believed.
        incarnation: the last one that is over: this peer votes in the next.
    """

    def __init__(
        self,
        key: IdentityKey,
        run: bytes,
        roster: Roster,
        memory: Memory | None,
        incarnation: int,
        *,
        window_seconds: float,
        luck: float,
        proof: Iterable[Envelope] = (),
    ) -> None:
        """Begin to listen.

        Args:
            run: 16 bytes, the name of the run's first incarnation.
            memory: where this peer has stood; None for a peer that remembers nothing, and only follows.
            incarnation: the last one that this peer has taken part in.
            window_seconds: twice what a message may take to get from one member by another to all.
            luck: in [0, 1), drawn anew, so that nobody knows to the moment when this peer decides.
            proof: the votes by which that incarnation has begun.
        """
        self._key, self._run = key, run
        self.roster = roster
        self.incarnation = incarnation
        self._own = memory
        self._window_seconds = window_seconds
        self._luck = luck
        self._memories: dict[PeerId, dict[bytes, Envelope]] = {}
        self._votes: dict[PeerId, dict[int, tuple[Envelope, ...]]] = {}
        self._changed_at = 0.0
        self._best: tuple[int, Place] | None = None
        self._best_since = 0.0
        if memory is not None:
            self._keep_memory(self._sign(MessageKind.MEMORY, incarnation, memory.encode()))
        self.hear(0.0, proof)

    @property
    def _me(self) -> PeerId:
        return self._key.peer_id

    def _sign(self, kind: MessageKind, number: int, body: bytes) -> Envelope:
        return Envelope.sign(self._key, run=self._run, step=number, kind=kind, body=body)

    @property
    def envelopes(self) -> tuple[Envelope, ...]:
        """Everything that counts, to be shown to all that ask."""
        memories = [envelope for kept in self._memories.values() for envelope in kept.values()]
        votes = [one for rounds in self._votes.values() for pair in rounds.values() for one in pair]
        return tuple(sorted([*memories, *votes], key=lambda e: (e.kind, e.author, e.step, e.body)))

    @property
    def digest(self) -> bytes:
        """32 bytes that stand for `envelopes`."""
        return tagged_digest("btard reunion", *(envelope.content_digest() for envelope in self.envelopes))

    @property
    def begun(self) -> int:
        """The highest incarnation that may have begun already, by what this peer knows."""
        claimed = (e.step for kept in self._memories.values() for e in kept.values())
        return max(self.incarnation, self._proven(), *claimed)

    def believe(self, roster: Roster) -> None:
        """Go by a newer roster, which most voters of the one before remember."""
        self.roster = roster

    def hear(self, now: float, envelopes: Iterable[Envelope]) -> None:
        """Take in what another peer shows, its own messages and those of others; what does not count is passed over.
        Nothing is looked at behind the first that is malformed or not signed: an honest peer shows no such thing."""
        try:
            for envelope in envelopes:
                fits = envelope.run == self._run and 0 <= envelope.step < MAX_INCARNATIONS and envelope.attempt == 0
                if not fits or envelope.author not in self.roster.voters:
                    continue
                if envelope.kind is MessageKind.MEMORY:
                    self._keep_memory(envelope)
                elif envelope.kind is MessageKind.RESUME:
                    self._keep_vote(now, envelope)
        except Malformed:
            pass
        self.incarnation = max(self.incarnation, self._proven() - 1)

    def _keep_memory(self, envelope: Envelope) -> None:
        kept = self._memories.setdefault(envelope.author, {})
        if envelope.content_digest() not in kept and len(kept) <= MOST_MEMORIES:
            envelope.read(Memory)
            envelope.verify()
            kept[envelope.content_digest()] = envelope

    def _keep_vote(self, now: float, envelope: Envelope) -> None:
        rounds = self._votes.setdefault(envelope.author, {})
        pair = rounds.get(envelope.step, ())
        known = any(one.body == envelope.body for one in pair)
        late = len(rounds) >= MOST_ROUNDS and envelope.step < min(rounds)
        if known or len(pair) > 1 or late:
            return
        envelope.read(Place)
        envelope.verify()
        rounds[envelope.step] = (*pair, envelope)
        if len(rounds) > MOST_ROUNDS:
            del rounds[min(rounds)]
        self._changed_at = now

    def _proven(self) -> int:
        """Return the highest incarnation in which most voters have voted: so an honest one has."""
        voted = Counter(number for author in self.roster.voters for number in self._votes.get(author, ()))
        return max((number for number, count in voted.items() if 2 * count > len(self.roster.voters)), default=0)

    def _tally(self, number: int, *, spent: bool) -> tuple[Place, int] | None:
        """Return the place for which most have voted in a round, and how many have; a second vote unsays the first.

        Args:
            spent: whether votes count by which their authors have begun that incarnation before.
        """
        counted = Counter[Place]()
        for author in sorted(self.roster.voters):
            pair = self._votes.get(author, {}).get(number, ())
            if len(pair) == 1 and (spent or not self._has_begun(author, number)):
                counted[pair[0].read(Place)] += 1
        found = counted.most_common(1)
        return found[0] if found and 2 * found[0][1] > len(self.roster.voters) else None

    def _has_begun(self, author: PeerId, number: int) -> bool:
        return any(envelope.step >= number for envelope in self._memories.get(author, {}).values())

    def proof(self, number: int) -> tuple[Envelope, ...]:
        """Return the votes of an incarnation."""
        return tuple(one for rounds in self._votes.values() for one in rounds.get(number, ()))

    def remembered(self) -> list[Place]:
        """Return the places that more than half of the voters remember, the newest first.

        Of an author what it remembers from the last incarnation that it has taken part in counts alone: what came in an
        earlier one after that had begun was lost, and has been done in another way since.
        """
        counted = Counter[Place]()
        for author in self.roster.voters:
            kept = self._memories.get(author, {})
            if len(kept) > MOST_MEMORIES:
                continue  # it says something else to everybody
            last = max((envelope.step for envelope in kept.values()), default=0)
            newest = (envelope.read(Memory) for envelope in kept.values() if envelope.step == last)
            counted.update({place for memory in newest for place in memory.places})
        return sorted((p for p, count in counted.items() if 2 * count > len(self.roster.voters)), reverse=True)

    def candidates(self) -> list[Place]:
        """Return where the run may go on, the best first: nowhere, unless most voters remember what this peer does, or
        at least the step before, behind which no honest voter of its roster can be."""
        places = self.remembered()
        behind = self._own is not None and (not places or places[0].step < self._own.places[-1].step - 1)
        return [] if behind else places

    @property
    def chosen(self) -> Place | None:
        """The place for which most have voted in the next incarnation, if this peer may go on there: it needs its state
        then, even where it has a better one by now, since a vote cannot be taken back."""
        number = self.incarnation + 1
        tally = self._tally(number, spent=False)
        return tally[0] if tally is not None and self._may_follow(number, tally[0]) else None

    def _may_follow(self, number: int, place: Place) -> bool:
        """Whether this peer has voted for nothing later, or votes for nothing."""
        mine = self._votes.get(self._me, {}).get(number, ())
        return not self._is_voter or any(one.read(Place) <= place for one in mine)

    @property
    def _is_voter(self) -> bool:
        return self._me in self.roster.voters and self._own is not None

    def tick(self, now: float, at_hand: Collection[Place], *, sure: bool = True) -> Reopening | None:
        """Vote if there is something to vote for, and return the decision once there is one.

        Args:
            at_hand: the places whose state this peer has.
            sure: whether it may vote: a vote cannot be taken back.
        """
        number = self.incarnation + 1
        if sure and self._is_voter and number not in self._votes.get(self._me, {}):
            choice = next((place for place in self.candidates() if place in at_hand), None)
            if choice is not None:
                self._keep_vote(now, self._sign(MessageKind.RESUME, number, choice.encode()))
        tally = self._tally(number, spent=False)
        if tally is None:
            self._best = None
            begun_before = self._tally(number, spent=True) is not None
            over = now >= self._changed_at + _ROUND_WINDOWS * self._window_seconds
            if self._proven() == number and (begun_before or over):
                self.incarnation = number
            return None
        place, count = tally
        if self._best != (number, place):
            self._best, self._best_since = (number, place), now
        stood = now >= self._best_since + (1 + self._luck) * self._window_seconds
        agrees = place in at_hand and self._may_follow(number, place)
        return Reopening(number, place) if agrees and (count >= quorum(len(self.roster.voters)) or stood) else None


def quorum(voters: int) -> int:
    """Return the least number of votes of which two sets have an honest voter in common."""
    liars = (voters - 1) // 2
    return (voters + liars) // 2 + 1
