"""All replicas of one stage: their rounds, and which of them take part."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import torch

from btard.behaviour import Behaviour
from btard.errors import UserError
from btard.identity import IdentityKey, PeerId
from btard.pipeline.replicas.simulated.peer import ReplicaPeer
from btard.pipeline.replicas.trainer import StageTrainer
from btard.round.actions import Verdict, Voided
from btard.round.admission import Doorstep
from btard.round.roster import Roster, first_randomness
from btard.round.rules import StepRules
from btard.transport.virtual import Network, NetworkConditions


@dataclass(frozen=True)
class RoundOutcome:
    """What a round of a stage's replicas has come to.

    Attributes:
        average: that all replicas go on with, float32 of shape (d,).
        submitted: the replicas whose gradients are in it, ascending.
        lost: the replicas whose peer is out, ascending; others may take their seats.
        bans: of the step.
    """

    average: torch.Tensor = field(repr=False)
    submitted: tuple[int, ...]
    lost: tuple[int, ...]
    bans: tuple[Verdict, ...]


class ReplicaGroup:
    """The replicas of a stage.

    Attributes:
        stage: which.
        rules: of their rounds.
        network: between them.
        peers: by replica, those that have its seat now.
    """

    def __init__(self, stage: int, rules: StepRules, seed: int, conditions: NetworkConditions) -> None:
        self.stage, self.rules, self._seed = stage, rules, seed
        self.network = Network(seed, conditions)
        self.peers: dict[int, ReplicaPeer] = {}
        self._roster: Roster | None = None
        self._doorsteps: dict[PeerId, Doorstep] = {}

    def seat(self, replica: int, key: IdentityKey, trainer: StageTrainer, behaviour: Behaviour) -> None:
        """Give a replica's seat to a peer; after the first round the others have to admit it."""
        self.peers[replica] = ReplicaPeer(self.network, key, self.rules, trainer, behaviour)

    def average(self, step: int, silent: Collection[int] = ()) -> RoundOutcome:
        """Run the round of the next step, whose gradients the trainers of all peers have.

        Args:
            silent: replicas that have none, and so do not take part; the others leave them out as any that are late.

        Raises:
            UserError: no replica can go on.
        """
        roster = self._roster_of(step)
        seated = {n: peer for n, peer in sorted(self.peers.items()) if peer.peer_id in roster.members}
        members = {n: peer for n, peer in seated.items() if n not in silent}
        waiting = [
            peer.peer_id for n, peer in self.peers.items() if n not in silent and peer.peer_id not in roster.members
        ]
        for peer in members.values():
            peer.history.clear()
            peer.outcome = None
            peer.candidates = self._doorsteps.setdefault(peer.peer_id, Doorstep()).names(roster, waiting)
        for peer in members.values():
            peer.begin(roster)
        self.network.run(done=lambda: all(peer.outcome or peer.stopped or peer.crashed for peer in members.values()))
        finished = {n: peer for n, peer in members.items() if peer.outcome is not None}
        if not finished:
            stops = [peer.stopped.reason for peer in members.values() if peer.stopped is not None]
            reason = stops[0] if stops else "nobody is left"
            raise UserError(f"the replicas of stage {self.stage} cannot go on in step {step}: {reason}")
        newest = next(peer.outcome for peer in finished.values() if peer.outcome is not None)
        self._roster = newest.roster
        verdicts = {
            verdict.peer: verdict
            for peer in finished.values()
            for event in peer.history
            if isinstance(event, Voided)
            for verdict in event.verdicts
        }
        return RoundOutcome(
            next(iter(finished.values())).average(),
            tuple(n for n, peer in finished.items() if peer.outcome is not None and peer.outcome.submitted),
            tuple(n for n, peer in seated.items() if peer.peer_id not in newest.roster.members),
            tuple(verdicts.values()),
        )

    def stepped(self, silent: Collection[int] = ()) -> None:
        """End the step for all that have finished the round, but for the silent: their pipelines have stepped."""
        for replica, peer in self.peers.items():
            if replica not in silent and peer.outcome is not None and not peer.crashed:
                peer.stepped()

    def _roster_of(self, step: int) -> Roster:
        if self._roster is None:
            members = tuple(sorted(peer.peer_id for peer in self.peers.values()))
            self._roster = Roster(step, members, frozenset(), first_randomness(self._seed, step))
        return self._roster
