"""The settings of behaviours, under the names that the published experiments use.

A peer has one behaviour; a swarm on one machine and a simulation deal several to peers, when and as hard as the same
settings say.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import Field

from btard.configuration import Group, Option, Probability, Seed, Settings
from btard.home import document
from btard.vocabulary import NO_ATTACK

AttackStart = Annotated[
    int, Field(ge=0), Option("first step of the attack", unit="steps", group=Group.BYZANTINE, env=("ATTACK_START",))
]

Crowd = Annotated[int, Option("how many peers, honest and Byzantine", unit="peers", group=Group.SWARM)]

Liars = Annotated[int, Field(ge=0), Option("how many of the peers lie", unit="peers", group=Group.BYZANTINE)]


class Escape(StrEnum):
    """How an attacker gets away from an audit."""

    CHARGE = "charge"
    """A charge that nobody can judge."""
    SILENCE = "silence"
    """It falls silent."""
    GOODBYE = "goodbye"
    """It leaves."""


class LieName(StrEnum):
    """What a stage says in place of a tensor; none leaves it."""

    NONE = "none"
    REVERSE = "reverse"
    RANDOM = "random"
    NOISE = "noise"
    DRIFT = "drift"


class AttackTimes(Settings):
    """In which steps a peer lies."""

    attack_start: AttackStart = 3000
    attack_every: Annotated[
        int,
        Field(ge=1),
        Option(
            "attack only every so many steps, from the first on",
            unit="steps",
            group=Group.BYZANTINE,
            env=("ATTACK_EVERY",),
        ),
    ] = 1
    attack_proba: Annotated[
        Probability,
        Option(
            "how likely each of these steps is attacked",
            unit="probability",
            group=Group.BYZANTINE,
            env=("ATTACK_PROBA",),
        ),
    ] = 1.0


class AttackStrength(Settings):
    """How often a peer lies, and how much."""

    max_attacks: Annotated[
        int,
        Field(ge=0),
        Option("how many steps are attacked at most", unit="attacks", group=Group.BYZANTINE, env=("MAX_ATTACKS",)),
    ] = 10**9
    check_proba: Annotated[
        Probability | None,
        Option(
            "how likely an attacker counts as caught after each attacked step, and leaves by itself, as in the "
            "published experiments; with none only the protocol's verdicts remove it",
            unit="probability",
            group=Group.BYZANTINE,
            env=("CHECK_PROBA",),
        ),
    ] = None
    direction_seed: Annotated[
        Seed,
        Option(
            "seed of the direction that CONSTANT_DIRECTION attackers share",
            group=Group.BYZANTINE,
            env=("DIRECTION_SEED",),
        ),
    ] = 666
    delay_steps: Annotated[
        int,
        Field(ge=1),
        Option(
            "how old the gradients of DELAYED_GRADIENT are", unit="steps", group=Group.BYZANTINE, env=("DELAY_STEPS",)
        ),
    ] = 1000
    epsilon: Annotated[
        float,
        Field(gt=0),
        Option(
            "INNER_PRODUCT sends minus this times the mean; published: 0.1, 0.6",
            group=Group.BYZANTINE,
            env=("EPSILON",),
        ),
    ] = 0.1
    noise_std: Annotated[
        float,
        Field(gt=0),
        Option(
            "standard deviation of what RANDOM_NOISE adds to every number", group=Group.BYZANTINE, env=("NOISE_STD",)
        ),
    ] = 1.0
    attack_delay: Annotated[
        float,
        Field(ge=0),
        Option(
            "how long the LATE_ behaviours, SLOW and UNDEAD hold messages back",
            unit="seconds",
            group=Group.BYZANTINE,
            env=("ATTACK_DELAY",),
        ),
    ] = 5.0


class AttackDetails(Settings):
    """What single behaviours do."""

    attack_directory: Annotated[
        Path | None,
        Option(
            "where DELAYED_GRADIENT keeps past gradients, 4 bytes times dimension times DELAY_STEPS; a temporary "
            "directory, lost on restart, if not given",
            group=Group.BYZANTINE,
            env=("ATTACK_DIRECTORY",),
        ),
    ] = None
    attack_parameters: Annotated[
        str,
        Field(max_length=200),
        Option(
            "parameters of the published attacks, in place of their own, as in factor=1.5,negative=true; "
            f"{document('laboratory/attacks')} lists them",
            group=Group.BYZANTINE,
            env=("ATTACK_PARAMETERS",),
        ),
    ] = ""
    noise_relative: Annotated[
        bool,
        Option(
            "whether NOISE_STD counts in standard deviations of the gradients that the colluders know",
            group=Group.BYZANTINE,
            env=("NOISE_RELATIVE",),
        ),
    ] = False
    rop_angle: Annotated[
        float,
        Field(ge=0, le=360),
        Option(
            "angle of ROP's perturbation to its reference, 90 being orthogonal",
            unit="degrees",
            group=Group.BYZANTINE,
            env=("ROP_ANGLE",),
        ),
    ] = 90.0
    rop_length: Annotated[
        float,
        Field(gt=0),
        Option(
            "length of ROP's perturbation; published: 1, the clipping radius",
            group=Group.BYZANTINE,
            env=("ROP_LENGTH",),
        ),
    ] = 1.0
    drift: Annotated[
        float,
        Field(ge=0),
        Option(
            "relative size of the rounding errors of DRIFT, an honest peer on other hardware",
            group=Group.BYZANTINE,
            env=("DRIFT",),
        ),
    ] = 1e-3
    gambles: Annotated[
        int,
        Field(ge=0),
        Option(
            "in how many attempts at a step GAMBLER refuses a draw",
            unit="attempts",
            group=Group.BYZANTINE,
            env=("GAMBLES",),
        ),
    ] = 1
    escape: Annotated[
        Escape,
        Option("how GAMBLER makes an attempt fail, or DRAWN_AND_GONE leaves", group=Group.BYZANTINE, env=("ESCAPE",)),
    ] = Escape.CHARGE
    collude_at: Annotated[
        str | None,
        Option(
            "where colluders meet: a directory that all of them reach, or memory:NAME within one process; without it "
            "an attacker is alone",
            group=Group.BYZANTINE,
            env=("COLLUDE_AT",),
        ),
    ] = None
    collude_patience: Annotated[
        float,
        Field(ge=0),
        Option(
            "how long an attacker waits for the gradients of its colluders",
            unit="seconds",
            group=Group.BYZANTINE,
            env=("COLLUDE_PATIENCE",),
        ),
    ] = 2.0


class BehaviourSettings(AttackTimes, AttackStrength, AttackDetails):
    """Whether and when a peer lies, and how much."""

    attack_type: Annotated[
        str,
        Option(
            "what the peer does wrong: NONE, SIGN_FLIPPING, or any other behaviour that is installed; "
            f"{document('writing-a-behaviour')} lists ours",
            group=Group.BYZANTINE,
            env=("ATTACK_TYPE",),
        ),
    ] = NO_ATTACK


class StageLies(Settings):
    """What a peer that has a stage of a pipeline lies about, in the steps that `AttackTimes` says."""

    forward_attack: Annotated[
        LieName,
        Option(
            "what becomes of the activations that a stage of a pipeline sends",
            group=Group.BYZANTINE,
            env=("FORWARD_ATTACK",),
        ),
    ] = LieName.NONE
    backward_attack: Annotated[
        LieName,
        Option("what becomes of the gradients that it sends back", group=Group.BYZANTINE, env=("BACKWARD_ATTACK",)),
    ] = LieName.NONE


class LiarSettings(AttackTimes):
    """How many peers of a swarm lie, and in what."""

    byzantine: Liars = 0
    attack: Annotated[
        list[str],
        Field(default_factory=lambda: ["SIGN_FLIPPING"], min_length=1),
        Option(
            "what they do wrong, any installed ATTACK_TYPE; several are dealt in turn",
            group=Group.BYZANTINE,
            env=("ATTACK_TYPE",),
        ),
    ]
