"""Admission: of new keys only a few within some steps, drawn by randomness that nobody knows in time.

A key costs nothing. So the maker of most keys would soon be the majority, if all that knock came in.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from btard.identity import PeerId
from btard.round.draw import ranking
from btard.round.messages.bodies import MAX_CANDIDATES
from btard.round.roster import ADMISSION_WINDOW, Roster
from btard.vocabulary import MAX_PEERS

ONE_IN = 20
"""One new key for so many members may come in within ADMISSION_WINDOW steps: 5 %."""

LEAST_QUOTA = 1
"""New keys that may come in within ADMISSION_WINDOW steps however few the members are."""


def may_begin(roster: Roster, peer: PeerId, last_begun: int) -> bool:
    """Return whether a peer may begin the step of a roster: as a member that has not begun it before.

    A peer that has begun a step has signed messages in it; to begin it once more would be to sign others.

    Args:
        last_begun: the last step that the peer has begun, -1 for none.
    """
    return peer in roster.members and last_begun < roster.step


def quota(members: int) -> int:
    """Return how many new keys may come in within ADMISSION_WINDOW steps beside so many members: max(1, 5 %)."""
    return max(LEAST_QUOTA, members // ONE_IN)


def places(roster: Roster, members: int) -> int:
    """Return how many new keys may stand in the roster after `roster` if `members` of it finish the step.

    The new keys of the last steps do not count as members here: a place that has been taken makes no other.
    """
    recent = sum(first > roster.step + 1 - ADMISSION_WINDOW for first in roster.arrivals)
    return max(0, quota(members - recent) - recent)


def room_for_client(members: int, clients: int) -> bool:
    """Return whether one more client may come in beside so many members, of which so many are clients: at most half of
    all members are, so that those that own parts, vote and validate are never fewer."""
    return 2 * (clients + 1) <= members + 1


def admit(
    roster: Roster,
    finished: Iterable[PeerId],
    named: Iterable[PeerId],
    randomness: bytes,
    clients: Collection[PeerId] = (),
) -> tuple[PeerId, ...]:
    """Return the peers that come in after a step: those that return, and as many new keys as there are places for. One
    that has lost its place too often lately has to wait first.

    Args:
        roster: of the step.
        finished: the members that have finished it.
        named: the candidates of most voters.
        randomness: r^t, which was unknown when they were named.
        clients: those of the named peers that come as clients, for whom there has to be room, too.
    """
    stay = set(finished)
    room = MAX_PEERS - len(stay)
    barred = roster.banned | roster.kept_out(roster.step + 1)
    order = ranking(randomness, "admission", sorted(set(named) - stay - set(roster.members) - barred))
    former = set(roster.former)
    fresh, joined, there = places(roster, len(stay)), list[PeerId](), len(stay.intersection(roster.clients))
    for peer in sorted(order, key=lambda peer: peer not in former):
        is_new, is_client = peer not in former, peer in clients
        full = len(joined) >= room or (is_new and not fresh)
        if not full and (not is_client or room_for_client(len(stay) + len(joined), there)):
            joined.append(peer)
            fresh, there = fresh - is_new, there + is_client
    return tuple(joined)


def order(roster: Roster, waiting: Iterable[PeerId]) -> list[PeerId]:
    """Return the order in which all members of a roster look at waiting peers, drawn by the r^(t-1) that it carries."""
    return ranking(roster.randomness, "doorstep", sorted(waiting))


class Doorstep:
    """The peers before the door of one member, and those of them that it names in its commitment.

    A commitment holds at most MAX_CANDIDATES names, and all members must choose the same ones among more: r^(t-1) ranks
    them, which everybody knows, and which gives everybody another chance in each step. But a key that is made once
    r^(t-1) is known can be made to rank first. So those come before it that were here already when this member began an
    earlier step: then the member's own share of r^(t-1) was still secret.
    """

    def __init__(self) -> None:
        self._step = -1
        self._here: frozenset[PeerId] = frozenset()
        self._before: frozenset[PeerId] = frozenset()

    def names(self, roster: Roster, waiting: Iterable[PeerId]) -> tuple[PeerId, ...]:
        """Return the peers to name in the step of `roster`, ascending; to be asked when the member begins it.

        Returning and new peers have half of the names each, and what the others leave. New keys are
        named only while there is a place for one.

        Args:
            roster: of the step that begins.
            waiting: those that the member can reach and would admit.
        """
        here = frozenset(waiting).difference(roster.members, roster.banned, roster.kept_out(roster.step + 1))
        if roster.step > self._step:
            self._step, self._before, self._here = roster.step, self._here, here
        former = here.intersection(roster.former)
        new = here - former if places(roster, len(roster.members)) else frozenset()
        back = order(roster, former)
        chosen = [*order(roster, new & self._before), *order(roster, new - self._before)]
        chosen = chosen[: MAX_CANDIDATES - min(len(back), MAX_CANDIDATES // 2)]
        return tuple(sorted([*chosen, *back[: MAX_CANDIDATES - len(chosen)]]))
