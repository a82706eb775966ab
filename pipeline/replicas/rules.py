"""By which rules the replicas of a stage average their gradients, and which runs of replicas there cannot be."""

from __future__ import annotations

from dataclasses import dataclass

from btard.aggregation.registry import CENTERED_CLIP
from btard.byzantine.installed import check_installed
from btard.errors import UserError
from btard.hashing import tagged_digest
from btard.pipeline.settings import StageProcess, StepSettings, TrialCheck, TrialSettings
from btard.round.draw import VOTERS_NEEDED
from btard.round.rules import NONCE_SIZE, AggregationRules, StepRules, VerificationRules
from btard.swarm.manifest import Deadlines
from btard.vocabulary import NO_ATTACK, Precision, Validation, WireType

LEAST_REPLICAS = VOTERS_NEEDED
"""Of which a validator is drawn."""

DEFAULT_TAU = 0.1
"""Clipping radius of a part where the settings give none: about as far as honest parts of the tiny models lie apart."""

VIRTUAL = Deadlines(commit=20, scatter=10, gather=10, agree=5, settle=2)
"""Of rounds on a virtual clock, on which deadlines cost nothing."""


_STAGE_SIZE = 2
"""Bytes of a stage's number."""


@dataclass(frozen=True)
class AveragingRules:
    """How replicas average.

    Attributes:
        tau: clipping radius of a part at the first number of replicas.
        share: probability that a replica's step is computed again.
    """

    tau: float
    share: float


def round_nonce(name: bytes, stage: int) -> bytes:
    """Return what goes into the name of the rounds of a stage's replicas: its last bytes are the stage's number."""
    hashed = tagged_digest("btard pipeline replicas", name)[: NONCE_SIZE - _STAGE_SIZE]
    return hashed + stage.to_bytes(_STAGE_SIZE, "big")


def stage_of_rounds(rules: StepRules) -> int:
    """Return the stage whose replicas average by these rules; see `round_nonce`."""
    return int.from_bytes(rules.nonce[-_STAGE_SIZE:], "big")


def check_averaging(replicas: int, chosen: StepSettings, precision: Precision) -> None:
    """Check that as many pipelines can average their gradients, and go through steps as settings say.

    Raises:
        UserError: there are too few, or something is asked for that pipelines with replicas do not do.
    """
    told = f"--replicas is {replicas}, but "
    if replicas < LEAST_REPLICAS:
        raise UserError(
            f"{told}of fewer than {LEAST_REPLICAS} replicas no validator is drawn; give 1, or {LEAST_REPLICAS} or more"
        )
    if chosen.check is not TrialCheck.DRAWN:
        raise UserError(f"{told}replicas are checked by validators drawn among them; give --check drawn")
    if chosen.relative_error or chosen.code_share:
        raise UserError(f"{told}replicas compare bits; leave --relative-error and --code-share away")
    if precision is not Precision.FLOAT32:
        raise UserError(f"{told}replicas average gradients in float32; leave --precision away")


def check_replicas(chosen: TrialSettings) -> None:
    """Check that a trial of so many pipelines can be run; any trial of one pipeline can.

    Raises:
        UserError: see `check_averaging`.
    """
    if chosen.replicas == 1:
        if chosen.replica_attack != NO_ATTACK:
            raise UserError(
                f"--replica-attack is {chosen.replica_attack}, but one pipeline averages with nobody; "
                f"give --replicas {LEAST_REPLICAS} or more"
            )
        return
    check_averaging(chosen.replicas, chosen, chosen.precision)
    told = f"--replicas is {chosen.replicas}, but "
    if chosen.attack_rate:
        raise UserError(f"{told}an --attack-rate is of a single pipeline; a replica lies with --replica-attack")
    virtual = chosen.processes is StageProcess.VIRTUAL
    if virtual and (chosen.output is not None or chosen.link is not None):
        raise UserError(f"{told}--output and --link tell of a single pipeline; leave them away")
    check_installed(chosen.replica_attack, "--replica-attack")


def replica_rules(
    nonce: bytes, dimension: int, replicas: int, averaging: AveragingRules, deadlines: Deadlines = VIRTUAL
) -> StepRules:
    """Return the rules by which the replicas of one stage average.

    Args:
        nonce: NONCE_SIZE bytes, of which each stage's rounds have others.
        dimension: d, numbers in the stage's gradients.
        replicas: how many there are at first, and parts.
        averaging: how they average.
        deadlines: of the phases of a round.
    """
    return StepRules(
        nonce=nonce,
        dimension=dimension,
        wire=WireType.FLOAT32,
        commit_seconds=deadlines.commit,
        scatter_seconds=deadlines.scatter,
        gather_seconds=deadlines.gather,
        agree_seconds=deadlines.agree,
        delay_bound_seconds=deadlines.settle,
        aggregation=AggregationRules(CENTERED_CLIP, averaging.tau, replicas),
        # A record that is not shown can only be charged under tolerant rules.
        verification=VerificationRules(validators=averaging.share * replicas, validation=Validation.TOLERANT),
    )
