"""Believing a swarm rather than a peer: what more than half of a trusted roster give as their heads."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable

from btard.identity import Malformed, PeerId
from btard.round.roster import Roster
from btard.swarm.questions import MAX_HEAD, Head, Question, Want
from btard.transport.libp2p import FetchError, Libp2pTransport

logger = logging.getLogger(__name__)


async def ask_heads(
    transport: Libp2pTransport, peers: Iterable[PeerId], *, timeout_seconds: float
) -> dict[PeerId, Head]:
    """Return where each of `peers` says that it stands; those that do not answer in `timeout_seconds` are left out."""

    async def ask(peer: PeerId) -> tuple[PeerId, Head] | None:
        question = Question(want=Want.HEAD).encode()
        try:
            answer = await transport.fetch(peer, question, limit=MAX_HEAD, timeout_seconds=timeout_seconds)
            return peer, Head.decode(answer)
        except (FetchError, Malformed) as error:
            logger.debug("no head from %s: %s", peer.short, error)
            return None

    answers = await asyncio.gather(*(ask(peer) for peer in peers if peer != transport.peer_id))
    return dict(answer for answer in answers if answer is not None)


def newest_stand(trusted: Roster, heads: dict[PeerId, Head]) -> tuple[int, Roster] | None:
    """Return the newest incarnation and roster that more than half of the trusted one's voters stand in, or None.

    Members are rarely all in one step: a peer in a later one has finished the earlier, so a roster counts as
    supported by all whose head is at its step and the same; ties go to the later step.
    """
    standing = {peer: head for peer, head in heads.items() if peer in trusted.voters and not head.waits}
    votes = Counter((head.incarnation, head.roster) for head in standing.values())
    supported = [stand for stand, count in votes.items() if 2 * count > len(trusted.voters)]
    return max(supported, key=lambda stand: (stand[0], stand[1].step), default=None)


def newest_roster(trusted: Roster, heads: dict[PeerId, Head]) -> Roster | None:
    """Return the roster alone."""
    newest = newest_stand(trusted, heads)
    return None if newest is None else newest[1]


def state_digest(trusted: Roster, heads: dict[PeerId, Head], step: int) -> bytes | None:
    """Return the digest of the state before `step` that more than half of the trusted voters give, or None."""
    votes: Counter[bytes] = Counter()
    for peer, head in heads.items():
        known = dict(head.snapshots)
        if head.roster.step == step and not head.waits:
            known[step] = head.state
        if peer in trusted.voters and step in known:
            votes[known[step]] += 1
    return next((digest for digest, count in votes.items() if 2 * count > len(trusted.voters)), None)
