"""Keeps what members tell of themselves beside their losses: `peers.json`, and events of findings and exclusions.

What a member says of itself is shown as its word. That a peer was left out of a step is written only when more than
half of the members tell it.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, OrderedDict
from typing import Any

from btard.coordinator.run_directory import RunDirectory
from btard.errors import UserError
from btard.identity import PeerId
from btard.round.roster import Roster
from btard.swarm.events.coordinator import CoordinatorEvent, MemberExcluded, PeerExamined
from btard.swarm.events.log import EventLog
from btard.swarm.events.reading import parse_coordinator
from btard.swarm.events.tail import last_lines
from btard.swarm.records.details import PeerDetails
from btard.swarm.records.record import Metrics
from btard.transport.stages import Stage

logger = logging.getLogger(__name__)

MAX_PEERS = 512
"""Peers that are remembered, those heard of last."""

_MAX_TOLD = 4096


class DetailsBoard:
    """Takes the details of METRICS records.

    Attributes:
        latest: those of the members at the last look.
    """

    def __init__(self, directory: RunDirectory, log: EventLog[CoordinatorEvent]) -> None:
        self._directory = directory
        self._log = log
        self._peers: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._examined: OrderedDict[str, int] = OrderedDict()
        self._excluded: OrderedDict[tuple[int, str], None] = OrderedDict()
        self._complains = True
        self.latest: list[PeerDetails] = []
        self._remember()

    def _remember(self) -> None:
        """Learn from the log of a former start what was written already."""
        for event in last_lines(self._directory.events, parse_coordinator):
            match event:
                case MemberExcluded():
                    self._tell_once(event.step, event.peer)
                case PeerExamined():
                    self._examined[event.validator] = event.step

    def take(self, records: dict[PeerId, Metrics], trusted: Roster, last_plausible: int) -> None:
        """Note what is new in the records of members of the trusted roster."""
        told = {peer: record.details for peer, record in records.items() if record.details is not None}
        self.latest = [details for details in told.values() if details.step <= last_plausible]
        changed = False
        for peer, details in told.items():
            if details.step <= last_plausible:
                changed |= self._note(str(peer), details, records[peer])
                self._examinations(str(peer), details, last_plausible)
        self._exclusions(told, len(trusted.members), last_plausible)
        if changed:
            self._save()

    def _note(self, peer: str, details: PeerDetails, record: Metrics) -> bool:
        latest = record.steps[-1]
        known: dict[str, Any] = {
            "version": details.version,
            "numerics": details.numerics,
            "bytes_sent": details.bytes_sent,
            "bytes_received": details.bytes_received,
            "step": details.step,
            "stages": dict(zip(Stage, details.stages, strict=True)),
            "loss": latest.loss,
            "samples_per_second": latest.samples_per_second,
        }
        if {**self._peers.get(peer, {}), **known} == self._peers.get(peer):
            return False
        self._peers[peer] = {"time": round(time.time(), 3), **known}
        self._peers.move_to_end(peer)
        while len(self._peers) > MAX_PEERS:
            self._peers.popitem(last=False)
        return True

    def _examinations(self, validator: str, details: PeerDetails, last_plausible: int) -> None:
        for each in details.examined:
            if self._examined.get(validator, -1) < each.step <= last_plausible:
                self._examined[validator] = each.step
                self._log.write(PeerExamined(validator=validator, peer=each.target, step=each.step, found=each.found))
        while len(self._examined) > _MAX_TOLD:
            self._examined.popitem(last=False)

    def _exclusions(self, told: dict[PeerId, PeerDetails], members: int, last_plausible: int) -> None:
        """Count the members that tell of each one, anew from their latest records, so that none can fill a memory."""
        votes: Counter[tuple[int, str]] = Counter()
        reasons: dict[tuple[int, str], Counter[str]] = {}
        for details in told.values():
            for key, reason in {(each.step, each.peer): each.reason for each in details.excluded}.items():
                votes[key] += 1
                reasons.setdefault(key, Counter())[reason] += 1
        for key in sorted(key for key, count in votes.items() if 2 * count > members and key not in self._excluded):
            step, peer = key
            if step <= last_plausible and _is_peer(peer):
                self._tell_once(step, peer)
                reason = reasons[key].most_common(1)[0][0]
                self._log.write(MemberExcluded(peer=peer, step=step, reason=reason))

    def _tell_once(self, step: int, peer: str) -> None:
        self._excluded[step, peer] = None
        while len(self._excluded) > _MAX_TOLD:
            self._excluded.popitem(last=False)

    def _save(self) -> None:
        try:
            self._directory.save_peers(self._peers)
        except OSError as error:
            if self._complains:
                logger.error("cannot write what peers tell of themselves: %s", error.strerror)
            self._complains = False


def _is_peer(text: str) -> bool:
    try:
        PeerId.parse(text)
    except UserError:
        return False
    return True
