"""What the commands of `btard pipeline` are told."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from btard.byzantine.settings import LieName
from btard.configuration import Group, Option, Settings
from btard.configuration.shared.protocol import TauSettings
from btard.configuration.shared.training import ChosenPrecision
from btard.pipeline.choices import AfterAlarm, OptimizerKind
from btard.pipeline.schedule.order import PipelineOrder
from btard.transport.shaping import LinkText
from btard.vocabulary import NO_ATTACK, SEEDS, Precision, WandbMode


class TrialFamily(StrEnum):
    """Models that a trial can train."""

    GPT2 = "gpt2"
    OPT = "opt"
    BLOOM = "bloom"
    DEBERTA_V2 = "deberta-v2"


class TrialCheck(StrEnum):
    """How stages check each other."""

    LIVE = "live"
    DRAWN = "drawn"
    NONE = "none"


class StageProcess(StrEnum):
    """What runs the stages of a trial."""

    VIRTUAL = "virtual"
    REAL = "real"


_Rate = Annotated[float, Field(gt=0, le=10)]


class PartitionSettings(Settings):
    """Settings of `btard pipeline partition`, which cuts a model into stages."""

    model: Annotated[
        str, Option("model of Hugging Face: a folder, or [hub:]OWNER/NAME[@COMMIT] on the Hub", group=Group.TASK)
    ]
    stages: Annotated[int, Field(ge=1, le=1024), Option("how many stages", unit="stages", group=Group.TASK)] = 2
    split: Annotated[
        str | None,
        Option(
            "blocks of each stage, as 2-3-1; with none they are shared so that all stages take as long",
            group=Group.TASK,
        ),
    ] = None
    sequence: Annotated[
        int,
        Field(ge=2, le=65536),
        Option("longest sample on which blocks are measured", unit="tokens", group=Group.TASK),
    ] = 64
    keep_dropout: Annotated[
        bool,
        Option("leave the model's dropout as it is; activations can then not be compared exactly", group=Group.TASK),
    ] = False
    out: Annotated[Path, Option("folder for the stages, new or empty", group=Group.OUTPUT)]


class MergeSettings(Settings):
    """Settings of `btard pipeline merge`, which puts the stages of a run together again."""

    run: Annotated[Path, Option("directory of the run's coordinator", group=Group.TASK)]
    out: Annotated[Path, Option("folder for the model, new or empty", group=Group.OUTPUT)]


class StepSettings(Settings):
    """What travels between stages, and how they check each other: of trials, and of runs that strangers join."""

    epoch_samples: Annotated[
        int,
        Field(ge=0),
        Option(
            "training samples that come again in every epoch; 0 draws from all", unit="samples", group=Group.PIPELINE
        ),
    ] = 0
    forward_codec: Annotated[str, Option("of activations, as delta:bits=4", group=Group.PIPELINE)] = "none"
    backward_codec: Annotated[str, Option("of gradients, as fixpoint:bits=8", group=Group.PIPELINE)] = "none"
    raw_steps: Annotated[
        int, Field(ge=0), Option("first ones, in which nothing is compressed", unit="steps", group=Group.PIPELINE)
    ] = 0
    check: Annotated[
        TrialCheck,
        Option(
            "live: each middle stage has a duplicate at the next one; drawn: some steps of stages are done again",
            group=Group.PIPELINE,
        ),
    ] = TrialCheck.LIVE
    share: Annotated[
        float,
        Field(ge=0, le=1),
        Option(
            "probability that a stage's step is done again: of the ends if live, of all if drawn",
            group=Group.PIPELINE,
        ),
    ] = 0.01
    relative_error: Annotated[
        float,
        Field(ge=0, lt=1),
        Option("most by which two computations may differ and count as the same", group=Group.PIPELINE),
    ] = 0.0
    code_share: Annotated[
        float,
        Field(ge=0, lt=1),
        Option("most entries of which codes may differ by one, and count as the same", group=Group.PIPELINE),
    ] = 0.0
    after_alarm: Annotated[
        AfterAlarm, Option("pass by the suspects, or do the whole step again", group=Group.PIPELINE)
    ] = AfterAlarm.SKIP
    ban: Annotated[bool, Option("liars lose their seats to others", group=Group.PIPELINE)] = True
    trusted_relay: Annotated[
        bool,
        Option("activations come over a relay that all trust, so fewer stages are suspects", group=Group.PIPELINE),
    ] = False


class TrialSettings(StepSettings, TauSettings):
    """Settings of `btard pipeline run`, which trains a small model in stages: simulated ones, or processes."""

    partition: Annotated[
        Path | None,
        Option(
            "go on from a trained model: folder of btard pipeline partition; none makes a small one", group=Group.TASK
        ),
    ] = None
    family: Annotated[TrialFamily, Option("the new model's family", group=Group.TASK)] = TrialFamily.GPT2
    task: Annotated[
        str,
        Option("gpt for text; sentences, or sentences:data=sst2 and the like, for classes", group=Group.TASK),
    ] = "gpt"
    data: Annotated[
        str,
        Option(
            "corpus: builtin, a file or folder, hub:OWNER/NAME, or wikitext-2, wikitext-103, openwebtext, arxiv",
            group=Group.TASK,
        ),
    ] = "builtin"
    tokenizer: Annotated[
        str | None, Option("path of a tokenizer.json; with none one is trained from the data", group=Group.TASK)
    ] = None
    split: Annotated[str, Option("blocks of each stage of the new model, as 2-3-1", group=Group.TASK)] = "1-1-1-1-1-1"
    steps: Annotated[int, Field(ge=1, le=100_000), Option("how many", unit="steps", group=Group.TRAINING)] = 60
    micro_batches: Annotated[
        int, Field(ge=1, le=1024), Option("of a step", unit="micro-batches", group=Group.TRAINING)
    ] = 2
    micro_batch_size: Annotated[
        int, Field(ge=1, le=1024), Option("samples of a micro-batch", unit="samples", group=Group.TRAINING)
    ] = 4
    order: Annotated[PipelineOrder, Option("how forward and backward passes alternate", group=Group.TRAINING)] = (
        PipelineOrder.ONE_FORWARD_ONE_BACKWARD
    )
    optimizer: Annotated[OptimizerKind, Option("of every stage", group=Group.TRAINING)] = OptimizerKind.ADAMW
    learning_rate: Annotated[_Rate, Option("at its peak, after 10 steps", group=Group.TRAINING)] = 5e-3
    precision: ChosenPrecision = Precision.FLOAT32
    seed: Annotated[int, Field(ge=0, lt=SEEDS), Option("of weights, batches and lies", group=Group.TRAINING)] = 1
    attack_rate: Annotated[
        float, Field(ge=0, le=1), Option("probability that one stage lies in a step", group=Group.BYZANTINE)
    ] = 0.0
    forward_attack: Annotated[LieName, Option("what becomes of activations", group=Group.BYZANTINE)] = LieName.REVERSE
    backward_attack: Annotated[LieName, Option("what becomes of gradients", group=Group.BYZANTINE)] = LieName.NONE
    replicas: Annotated[
        int,
        Field(ge=1, le=256),
        Option(
            "pipelines beside each other, each with its own micro-batches; the replicas of a stage average their "
            "gradients by BTARD",
            unit="pipelines",
            group=Group.PIPELINE,
        ),
    ] = 1
    replica_attack: Annotated[
        str,
        Option(
            "of replicas: what one of them does wrong when gradients are averaged, as SIGN_FLIPPING",
            group=Group.BYZANTINE,
        ),
    ] = NO_ATTACK
    processes: Annotated[
        StageProcess,
        Option("virtual stages in this process, or real ones over loopback, each in its own", group=Group.PIPELINE),
    ] = StageProcess.VIRTUAL
    spare: Annotated[
        int,
        Field(ge=0, le=64),
        Option("of real processes, how many wait for a stage to be lost", unit="peers", group=Group.PIPELINE),
    ] = 1
    keep_every: Annotated[
        int,
        Field(ge=1, le=1 << 20),
        Option("of real processes, steps from one state that is kept to the next", unit="steps", group=Group.PIPELINE),
    ] = 10
    lost_after: Annotated[
        float,
        Field(gt=0, le=86400),
        Option("of real processes, time in which a peer must answer", unit="seconds", group=Group.PIPELINE),
    ] = 10.0
    stage_timeout: Annotated[
        float,
        Field(gt=0, le=86400),
        Option("of real processes, time until a step stands still", unit="seconds", group=Group.PIPELINE),
    ] = 120.0
    evidence: Annotated[
        Path | None, Option("folder for the proof of each ban, for btard verdict", group=Group.OUTPUT)
    ] = None
    link: Annotated[
        LinkText | None,
        Option(
            "every stage's way out: rate, latency, jitter, loss; virtual stages reckon with it, 1gbit if not given",
            group=Group.NETWORK,
        ),
    ] = None
    output: Annotated[
        Path | None,
        Option(
            "directory of scores (JSON), steps and links (CSV) and the trace of a step; of real processes, the run's",
            group=Group.OUTPUT,
        ),
    ] = None
    xlsx: Annotated[bool, Option("also write the tables as sheets of one file", group=Group.OUTPUT)] = False
    tensorboard: Annotated[bool, Option("also write events for TensorBoard", group=Group.OUTPUT)] = False
    wandb: Annotated[WandbMode, Option("also log to Weights & Biases", group=Group.OUTPUT)] = WandbMode.OFF

    @model_validator(mode="after")
    def _one_model(self) -> Self:
        own = type(self).model_fields
        for name in ("family", "split"):
            if self.partition is not None and getattr(self, name) != own[name].default:
                raise ValueError(
                    f"--{name} is of a new model, and --partition is of one that has its own; leave one of them"
                )
        return self
