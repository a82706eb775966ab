"""What `btard swarm` is told: which peers take part, which lie and when, and what the coordinator makes a run of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from btard.configuration import Option, Port, Probability, RuleSettings, TauSettings
from btard.swarm.http.address import check_address
from btard.vocabulary import Eliminate, Validation

_SWARM = "Swarm"
_ATTACK = "Byzantine peers"
_TRAINING = "Training"
_PROTOCOL = "Protocol"

MOST_PEERS = 64
"""More processes than this are no test of anything on one machine; the laboratory simulates larger swarms."""


class SwarmSettings(RuleSettings, TauSettings):
    """Settings of `btard swarm`: a coordinator and peers on this machine, over loopback."""

    peers: Annotated[
        int, Field(ge=1, le=MOST_PEERS), Option("how many peers, honest and Byzantine", unit="peers", group=_SWARM)
    ] = 8
    directory: Annotated[
        Path | None, Option("where the run is written; runs/EXPERIMENT-TIME if not given", group=_SWARM)
    ] = None
    experiment: Annotated[
        str, Field(min_length=1, max_length=60, pattern=r"^[\w.-]+$"), Option("the run's name", group=_SWARM)
    ] = "swarm"
    port: Annotated[
        Port, Option("port of the coordinator's DHT on 127.0.0.1, 0 for a free one", unit="port", group=_SWARM)
    ] = 0
    threads: Annotated[
        int, Field(ge=1), Option("threads of computation of each peer", unit="threads", group=_SWARM)
    ] = 1
    seed: Annotated[
        int,
        Field(ge=0, lt=2**63),
        Option(
            "seed of weights, batches and the peers' keys: the same seed gives the same run, so keys are for this "
            "machine only",
            group=_SWARM,
        ),
    ] = 0

    dashboard: Annotated[
        str | None,
        Option(
            "serve the coordinator's live page at :PORT of this machine alone, or at HOST:PORT with a token; none for "
            "no page",
            group=_SWARM,
        ),
    ] = None
    dashboard_token_file: Annotated[
        Path | None,
        Option("file with the page's token, 16 characters or more; none makes one and logs it", group=_SWARM),
    ] = None

    byzantine: Annotated[int, Field(ge=0), Option("how many of the peers lie", unit="peers", group=_ATTACK)] = 3
    attack: Annotated[
        list[str],
        Field(default_factory=lambda: ["SIGN_FLIPPING"], min_length=1),
        Option(
            "what they do wrong, any installed ATTACK_TYPE; several are dealt in turn",
            group=_ATTACK,
            env=("ATTACK_TYPE",),
        ),
    ]
    attack_start: Annotated[
        int, Field(ge=0), Option("first step of the attack", unit="steps", group=_ATTACK, env=("ATTACK_START",))
    ] = 20
    attack_every: Annotated[
        int,
        Field(ge=1),
        Option(
            "attack only every so many steps, from the first on", unit="steps", group=_ATTACK, env=("ATTACK_EVERY",)
        ),
    ] = 1
    attack_proba: Annotated[
        Probability,
        Option("how likely each of these steps is attacked", unit="probability", group=_ATTACK, env=("ATTACK_PROBA",)),
    ] = 1.0
    max_attacks: Annotated[
        int,
        Field(ge=0),
        Option("how many steps each attacks at most", unit="attacks", group=_ATTACK, env=("MAX_ATTACKS",)),
    ] = 10**9
    check_proba: Annotated[
        Probability | None,
        Option(
            "how likely an attacker bans itself after each attacked step, as in the published experiments; with none "
            "only the protocol's verdicts remove it",
            unit="probability",
            group=_ATTACK,
            env=("CHECK_PROBA",),
        ),
    ] = None
    direction_seed: Annotated[
        int,
        Field(ge=0, le=2**63 - 1),
        Option("seed of the direction that CONSTANT_DIRECTION attackers share", group=_ATTACK, env=("DIRECTION_SEED",)),
    ] = 666
    delay_steps: Annotated[
        int,
        Field(ge=1),
        Option("how old the gradients of DELAYED_GRADIENT are", unit="steps", group=_ATTACK, env=("DELAY_STEPS",)),
    ] = 1000
    epsilon: Annotated[
        float,
        Field(gt=0),
        Option("INNER_PRODUCT sends minus this times the mean; published: 0.1, 0.6", group=_ATTACK, env=("EPSILON",)),
    ] = 0.1
    noise_std: Annotated[
        float,
        Field(gt=0),
        Option("standard deviation of what RANDOM_NOISE adds to every number", group=_ATTACK, env=("NOISE_STD",)),
    ] = 1.0
    attack_delay: Annotated[
        float,
        Field(ge=0),
        Option(
            "how long the LATE_ behaviours, SLOW and UNDEAD hold messages back",
            unit="seconds",
            group=_ATTACK,
            env=("ATTACK_DELAY",),
        ),
    ] = 5.0

    task: Annotated[
        str,
        Option(
            "what is trained: an installed task, as NAME or NAME:KEY=VALUE,KEY=VALUE; btard data tasks lists them",
            group=_TRAINING,
        ),
    ] = "gpt"
    size: Annotated[str, Option("the task's size", group=_TRAINING)] = "tiny"
    steps: Annotated[int, Field(ge=1), Option("how long to train", unit="steps", group=_TRAINING)] = 250
    batch_size: Annotated[
        int, Field(ge=1), Option("samples that each peer computes on in a step", unit="samples", group=_TRAINING)
    ] = 16
    learning_rate: Annotated[
        float | None, Field(gt=0), Option("peak learning rate; the task's own if not given", group=_TRAINING)
    ] = None
    warmup_steps: Annotated[
        int | None,
        Field(ge=0),
        Option("steps until the peak; the coordinator's default if not given", unit="steps", group=_TRAINING),
    ] = None
    checkpoint_every: Annotated[
        int, Field(ge=0), Option("how often to save and evaluate; 0 for the end only", unit="steps", group=_TRAINING)
    ] = 0
    checkpoint_at: Annotated[
        list[int],
        Field(default_factory=list),
        Option("more steps before which the state is kept", unit="steps", group=_TRAINING),
    ]
    initial_state: Annotated[
        Path | None, Option("folder of a checkpoint that the run begins with", group=_TRAINING)
    ] = None

    momentum: Annotated[
        float,
        Field(ge=0, lt=1),
        Option("share of a peer's last vector in the next one that it sends, 0 for none", group=_PROTOCOL),
    ] = 0.0
    clip: Annotated[
        float | None,
        Field(gt=0),
        Option("the longest vector that a peer may send (BTARD-Clipped-SGD); none for no limit", group=_PROTOCOL),
    ] = None
    validators: Annotated[
        float | None,
        Field(ge=0, le=MOST_PEERS),
        Option("validators a step; none for one per 16 peers", unit="peers", group=_PROTOCOL),
    ] = None
    validation: Annotated[Validation, Option("how validators compare gradients", group=_PROTOCOL)] = Validation.TOLERANT
    eliminate: Annotated[
        Eliminate, Option("what becomes of two peers in a dispute that nobody can decide", group=_PROTOCOL)
    ] = Eliminate.SUSPEND
    probation: Annotated[
        int,
        Field(ge=0),
        Option("steps in which a newcomer's gradients are checked and not used", unit="steps", group=_PROTOCOL),
    ] = 20
    commit_timeout: Annotated[
        float, Field(gt=0), Option("how long computing a gradient may take", unit="seconds", group=_PROTOCOL)
    ] = 20.0
    exchange_timeout: Annotated[
        float,
        Field(gt=0),
        Option("how long sending parts may take, and how long sending aggregates", unit="seconds", group=_PROTOCOL),
    ] = 15.0
    agree_timeout: Annotated[
        float, Field(gt=0), Option("how long agreeing on a step may take", unit="seconds", group=_PROTOCOL)
    ] = 10.0
    settle_timeout: Annotated[
        float, Field(gt=0), Option("how long a small message may travel", unit="seconds", group=_PROTOCOL)
    ] = 3.0

    @field_validator("dashboard")
    @classmethod
    def _address(cls, text: str | None) -> str | None:
        return check_address(text)

    @model_validator(mode="after")
    def _somebody_is_honest(self) -> Self:
        if self.byzantine >= self.peers:
            raise ValueError(
                f"{self.byzantine} Byzantine peers of {self.peers} leave nobody honest: lower --byzantine or raise "
                "--peers"
            )
        return self
