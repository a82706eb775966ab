"""Members that keep most of the others waiting: who says so, and how a report proves it to all.

A peer that has waited too long for a member says so to everybody, once. As soon as most voters have, the attempt is
given up: no minority can have a member left out, and a member that most wait for costs them no more than this. A member
that gives somebody the time to answer before it accuses says so of itself, and is waited for as much longer.
"""

from __future__ import annotations

import contextlib
import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping

from btard.identity import Envelope, IdentityKey, Malformed, MessageKind, PeerId
from btard.round.actions import Action, Send
from btard.round.attempt.attempt import Attempt
from btard.round.attempt.pace import beyond_most
from btard.round.attempt.seats import Seats, attempt_id_of
from btard.round.context import StepContext
from btard.round.delivery.exchange import Exchange
from btard.round.delivery.patience import Patience, signs_every
from btard.round.messages.accusations import MAX_OVERDUE, Overdue, Report, Waiters
from btard.round.roster import Roster
from btard.round.rules import StepRules
from btard.vocabulary import Eliminate

HEARING = 4
"""Times the bound on delay that a member waits before it accuses the owner of a sum: others have the numbers one later,
and then must have had them for INFORMED, though a liar may let the attempt fail one before the charge."""

INFORMED = 2
"""Times the bound on delay for which a judge has had the numbers of a sum before it blames a silent owner: it has
given them to that owner, which has them one later, and may hear of the charge one before the judge."""

_LOOKS = 8
"""How often, within the longest wait, it is looked at for whom this peer has waited."""


class Impatience:
    """What voters have said of members for which they have waited too long, in one attempt.

    Attributes:
        tells_at: when this peer says again that it is at work, if it has to.
    """

    def __init__(self, seats: Seats) -> None:
        """Begin with nothing said."""
        self._seats = seats
        self._hearing_seconds = HEARING * seats.rules.delay_bound_seconds
        self._said: defaultdict[PeerId, dict[PeerId, bytes]] = defaultdict(dict)
        self._hearing: set[PeerId] = set()
        self.tells_at = -math.inf

    def add(self, envelope: Envelope, *, committed: bool = True) -> bool:
        """Keep a voter's genuine word; raises Malformed.

        Args:
            committed: whether the author has committed in this attempt; else it says of itself that it is at work.

        Returns:
            Whether that is what it says.
        """
        said, author, seats = envelope.read(Overdue), envelope.author, self._seats
        if said.peer not in seats.known or said.attempt_id != seats.attempt_id:
            return False
        if said.peer == author:
            self._hearing |= {author} if committed else set()
        elif author in seats.voters:
            self._said[said.peer].setdefault(author, envelope.signature)
        return said.peer == author and not committed

    def most_wait(self, peer: PeerId, usual: float) -> float:
        """Return for how many seconds a member may keep others waiting that may do so for `usual` ones."""
        return usual + self._hearing_seconds if peer in self._hearing else usual

    @property
    def begun(self) -> bool:
        """Whether anybody has said anything."""
        return bool(self._said)

    @property
    def overdue(self) -> list[PeerId]:
        """The other members for which most voters have waited too long, ascending."""
        seats, said = self._seats, self._said
        return sorted(peer for peer in said if peer != seats.me and seats.is_majority(len(said[peer])))

    @property
    def proven(self) -> tuple[Waiters, ...]:
        """The other members for which most voters have waited too long, ascending, as a report shows it."""
        places = {peer: place for place, peer in enumerate(self._seats.members)}
        return tuple(
            Waiters(peer, tuple(sorted((places[author], signed) for author, signed in self._said[peer].items())))
            for peer in self.overdue[:MAX_OVERDUE]
        )

    def said_by(self, author: PeerId) -> set[PeerId]:
        """Return the members of which a voter has said it."""
        return {peer for peer, said in self._said.items() if author in said}


def at_work(rules: StepRules, roster: Roster, key: IdentityKey) -> Send:
    """Return what a member tells all others of a step that it has not begun: it loads the state."""
    body = Overdue(attempt_id_of(rules, roster, 0, roster.members), key.peer_id).encode()
    envelope = Envelope.sign(key, run=rules.run, step=roster.step, kind=MessageKind.OVERDUE, body=body)
    return Send(tuple(peer for peer in roster.members if peer != key.peer_id), envelope.encode())


def _tell_of_work(
    now: float, context: StepContext, seats: Seats, patience: Patience, impatience: Impatience
) -> list[Action]:
    """Tell all others, now and then, that this peer computes: they have not seen yet how long that takes it."""
    every = signs_every(context.rules)
    if now < max(patience.began + every, impatience.tells_at):
        return []
    impatience.tells_at = now + every
    patience.look_again(now, impatience.tells_at)
    word = context.sign(seats.number, MessageKind.OVERDUE, Overdue(seats.attempt_id, seats.me).encode())
    return [Send(seats.others, word.encode())]


def lose_patience(
    now: float,
    context: StepContext,
    exchange: Exchange,
    patience: Patience,
    impatience: Impatience,
    *,
    working: bool,
) -> list[Action]:
    """Tell everybody for which members this peer has waited too long, each once; but not in the paper's mode, in which
    no testimony decides who is to blame. And that it is at work itself, where others cannot know.

    Args:
        working: whether this peer has not come so far as to commit.
    """
    most, seats = context.pace.most_wait(), exchange.attempt.seats
    pairs = seats.rules.verification.eliminate is Eliminate.MUTUAL
    actions: list[Action] = []
    if working and not context.settled and not pairs:
        actions += _tell_of_work(now, context, seats, patience, impatience)
    if most is None or pairs or seats.me not in seats.voters:
        return actions
    waited = beyond_most(seats.members, exchange.account.waited(now, patience))
    if exchange.account.is_waiting:
        patience.look_again(now, now + most / _LOOKS)
    for peer in sorted(waited.keys() - impatience.said_by(seats.me)):
        if waited[peer] > impatience.most_wait(peer, most):
            actions.append(_say(context, seats, impatience, peer))
    return actions


def miss_reports(
    context: StepContext, seats: Seats, impatience: Impatience, silent: Collection[PeerId]
) -> list[Action]:
    """Tell everybody of which members this peer has had no report for too long; but not where half of the members say
    nothing: then all may be slow."""
    pairs = seats.rules.verification.eliminate is Eliminate.MUTUAL
    if pairs or seats.me not in seats.voters or 2 * len(silent) >= len(seats.members):
        return []
    return [_say(context, seats, impatience, peer) for peer in sorted(set(silent) - impatience.said_by(seats.me))]


def _say(context: StepContext, seats: Seats, impatience: Impatience, peer: PeerId) -> Send:
    envelope = context.sign(seats.number, MessageKind.OVERDUE, Overdue(seats.attempt_id, peer).encode())
    impatience.add(envelope)
    return Send(seats.others, envelope.encode())


def kept_waiting(attempt: Attempt, reports: Mapping[PeerId, Report]) -> set[tuple[PeerId, PeerId]]:
    """Return (voter, member) for all that reports prove: the voter has said that it has waited too long."""
    shown = (waiters for report in reports.values() for waiters in report.overdue)
    return {(voter, waiters.peer) for waiters in shown for voter in _signers(attempt, waiters)}


def proves_delay(attempt: Attempt, report: Report) -> bool:
    """Whether a report proves that most voters have waited too long for somebody."""
    return any(attempt.seats.is_majority(len(_signers(attempt, waiters))) for waiters in report.overdue)


def _signers(attempt: Attempt, waiters: Waiters) -> tuple[PeerId, ...]:
    """Return the voters that have signed this, in the order of their places; it is looked at once in an attempt, as
    every report that comes has all others weighed again."""
    found = attempt.said.signers
    if waiters not in found:
        found[waiters] = tuple(_verified(attempt, waiters))
    return found[waiters]


def _verified(attempt: Attempt, waiters: Waiters) -> Iterator[PeerId]:
    seats = attempt.seats
    body = Overdue(seats.attempt_id, waiters.peer).encode()
    for place, signature in waiters.signatures:
        author = seats.members[place] if place < len(seats.members) else waiters.peer
        if author == waiters.peer or author not in seats.voters or waiters.peer not in seats.known:
            continue
        envelope = Envelope(
            seats.rules.run, seats.roster.step, seats.number, MessageKind.OVERDUE, author, body, signature
        )
        with contextlib.suppress(Malformed):
            attempt.said.papers.read(envelope.encode())
            yield author
