"""By which rules the replicas of a stage average their gradients, and which runs of replicas there cannot be."""

from __future__ import annotations

from btard.aggregation.registry import CENTERED_CLIP
from btard.errors import UserError
from btard.hashing import tagged_digest
from btard.pipeline.machine.plan import StepChoices
from btard.round.draw import VOTERS_NEEDED
from btard.round.rules import NONCE_SIZE, AggregationRules, StepRules, VerificationRules
from btard.vocabulary import Validation, WireType

LEAST_REPLICAS = VOTERS_NEEDED
"""Of which a validator is drawn."""

_DELAY_BOUND_SECONDS = 2.0
"""Of the virtual clock, on which deadlines cost nothing."""


def check_replicas(replicas: int, chosen: StepChoices) -> None:
    """Check that so many pipelines can average their gradients.

    Raises:
        UserError: there are too few, or stages are checked in another way than by the validators of their replicas.
    """
    if replicas < LEAST_REPLICAS:
        raise UserError(
            f"--replicas is {replicas}, but of fewer than {LEAST_REPLICAS} replicas no validator is drawn; "
            f"give 1, or {LEAST_REPLICAS} or more"
        )
    if chosen.check != "drawn":
        raise UserError(
            f"--check is {chosen.check}, but replicas are checked by validators that are drawn among them; "
            "give --check drawn"
        )
    if chosen.relative_error or chosen.code_share:
        raise UserError("replicas compare bits: leave --relative-error and --code-share away")


def replica_rules(stage: int, dimension: int, replicas: int, *, seed: int, tau: float, share: float) -> StepRules:
    """Return the rules by which the replicas of one stage average.

    Args:
        stage: whose replicas they are; each stage's rounds have a name of their own.
        dimension: d, numbers in the stage's gradients.
        replicas: how many there are at first.
        seed: of the run.
        tau: clipping radius of a part, of which there are as many as replicas.
        share: probability that a replica's step is computed again.
    """
    name = tagged_digest("btard pipeline replicas", seed.to_bytes(8, "big"), stage.to_bytes(2, "big"))
    return StepRules(
        nonce=name[:NONCE_SIZE],
        dimension=dimension,
        wire=WireType.FLOAT32,
        commit_seconds=10 * _DELAY_BOUND_SECONDS,
        scatter_seconds=5 * _DELAY_BOUND_SECONDS,
        gather_seconds=5 * _DELAY_BOUND_SECONDS,
        agree_seconds=2.5 * _DELAY_BOUND_SECONDS,
        delay_bound_seconds=_DELAY_BOUND_SECONDS,
        aggregation=AggregationRules(CENTERED_CLIP, tau, replicas),
        # A record that is not shown can only be charged under tolerant rules.
        verification=VerificationRules(validators=share * replicas, validation=Validation.TOLERANT),
    )
