"""The settings of a behaviour, under the names that the published experiments use."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from btard.configuration import Option, Probability, Settings
from btard.home import document

_GROUP = "Byzantine behaviour (experiments)"


class BehaviourSettings(Settings):
    """Whether and when a peer lies, and how much."""

    attack_type: Annotated[
        str,
        Option(
            "what the peer does wrong: NONE, SIGN_FLIPPING, or any other behaviour that is installed; "
            f"{document('writing-a-behaviour')} lists ours",
            group=_GROUP,
            env=("ATTACK_TYPE",),
        ),
    ] = "NONE"
    attack_start: Annotated[
        int, Field(ge=0), Option("first step of the attack", unit="steps", group=_GROUP, env=("ATTACK_START",))
    ] = 3000
    attack_every: Annotated[
        int,
        Field(ge=1),
        Option("attack only every so many steps, from the first on", unit="steps", group=_GROUP, env=("ATTACK_EVERY",)),
    ] = 1
    attack_proba: Annotated[
        Probability,
        Option("how likely each of these steps is attacked", unit="probability", group=_GROUP, env=("ATTACK_PROBA",)),
    ] = 1.0
    max_attacks: Annotated[
        int,
        Field(ge=0),
        Option("how many steps are attacked at most", unit="attacks", group=_GROUP, env=("MAX_ATTACKS",)),
    ] = 10**9
    check_proba: Annotated[
        Probability | None,
        Option(
            "how likely an attacker counts as caught after each attacked step, and leaves by itself, as in the "
            "published experiments; with none only the protocol's verdicts remove it",
            unit="probability",
            group=_GROUP,
            env=("CHECK_PROBA",),
        ),
    ] = None
    direction_seed: Annotated[
        int,
        Field(ge=0, le=2**63 - 1),
        Option("seed of the direction that CONSTANT_DIRECTION attackers share", group=_GROUP, env=("DIRECTION_SEED",)),
    ] = 666
    delay_steps: Annotated[
        int,
        Field(ge=1),
        Option("how old the gradients of DELAYED_GRADIENT are", unit="steps", group=_GROUP, env=("DELAY_STEPS",)),
    ] = 1000
    attack_directory: Annotated[
        Path | None,
        Option(
            "where DELAYED_GRADIENT keeps past gradients, 4 bytes times dimension times DELAY_STEPS; a temporary "
            "directory, lost on restart, if not given",
            group=_GROUP,
            env=("ATTACK_DIRECTORY",),
        ),
    ] = None
    attack_delay: Annotated[
        float,
        Field(ge=0),
        Option(
            "how long the LATE_ behaviours, SLOW and UNDEAD hold messages back",
            unit="seconds",
            group=_GROUP,
            env=("ATTACK_DELAY",),
        ),
    ] = 5.0
    epsilon: Annotated[
        float,
        Field(gt=0),
        Option("INNER_PRODUCT sends minus this times the mean; published: 0.1, 0.6", group=_GROUP, env=("EPSILON",)),
    ] = 0.1
    noise_std: Annotated[
        float,
        Field(gt=0),
        Option("standard deviation of what RANDOM_NOISE adds to every number", group=_GROUP, env=("NOISE_STD",)),
    ] = 1.0
    noise_relative: Annotated[
        bool,
        Option(
            "whether NOISE_STD counts in standard deviations of the gradients that the colluders know",
            group=_GROUP,
            env=("NOISE_RELATIVE",),
        ),
    ] = False
    rop_angle: Annotated[
        float,
        Field(ge=0, le=360),
        Option(
            "angle of ROP's perturbation to its reference, 90 being orthogonal",
            unit="degrees",
            group=_GROUP,
            env=("ROP_ANGLE",),
        ),
    ] = 90.0
    rop_length: Annotated[
        float,
        Field(gt=0),
        Option("length of ROP's perturbation; published: 1, the clipping radius", group=_GROUP, env=("ROP_LENGTH",)),
    ] = 1.0
    drift: Annotated[
        float,
        Field(ge=0),
        Option(
            "relative size of the rounding errors of DRIFT, an honest peer on other hardware",
            group=_GROUP,
            env=("DRIFT",),
        ),
    ] = 1e-3
    collude_at: Annotated[
        str | None,
        Option(
            "where colluders meet: a directory that all of them reach, or memory:NAME within one process; without it "
            "an attacker is alone",
            group=_GROUP,
            env=("COLLUDE_AT",),
        ),
    ] = None
    collude_patience: Annotated[
        float,
        Field(ge=0),
        Option(
            "how long an attacker waits for the gradients of its colluders",
            unit="seconds",
            group=_GROUP,
            env=("COLLUDE_PATIENCE",),
        ),
    ] = 2.0
