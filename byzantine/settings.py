"""The settings of a behaviour, under the names that the published experiments use."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from btard.configuration import Option, Probability, Settings

_GROUP = "Byzantine behaviour (experiments)"


class BehaviourSettings(Settings):
    """Whether and when a peer lies."""

    attack_type: Annotated[
        str,
        Option(
            "what the peer does wrong: NONE, SIGN_FLIPPING, CONSTANT_DIRECTION, LABEL_FLIPPING, or the name that an "
            "installed package gives its behaviour",
            group=_GROUP,
            env=("ATTACK_TYPE",),
        ),
    ] = "NONE"
    attack_start: Annotated[
        int, Field(ge=0), Option("first step of the attack", unit="steps", group=_GROUP, env=("ATTACK_START",))
    ] = 3000
    attack_proba: Annotated[
        Probability,
        Option("how likely each step is attacked", unit="probability", group=_GROUP, env=("ATTACK_PROBA",)),
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
