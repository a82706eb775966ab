"""Fetches the evidence of bans from the members that hold it, checks it, and keeps it in the run's directory."""

from __future__ import annotations

import logging

from btard.coordinator.network.network import SwarmNetwork
from btard.identity import PeerId
from btard.round.evidence.evidence import Evidence
from btard.round.roster import Roster
from btard.swarm.bans import BanBook
from btard.swarm.events.coordinator import BanUnproven, BanVerified, CoordinatorEvent
from btard.swarm.events.log import EventLog

logger = logging.getLogger(__name__)

_TRIES = 3


class BanKeeper:
    """Verifies every ban of the trusted roster instead of believing it."""

    def __init__(self, network: SwarmNetwork, book: BanBook, log: EventLog[CoordinatorEvent]) -> None:
        self._network = network
        self._book = book
        self._log = log
        self._tries: dict[PeerId, int] = {}

    async def consider(self, trusted: Roster) -> None:
        """Look for the evidence of bans that is not here yet; after a few fruitless rounds a ban stays unproven."""
        wanted = {
            peer
            for peer in trusted.banned
            if self._book.evidence_of(peer) is None and self._tries.get(peer, 0) < _TRIES
        }
        if not wanted:
            return
        verified, unproven = await self._book.verify_all(self._network.evidence, wanted, trusted.members)
        for evidence, basis in verified:
            self._tell(evidence, basis)
        for peer in unproven:
            self._tries[peer] = self._tries.get(peer, 0) + 1
            if self._tries[peer] == _TRIES:
                logger.warning("no member proves the ban of %s", peer)
                self._log.write(BanUnproven(peer=str(peer), step=trusted.step))

    def _tell(self, evidence: Evidence, basis: str) -> None:
        step = evidence.scene.roster.step
        logger.info("verified: in step %d %s %s; %s", step, evidence.accused, evidence.offence, basis)
        path = self._book.path_of(evidence.accused)
        self._log.write(
            BanVerified(
                peer=str(evidence.accused),
                step=step,
                offence=evidence.offence.name,
                words=evidence.offence,
                basis=basis,
                evidence=None if path is None else str(path),
            )
        )
