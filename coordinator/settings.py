"""The settings of `btard-coordinator`: where it listens and writes, and what the run is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from btard.configuration import Option, Port, RuleSettings, TauSettings
from btard.swarm.http.address import check_address
from btard.swarm.telemetry.settings import TelemetrySettings
from btard.vocabulary import MAX_FIRST_ROSTER, Eliminate, Precision, Validation, WireType

DEFAULT_TAU = 0.01
"""Clipping radius of a part when neither a flag nor the environment gives one."""

PUBLISHED_STEPS = (450, 950, 2950, 4950)
"""The steps before which the published ALBERT experiments kept their states."""

_PUBLISHED = "published"
_NETWORK = "Network"
_TASK = "Task"
_TRAINING = "Training"
_AGGREGATION = "Aggregation"
_VERIFICATION = "Verification"
_DEADLINES = "Deadlines"
_CHECKPOINTS = "Checkpoints"
_REPORTS = "Reports"


Deadline = Annotated[float, Field(gt=0, le=86400)]


class CoordinatorSettings(TelemetrySettings, RuleSettings, TauSettings):
    """Settings of `btard-coordinator`, the first peer of a run, which says what the run is and welcomes the others."""

    experiment: Annotated[str, Field(min_length=1, max_length=100), Option("the run's name")]
    directory: Annotated[
        Path, Option("where the key, the manifest, events, metrics and checkpoints are written; a run resumes in it")
    ] = Path("btard-coordinator")

    dht_port: Annotated[Port, Option("port to listen on, 0 for a free one", unit="port", group=_NETWORK)] = 31337
    host: Annotated[str, Option("address to listen on", group=_NETWORK)] = "0.0.0.0"
    announce: Annotated[
        list[str],
        Field(default_factory=list),
        Option("addresses or multiaddresses to tell others, instead of those that are found", group=_NETWORK),
    ]
    public: Annotated[bool, Option("use NAT port mapping, AutoNAT and relays", group=_NETWORK)] = False

    task: Annotated[
        str,
        Option(
            "what is trained: an installed task, as NAME or NAME:KEY=VALUE,KEY=VALUE; btard data tasks lists them",
            group=_TASK,
        ),
    ] = "gpt"
    size: Annotated[str, Option("size of the task's model, such as tiny", group=_TASK)] = "tiny"
    data: Annotated[
        str,
        Option(
            "corpus: builtin, a path, which each peer's owner then has to give by --data, too, or a Hub data set as "
            "OWNER/NAME:CONFIGURATION or hub:OWNER/NAME",
            group=_TASK,
        ),
    ] = "builtin"
    tokenizer: Annotated[
        str | None,
        Option(
            "path of a tokenizer.json, which each peer's owner then has to give, too; with none one is trained from "
            "the corpus",
            group=_TASK,
        ),
    ] = None
    cache_dir: Annotated[Path | None, Option("where tokenised data are kept", group=_TASK)] = None

    peers: Annotated[
        int,
        Field(ge=1, le=MAX_FIRST_ROSTER),
        Option(
            "how many form the first roster; with fewer than 4 nobody is validated, with 5 one may be banned",
            unit="peers",
            group=_TRAINING,
        ),
    ] = 5
    batch_size: Annotated[
        int, Field(ge=1, le=2**20), Option("samples of a peer in a step", unit="samples", group=_TRAINING)
    ] = 8
    learning_rate: Annotated[
        float | None, Field(gt=0), Option("peak learning rate, none for the task's own", group=_TRAINING)
    ] = None
    warmup_steps: Annotated[
        int | None,
        Field(ge=0),
        Option(
            "steps until the peak rate, none for the task's own, at most a fifth of all", unit="steps", group=_TRAINING
        ),
    ] = None
    total_steps: Annotated[
        int | None,
        Field(ge=1, le=2**40),
        Option("steps of the run, none for the task's own", unit="steps", group=_TRAINING),
    ] = None
    max_grad_norm: Annotated[
        float, Field(ge=0), Option("longer gradients are scaled down to this norm, 0 for never", group=_TRAINING)
    ] = 1.0
    precision: Annotated[Precision, Option("arithmetic of forward and backward", group=_TRAINING)] = Precision.FLOAT32
    seed: Annotated[
        int, Field(ge=0, lt=2**63), Option("seed of the initial weights and of all batches", group=_TRAINING)
    ] = 1337
    nonce: Annotated[
        str | None,
        Field(pattern="^[0-9a-f]{32}$"),
        Option(
            "16 bytes in hex that go into the run's name beside its rules, none for random ones; a second run must not "
            "have them",
            group=_TASK,
        ),
    ] = None

    wire: Annotated[WireType, Option("numbers as they travel", group=_AGGREGATION)] = WireType.FLOAT32
    momentum: Annotated[
        float,
        Field(ge=0, lt=1),
        Option("share of a peer's last vector in the next one that it sends, 0 for none", group=_AGGREGATION),
    ] = 0.0

    clip: Annotated[
        float | None,
        Field(gt=0),
        Option(
            "BTARD-Clipped-SGD: the longest vector that a peer may send, each of n parts at most this over the root of "
            "n; none for no limit",
            group=_AGGREGATION,
        ),
    ] = None

    validators: Annotated[
        float | None,
        Field(ge=0, le=128),
        Option(
            "validators a step, below 1 for one every few steps; also the owners whose own part a witness checks; none "
            "for one per 16 peers",
            unit="peers",
            group=_VERIFICATION,
        ),
    ] = None
    validation: Annotated[
        Validation,
        Option(
            "how a recomputed gradient is compared: exact by hashes, only where all machines and their --threads are "
            "alike, or tolerant with thresholds",
            group=_VERIFICATION,
        ),
    ] = Validation.TOLERANT
    tolerance: Annotated[
        Path | None,
        Option("file of thresholds that btard calibrate has measured; none for 0.05 and 0.025", group=_VERIFICATION),
    ] = None
    eliminate: Annotated[
        Eliminate,
        Option(
            "what becomes of two peers in a dispute that nobody else can decide: both suspended, or both banned as in "
            "the paper",
            group=_VERIFICATION,
        ),
    ] = Eliminate.SUSPEND
    probation: Annotated[
        int,
        Field(ge=0, lt=2**31),
        Option("steps in which a newcomer's gradients are checked and not used", unit="steps", group=_VERIFICATION),
    ] = 20

    commit_timeout: Annotated[
        Deadline,
        Option("time to compute a gradient and commit to it", unit="seconds", group=_DEADLINES),
    ] = 120.0
    scatter_timeout: Annotated[
        Deadline, Option("time to send the parts to their owners", unit="seconds", group=_DEADLINES)
    ] = 60.0
    gather_timeout: Annotated[
        Deadline, Option("time to send the aggregates to everyone", unit="seconds", group=_DEADLINES)
    ] = 60.0
    agree_timeout: Annotated[
        Deadline, Option("time to agree on the result of a step", unit="seconds", group=_DEADLINES)
    ] = 20.0
    settle_timeout: Annotated[
        Deadline, Option("time that one small message may travel", unit="seconds", group=_DEADLINES)
    ] = 5.0

    checkpoint_every: Annotated[
        int, Field(ge=0), Option("steps between checkpoints, 0 for none", unit="steps", group=_CHECKPOINTS)
    ] = 0
    checkpoint_at: Annotated[
        list[str],
        Field(default_factory=list),
        Option(
            f"steps before which the state is kept; {_PUBLISHED} stands for {' '.join(map(str, PUBLISHED_STEPS))}",
            unit="steps",
            group=_CHECKPOINTS,
        ),
    ]
    initial_state: Annotated[
        Path | None, Option("folder of a checkpoint that the run begins with", group=_CHECKPOINTS)
    ] = None

    refresh_period: Annotated[
        Deadline, Option("time between two looks at the swarm", unit="seconds", group=_REPORTS)
    ] = 2.0
    metrics_period: Annotated[
        Deadline, Option("time between two publications of a peer's metrics", unit="seconds", group=_REPORTS)
    ] = 2.0
    dashboard: Annotated[
        str | None,
        Option(
            "serve a live page at :PORT of this machine alone, or at HOST:PORT with a token; none for no page",
            group=_REPORTS,
        ),
    ] = None
    dashboard_token_file: Annotated[
        Path | None,
        Option("file with the page's token, 16 characters or more; none makes one and logs it", group=_REPORTS),
    ] = None

    @field_validator("dashboard")
    @classmethod
    def _address(cls, text: str | None) -> str | None:
        return check_address(text)

    @field_validator("checkpoint_at")
    @classmethod
    def _steps(cls, words: list[str]) -> list[str]:
        for word in words:
            if word != _PUBLISHED and not (word.isascii() and word.isdigit() and int(word) < 2**40):
                raise ValueError(f"must be whole numbers of steps, or the word {_PUBLISHED}")
        return words

    @model_validator(mode="after")
    def _warmup_fits(self) -> Self:
        if self.warmup_steps is not None and self.total_steps is not None and self.warmup_steps >= self.total_steps:
            raise ValueError(
                f"the warm-up of {self.warmup_steps} steps must be shorter than the run of {self.total_steps} steps"
            )
        return self

    @property
    def checkpoint_steps(self) -> tuple[int, ...]:
        """The steps of `checkpoint_at`, ascending."""
        steps = {int(word) for word in self.checkpoint_at if word != _PUBLISHED}
        return tuple(sorted(steps | set(PUBLISHED_STEPS if _PUBLISHED in self.checkpoint_at else ())))
