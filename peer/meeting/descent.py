"""The chain from the coordinator's newest roster to where the swarm is now: had from others, made longer, handed on."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Collection, Iterable

from btard.identity import PeerId
from btard.peer.meeting.rosters import Rosters
from btard.round.roster import Roster
from btard.round.rules import StepRules
from btard.swarm.lineage import ChainLink, ask_chains, extended, followed, to_bytes
from btard.transport.libp2p import Libp2pTransport

logger = logging.getLogger(__name__)

_OTHERS_AT_ONCE = 2


class Descent:
    """Keeps the chain of the run that this peer is in.

    Attributes:
        links: the chain.
    """

    def __init__(
        self, transport: Libp2pTransport, rules: StepRules, rosters: Rosters, named: Iterable[PeerId] = ()
    ) -> None:
        """`named`: the peers that are asked for their chains; `rosters` tells where a chain begins."""
        self._transport = transport
        self._rules = rules
        self._rosters = rosters
        self._named = sorted(set(named) - {transport.peer_id})
        self._shown: tuple[tuple[ChainLink, ...], bytes] = (), b""
        self.links: tuple[ChainLink, ...] = ()

    def lengthen(self, new: ChainLink) -> None:
        """This peer has finished a step."""
        base = self._rosters.base
        if base is not None and new.certificate:
            self.links = extended(self.links, base, new)

    async def newest(self, trusted: Roster, others: Collection[PeerId] = ()) -> Roster:
        """Return the newest roster that chains lead to from the coordinator's, or the trusted one if it is newer.

        Ends in a few seconds.

        Args:
            trusted: what this peer knows.
            others: peers of which some are asked beside the named ones.
        """
        base = self._rosters.base
        if base is None:
            return trusted
        some = random.sample(sorted(others), min(len(others), _OTHERS_AT_ONCE))
        for chain in await ask_chains(self._transport, {*self._named, *some}):
            (_, found), used = await asyncio.to_thread(followed, chain, (0, base), self._rules)
            if found.step > trusted.step:
                trusted, self.links = found, used
                logger.info("the members since the coordinator's last roster vouch for one of step %d", found.step)
        return trusted

    def shown(self) -> bytes | None:
        """Return the chain for others, None where there is none."""
        if self._shown[0] is not self.links:
            self._shown = self.links, to_bytes(self.links)
        return self._shown[1] or None
