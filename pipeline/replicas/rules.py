"""By which rules the replicas of a stage average their gradients, and which runs of replicas there cannot be."""

from __future__ import annotations

from btard.aggregation.registry import CENTERED_CLIP
from btard.byzantine.installed import check_installed
from btard.errors import UserError
from btard.hashing import tagged_digest
from btard.pipeline.settings import StageProcess, TrialCheck, TrialSettings
from btard.round.draw import VOTERS_NEEDED
from btard.round.rules import NONCE_SIZE, AggregationRules, StepRules, VerificationRules
from btard.vocabulary import NO_ATTACK, Precision, Validation, WireType

LEAST_REPLICAS = VOTERS_NEEDED
"""Of which a validator is drawn."""

DEFAULT_TAU = 0.1
"""Clipping radius of a part where the settings give none: about as far as honest parts of the tiny models lie apart."""

_DELAY_BOUND_SECONDS = 2.0
"""Of the virtual clock, on which deadlines cost nothing."""


def check_replicas(chosen: TrialSettings) -> None:
    """Check that as many pipelines as settings name can average their gradients; any settings of one pipeline can.

    Raises:
        UserError: there are too few, or something is asked for that pipelines with replicas do not do.
    """
    if chosen.replicas == 1:
        if chosen.replica_attack != NO_ATTACK:
            raise UserError(
                f"--replica-attack is {chosen.replica_attack}, but one pipeline averages with nobody; "
                f"give --replicas {LEAST_REPLICAS} or more"
            )
        return
    told = f"--replicas is {chosen.replicas}, but "
    if chosen.replicas < LEAST_REPLICAS:
        raise UserError(
            f"{told}of fewer than {LEAST_REPLICAS} replicas no validator is drawn; give 1, or {LEAST_REPLICAS} or more"
        )
    if chosen.processes is StageProcess.REAL:
        raise UserError(f"{told}real processes are one pipeline each run; leave --processes away")
    if chosen.check is not TrialCheck.DRAWN:
        raise UserError(f"{told}replicas are checked by validators drawn among them; give --check drawn")
    if chosen.relative_error or chosen.code_share:
        raise UserError(f"{told}replicas compare bits; leave --relative-error and --code-share away")
    if chosen.precision is not Precision.FLOAT32:
        raise UserError(f"{told}replicas average gradients in float32; leave --precision away")
    if chosen.attack_rate:
        raise UserError(f"{told}an --attack-rate is of a single pipeline; a replica lies with --replica-attack")
    if chosen.output is not None or chosen.link is not None:
        raise UserError(f"{told}--output and --link tell of a single pipeline; leave them away")
    check_installed(chosen.replica_attack, "--replica-attack")


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
