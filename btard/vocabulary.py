"""The words that settings, manifests and messages share: names of choices, exit codes, file names, limits.

Each stands here once. Nothing is imported but the standard library, so that what only names the choices, `--help`, a
schema or a document, need not wait for torch.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

MAX_PEERS = 1024
"""Members of a roster, active and on probation."""

MAX_FIRST_ROSTER = 256
"""Members of a run's first roster, which must fit into one DHT record."""

MAX_VALIDATORS = 128
"""Validators of a step, on average."""

MAX_BATCH = 2**20
"""Samples that a peer computes on in a step."""

MAX_STEPS = 2**40
"""Steps of a run."""

NO_ATTACK = "NONE"
"""ATTACK_TYPE of a peer that does nothing wrong."""

MAX_INCARNATIONS = 2**31
"""Of a run: how often most of its peers may be gone."""

SLOWEST = 3.0
"""Lengths of a usual step for which a member may keep the others waiting, unless a run says otherwise."""

LEAST_SLOWEST, MOST_SLOWEST = 1.5, 100.0
"""What a run may say: below, honest peers differ; above, the deadlines decide."""

SEEDS = 2**63
"""Seeds are whole numbers below this one."""

CHECKPOINT_FILE = "checkpoint.json"
"""In the folder of a checkpoint: what it holds beside the state."""

HEARTBEAT_FILE = "heartbeat"
"""In the directory of a daemon: touched every few seconds while its event loop and its p2pd answer."""


class WireType(StrEnum):
    """The numbers of a part as they travel, little-endian; hashes are over these bytes."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"

    @property
    def size(self) -> int:
        """Bytes a number."""
        return _WIRE_SIZES[self]


_WIRE_SIZES = {WireType.FLOAT32: 4, WireType.FLOAT16: 2, WireType.BFLOAT16: 2}


class Validation(StrEnum):
    """How a validator compares a recomputed gradient with the committed one.

    EXACT: by the hashes of the parts; right only where all peers compute on machines of one kind.
    TOLERANT: by a sketch of random projections and norms, with two thresholds.
    """

    EXACT = "exact"
    TOLERANT = "tolerant"


class Eliminate(StrEnum):
    """What becomes of two peers in a dispute that nobody else can decide."""

    SUSPEND = "suspend"
    MUTUAL = "mutual"


class Precision(StrEnum):
    """The arithmetic of forward and backward passes; parameters, gradients and updates are always float32."""

    FLOAT32 = "none"
    BFLOAT16 = "bf16"
    FLOAT16 = "fp16"


class Device(StrEnum):
    """Where gradients are computed."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class LogFormat(StrEnum):
    """How a daemon writes a line of its log."""

    TEXT = "text"
    JSON = "json"


class WandbMode(StrEnum):
    """Whether metrics also go to Weights & Biases."""

    OFF = "off"
    OFFLINE = "offline"
    ONLINE = "online"


class ExitCode(IntEnum):
    """How a program ends; docs/operations.md says which program knows which.

    USER_ERROR: bad settings or surroundings, told in one sentence.
    BANNED, NO_MAJORITY: a peer is out for good, or alone.
    """

    FINISHED = 0
    FAILED = 1
    USER_ERROR = 2
    BANNED = 3
    NO_MAJORITY = 4
    INTERRUPTED = 130
    BROKEN_PIPE = 141
    TERMINATED = 143
