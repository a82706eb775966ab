"""Peers that come back or join: they ask, are named in commitments, and take over the state of a member."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import partial

from btard.hashing import digest
from btard.identity import PeerId
from btard.lab.simulation.peer import Event, LabPeer
from btard.lab.simulation.settings import Rejoin, SimulateSettings
from btard.round.actions import Finished, OutcomeKind, Stopped
from btard.round.admission import Doorstep, may_begin
from btard.round.roster import Roster
from btard.tensors import bytes_of

_DOWNLOAD_SECONDS = 0.05


class Admissions:
    """The waiting room of a simulation.

    Every member can reach all that wait, and names those that its doorstep gives. One that then is in the roster asks
    its members for the training state, one after the other, and believes what has the digest that the honest majority
    commits to.
    """

    def __init__(self, settings: SimulateSettings, peers: list[LabPeer], make_peer: Callable[[bool], LabPeer]) -> None:
        self._settings = settings
        self._peers = peers
        self._make_peer = make_peer
        self._waiting: dict[PeerId, LabPeer] = {}
        self._doorsteps: defaultdict[PeerId, Doorstep] = defaultdict(Doorstep)
        self._stopped_in: dict[PeerId, int] = {}
        self._sybils = settings.sybils
        self._newcomers = settings.newcomers
        self.admitted = 0
        self.refused_states = 0

    def happened(self, peer: LabPeer, event: Event) -> None:
        """Let a suspended peer, or a fresh key of a banned attacker, ask to be admitted; see `Listener`."""
        if not isinstance(event, Stopped):
            return
        if event.kind is OutcomeKind.BANNED:
            if not peer.honest and self._sybils > 0:
                self._sybils -= 1
                self._ask(self._make_peer(False))
            return
        self._stopped_in[peer.peer_id] = event.step
        if self._settings.rejoin is Rejoin.ALL or (self._settings.rejoin is Rejoin.HONEST and peer.honest):
            self._ask(peer)

    def newcomer(self) -> None:
        """Let one more honest peer ask to be admitted."""
        self._ask(self._make_peer(True))

    def _ask(self, peer: LabPeer) -> None:
        self._waiting[peer.peer_id] = peer

    def _choose_candidates(self, peer: LabPeer, roster: Roster) -> None:
        """Let a peer that begins the step of `roster` decide which peers it names."""
        peer.candidates = self._doorsteps[peer.peer_id].names(roster, self._waiting)

    def moved(self, peer: LabPeer, result: Finished) -> None:
        """Let those enter that the next roster counts in, and more peers knock when it is time; see `Listener`."""
        self._choose_candidates(peer, result.roster)
        if not peer.honest:
            return
        if self._newcomers and result.step >= self._settings.newcomers_at:
            for _ in range(self._newcomers):
                self._ask(self._make_peer(True))
            self._newcomers = 0
        entering = [
            self._waiting[member]
            for member in result.roster.members
            if member in self._waiting and may_begin(result.roster, member, self._stopped_in.get(member, -1))
        ]
        for candidate in entering if result.step < peer.last_step else ():
            del self._waiting[candidate.peer_id]
            self._hand_over(peer, candidate, result.roster)

    def _hand_over(self, honest: LabPeer, candidate: LabPeer, roster: Roster) -> None:
        """Let a newcomer take over the state and begin the step of `roster`."""
        state = bytes(bytes_of(honest.parameters))
        expected = digest(state)
        for member in self._peers:
            if member.peer_id in roster.members and member.steps_done:
                if digest(member.behaviour.served_state(state)) == expected:
                    break
                self.refused_states += 1
        self.admitted += 1

        honest.network.at(honest.network.now + _DOWNLOAD_SECONDS, partial(self._enter, candidate, state, roster))
        candidate.running = True

    def _enter(self, candidate: LabPeer, state: bytes, roster: Roster) -> None:
        """Let a newcomer begin, to which the state of an honest peer has come."""
        if not candidate.crashed:
            candidate.take_over(state, roster.step)
            self._choose_candidates(candidate, roster)
            candidate.begin(roster)
