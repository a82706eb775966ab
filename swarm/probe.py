"""One gradient that all peers of a run can compute: a newcomer learns from it whether its arithmetic is the members'.

Weights, batch and draws follow from the manifest, so honest machines get nearly the same vector. What travels of it is
a digest and a sketch: each number with a public random sign, added up in `BUCKETS` sums. The squared length of the
difference of two sketches is in the mean that of the vectors' difference, and is off by about sqrt(2 / BUCKETS) of it.
"""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from btard.hashing import digest, tagged_digest
from btard.hexadecimal import HexDigest
from btard.identity import Malformed
from btard.printable import printable
from btard.swarm.calibration import arithmetic, processor
from btard.swarm.manifest import RunManifest
from btard.tasks.randomness import SeededDraws
from btard.tensors import bytes_of
from btard.vocabulary import Precision, Validation

BUCKETS = 512
"""Sums in a sketch; distances are told to about 3 %."""

MAX_PROBE = 16 << 10
"""Bytes of a probe that is told."""

_CHUNK = BUCKETS << 12
_HEX = 16 * BUCKETS


_Words = Annotated[str, Field(max_length=120), AfterValidator(printable)]


class Arithmetic(BaseModel):
    """What decides how numbers are rounded on a machine; each is told when it differs.

    Attributes:
        library: torch's version.
        processor: the device that computes gradients.
        instructions: the instruction set that torch uses there, or the version of CUDA.
        numbers: what forward and backward compute with.
        threads: of computation on a CPU.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    library: _Words
    processor: _Words
    instructions: _Words
    numbers: _Words
    threads: Annotated[int, Field(ge=0, lt=2**16)]

    @classmethod
    def here(cls, device: torch.device, precision: Precision) -> Arithmetic:
        """Return what is the case on this machine, in the thread that asks."""
        name, instructions = processor(device)
        return cls(
            library=str(torch.__version__)[:120],
            processor=name[:120],
            instructions=instructions[:120],
            numbers=arithmetic(precision),
            threads=torch.get_num_threads(),
        )


class Probe(BaseModel):
    """What a peer tells of the gradient that all can compute.

    Attributes:
        digest: of its bytes, hex.
        sketch: BUCKETS little-endian float64, hex.
        arithmetic: what it was computed with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    digest: HexDigest
    sketch: Annotated[str, Field(pattern=f"^[0-9a-f]{{{_HEX}}}$")]
    arithmetic: Arithmetic

    @classmethod
    def of(cls, vector: torch.Tensor, run: bytes, arithmetic: Arithmetic) -> Probe:
        """Return the probe of a gradient, float32 of shape (d,), in a run."""
        sums = sketch(vector, probe_seed(run))
        return cls(
            digest=digest(bytes_of(vector)).hex(), sketch=sums.astype("<f8").tobytes().hex(), arithmetic=arithmetic
        )

    def encode(self) -> bytes:
        """Return the bytes to send."""
        return self.model_dump_json().encode()

    @classmethod
    def decode(cls, data: bytes) -> Probe:
        """Read bytes from the network; raises Malformed."""
        if len(data) > MAX_PROBE:
            raise Malformed("the probe is too long")
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise Malformed(f"no probe: {error.errors()[0]['msg']}") from None

    def distance(self, other: Probe) -> float:
        """Return about ||own - other|| / ||other|| of the vectors; infinite where one is not finite or `other` zero."""
        if self.digest == other.digest:
            return 0.0
        mine, theirs = (np.frombuffer(bytes.fromhex(probe.sketch), dtype="<f8") for probe in (self, other))
        with np.errstate(all="ignore"):
            found = float(np.linalg.norm(mine - theirs) / np.linalg.norm(theirs))
        return found if math.isfinite(found) else math.inf


def probe_seed(run: bytes) -> bytes:
    """Return the public seed of a run's probe, of its batch as well as of its signs."""
    return tagged_digest("btard numerics probe", run)


def sketch(vector: torch.Tensor, seed: bytes) -> npt.NDArray[np.float64]:
    """Return BUCKETS sums of the numbers of a float32 vector of shape (d,), each under a sign that the seed draws."""
    numbers, draws = vector.numpy(), SeededDraws(seed)
    sums = np.zeros(BUCKETS)
    for number, low in enumerate(range(0, len(numbers), _CHUNK)):
        chunk = np.zeros(_CHUNK)
        piece = numbers[low : low + _CHUNK]
        chunk[: len(piece)] = piece
        bits = np.unpackbits(draws.bits(f"sign {number}", _CHUNK // 64).astype("<u8").view(np.uint8))
        sums += (chunk * (2.0 * bits - 1.0)).reshape(-1, BUCKETS).sum(axis=0)
    return sums


def is_foreign(mine: Probe, theirs: Probe, manifest: RunManifest) -> bool:
    """Whether a peer with `theirs` would find that a gradient of this machine is a lie."""
    if manifest.validation is Validation.EXACT:
        return mine.digest != theirs.digest
    return not mine.distance(theirs) <= manifest.convict


def differences(mine: Arithmetic, theirs: Arithmetic) -> str:
    """Return in words what differs, nothing where both round alike as far as is known."""
    told = [
        f"{name} is {getattr(mine, field)} here and {getattr(theirs, field)} there"
        for field, name in (
            ("library", "torch"),
            ("processor", "the device"),
            ("instructions", "the instruction set"),
            ("numbers", "the type of numbers"),
            ("threads", "the number of threads"),
        )
        if getattr(mine, field) != getattr(theirs, field)
    ]
    return ", ".join(told)
