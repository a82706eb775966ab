"""A peer whose stage lies in the steps that its settings say, as the behaviours of whole models do."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from btard.byzantine.schedule import AttackSchedule
from btard.byzantine.settings import BehaviourSettings, LieName, StageLies
from btard.errors import UserError
from btard.hashing import tagged_digest
from btard.identity import PeerId
from btard.pipeline.defence.attacks import HONEST, MessageLie, told
from btard.pipeline.defence.behaviour import StageBehaviour, StagePlace
from btard.tasks.randomness import SeededDraws
from btard.vocabulary import NO_ATTACK


@dataclass(frozen=True)
class ScheduledLies(StageBehaviour):
    """Lies about what it sends, in some steps.

    Attributes:
        schedule: in which.
        forward: what becomes of activations; None leaves them.
        backward: what becomes of gradients; None leaves them.
        seed: 32 bytes from which everything is drawn.
    """

    schedule: AttackSchedule
    forward: MessageLie | None
    backward: MessageLie | None
    seed: bytes

    def activation(self, place: StagePlace, honest: torch.Tensor) -> torch.Tensor:
        return self._said(self.forward, "forward", place, honest)

    def gradient(self, place: StagePlace, honest: torch.Tensor) -> torch.Tensor:
        return self._said(self.backward, "backward", place, honest)

    def _said(self, lie: MessageLie | None, way: str, place: StagePlace, honest: torch.Tensor) -> torch.Tensor:
        if lie is None or not self.schedule.attacks(place.step):
            return honest
        return told(lie, honest, SeededDraws(self.seed).torch_seed(f"{way} {place.step} {place.micro_batch}"))


def stage_behaviour(
    attack: BehaviourSettings, lies: StageLies, peer: PeerId, *, averages: bool = False
) -> StageBehaviour:
    """Return how a peer's stage lies.

    Args:
        attack: when; its kind of attack is one on averages.
        lies: about what.
        peer: that lies; all of them draw on their own.
        averages: whether the stage's replicas average, where an attack is the peer's behaviour in their rounds.

    Raises:
        UserError: the attack is one that stages do not know.
    """
    if attack.attack_type != NO_ATTACK and not averages:
        raise UserError(
            f"ATTACK_TYPE is {attack.attack_type}, but the run is one pipeline whose stages average with nobody, and "
            "lie by --forward-attack and --backward-attack"
        )
    if lies.forward_attack is LieName.NONE and lies.backward_attack is LieName.NONE:
        return HONEST
    seed = tagged_digest("btard stage lies", peer)
    return ScheduledLies(AttackSchedule(attack, seed), _lie(lies.forward_attack), _lie(lies.backward_attack), seed)


def _lie(name: LieName) -> MessageLie | None:
    return None if name is LieName.NONE else MessageLie(name.value)
