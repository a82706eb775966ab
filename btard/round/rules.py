"""What the run's manifest fixes about a step: the same for all peers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import Any

from btard.hashing import tagged_digest
from btard.identity.codec import encode
from btard.identity.envelope import RUN_ID_SIZE
from btard.verification.thresholds import SCALARS, Thresholds, gradient, opening
from btard.vocabulary import SLOWEST, Eliminate, Validation, WireType

NONCE_SIZE = 16
"""Random bytes that keep two runs with equal rules apart."""


@dataclass(frozen=True)
class AggregationRules:
    """How parts are aggregated; `btard.round.aggregates` makes a rule of it.

    Attributes:
        rule: the aggregation rule with its parameters, in the one form that a run keeps (`aggregation.canonical`).
        tau: clipping radius of a part under CenteredClip when there are `reference_peers` parts; of no effect under any
            other rule.
        reference_peers: for how many parts lengths are given. With n parts each has d/n coordinates, and an honest
            deviation shrinks or grows with sqrt(1/n): so does every length.
        max_norm: BTARD-Clipped-SGD: the longest vector that a peer may send; every part is clipped by its sender to
            max_norm / sqrt(n), and longer ones are an offence. None: no such rule.
    """

    rule: str
    tau: float
    reference_peers: int
    max_norm: float | None = None

    def growth(self, parts: int) -> float:
        """Return how many times longer than meant the typical one of `parts` parts is."""
        return math.sqrt(self.reference_peers / parts)

    def part_norm(self, parts: int) -> float:
        """Return the longest norm of one of `parts` parts that a sender may send."""
        return math.inf if self.max_norm is None else self.max_norm / math.sqrt(parts)

    def at(self, step: int, randomness: bytes) -> StepAggregation:
        """Return how the parts of one step are aggregated.

        Args:
            randomness: r^{t-1}, 32 bytes. Nobody knows it before the step before is all but over.
        """
        seed = int.from_bytes(randomness[:_SEED_SIZE], "big")
        return StepAggregation(self.rule, self.tau, self.reference_peers, self.max_norm, step, seed)


_SEED_SIZE = 8


@dataclass(frozen=True)
class StepAggregation(AggregationRules):
    """How the parts of one step are aggregated: a mixture uses one rule of many, and others draw in each step anew.

    Attributes:
        step: its number, from 0.
        seed: what the rules draw by, the same for all peers.
    """

    step: int = 0
    seed: int = 0


@dataclass(frozen=True)
class VerificationRules:
    """How hard a peer is looked at.

    Attributes:
        validators: mean number of validators a step, and of owners whose own part a witness checks.
        validation: how a recomputed gradient is compared.
        accuse: relative distance from which a validator accuses.
        convict: relative distance from which the court convicts; below half of it the accuser has accused falsely.
        eliminate: what becomes of a dispute that nobody can decide.
        probation: steps in which a newcomer's gradients are checked and not used.
        momentum: factor of worker momentum; 0 for none.
        auditors: peers that aggregate each part once more, where no sum proves the result; None for so many that one of
            them is honest.
    """

    validators: float = 0.0
    validation: Validation = Validation.TOLERANT
    accuse: float = 0.05
    convict: float = 0.025
    eliminate: Eliminate = Eliminate.SUSPEND
    probation: int = 0
    momentum: float = 0.0
    auditors: int | None = None

    @property
    def gradient(self) -> Thresholds:
        """Limits of the relative distance of a vector."""
        return gradient(accuse=self.accuse, convict=self.convict)

    @property
    def opening(self) -> Thresholds:
        """Limits of what a validator's opening may be off by (`numbers_excess`)."""
        return SCALARS if self.validation is Validation.EXACT else opening(accuse=self.accuse)


@dataclass(frozen=True)
class StepRules:
    """What the run manifest says about a step. Other rules are another run, since its name follows from them.

    Attributes:
        nonce: NONCE_SIZE random bytes.
        dimension: numbers in a gradient.
        wire: how they travel.
        commit_seconds, scatter_seconds, gather_seconds, agree_seconds: deadlines of the phases; the first includes
            computing the gradient.
        delay_bound_seconds: what one signed message may take to reach everyone.
        slowest: lengths of a usual step for which a member may keep the others waiting; None for the default, SLOWEST.
        incarnation: which life of the run this is: 1 after all of its peers, or most, were gone for the first time, and
            so on; None for the first one. Each has a name of its own, so nobody signs two things under one name, and
            what was revealed before tells nothing of what will be drawn.
        same_randomness: whether a step that is repeated in a later incarnation draws what it drew before, so that an
            experiment can be compared with one that was not interrupted. Liars then know the draw.
    """

    nonce: bytes
    dimension: int
    wire: WireType
    commit_seconds: float
    scatter_seconds: float
    gather_seconds: float
    agree_seconds: float
    delay_bound_seconds: float
    aggregation: AggregationRules
    verification: VerificationRules = field(default_factory=VerificationRules)
    slowest: float | None = None
    incarnation: int | None = None
    same_randomness: bool | None = None

    @property
    def patience(self) -> float:
        """Lengths of a usual step for which a member may keep the others waiting."""
        return SLOWEST if self.slowest is None else self.slowest

    @property
    def showing_seconds(self) -> float:
        """For how many seconds a peer that asks a target for what that must show waits for it: the request and the
        answer travel, and a vector takes as long as SCATTER may."""
        return 2 * self.delay_bound_seconds + self.scatter_seconds

    def reborn(self, incarnation: int) -> StepRules:
        """Return the rules of another incarnation of this run, 0 being the first one."""
        return replace(self, incarnation=incarnation or None)

    @cached_property
    def run(self) -> bytes:
        """The 16 bytes that name the run in every signed message: a digest of the nonce and all rules.

        So the author of a message signs by which rules it is to be judged. Two sets of rules with one name cost 2^64
        hashes to one that chooses both, and 2^128 to everybody else.
        """
        return tagged_digest("btard run", encode(_canonical(self)))[:RUN_ID_SIZE]


SIGNED_NAMES = {
    "commit_seconds": "commit",
    "scatter_seconds": "scatter",
    "gather_seconds": "gather",
    "agree_seconds": "agree",
    "delay_bound_seconds": "settle",
}
"""Under which names fields enter the run's name, and files: those that the first version gave them."""

ADDED_NAMES = frozenset({"auditors", "slowest", "incarnation", "same_randomness"})
"""Fields that the first version lacked: they enter the run's name, and files, only where they are not None."""


def _canonical(value: Any) -> Any:
    """Return values for the codec, field names included. All numbers are float64: 5 and 5.0 are one rule."""
    if is_dataclass(value):
        named = {field.name: getattr(value, field.name) for field in fields(value)}
        return [
            [SIGNED_NAMES.get(name, name), _canonical(inner)]
            for name, inner in named.items()
            if not (name in ADDED_NAMES and inner is None)
        ]
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, int | float):
        return float(value)
    return value
