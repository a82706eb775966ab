"""How far honest computations of one gradient differ on this machine, and the tolerance that follows for a run.

Two honest peers sum the same products in different orders: with another number of threads, on another processor, with
another version of torch. Validators must not take that for a lie.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from blake3 import blake3

from btard.errors import UserError
from btard.swarm.tolerance import Tolerance
from btard.tasks.base import Batch, Task
from btard.tasks.training_state import TrainingState
from btard.tensors import torch_threads
from btard.vectors.momentum import submission
from btard.verification.scalars import HONEST_SHARE
from btard.vocabulary import Precision

ACCUSE_FACTOR = HONEST_SHARE
LEAST_ACCUSE = 1e-4
USELESS = 1.0
"""A relative distance that says nothing: a vector of zeros is as far away."""

_DOUBLE = "float64 model"


@dataclass(frozen=True)
class CalibrationWork:
    """What is computed, as the manifest of a run has it.

    Attributes:
        task: with its data.
        batch_size: samples of a gradient.
        max_grad_norm: longer gradients are scaled down to this norm; None for never.
        precision: arithmetic of forward and backward.
        seed: of the initial weights.
        device: where.
    """

    task: Task
    batch_size: int
    max_grad_norm: float | None
    precision: Precision
    seed: int
    device: torch.device


@dataclass
class Spread:
    """How far one way to compute a gradient is from another, over all samples.

    Attributes:
        variant: what was done differently.
        counts_for_exact: whether honest peers compute this way, so that its bits matter to exact comparison.
        distances: ||a - b|| / ||b|| (Euclidean), one a sample.
        equal: whether all bytes were equal in all samples.
    """

    variant: str
    counts_for_exact: bool = True
    distances: list[float] = field(default_factory=list)
    equal: bool = True

    def add(self, vector: torch.Tensor, reference: torch.Tensor) -> None:
        """Compare two float32 vectors of shape (d,)."""
        self.distances.append(relative_distance(vector, reference))
        # Bytes, since exact comparison is one of hashes: +0 and -0 are different.
        self.equal &= torch.equal(vector.view(torch.int32), reference.view(torch.int32))

    @property
    def worst(self) -> float:
        """The largest distance."""
        return max(self.distances)


def measure(work: CalibrationWork, samples: int, progress: Callable[[int], None] = lambda done: None) -> list[Spread]:
    """Compute `samples` gradients in several ways, the n-th (from 0) after n updates of the model.

    Args:
        work: what to compute.
        samples: at least 1.
        progress: called with the number of samples done.

    Returns:
        For each variant, how far it is from one thread; for repetitions, from the first time.
    """
    state = _state(work)
    double = _DoubleModel(work)
    counts = sorted({1, 2, torch.get_num_threads()})
    again = [Spread(f"{_threads(count)}, again") for count in counts]
    threads = [Spread(_threads(count)) for count in counts[1:]]
    loaded, exact = Spread("state saved and loaded"), Spread(_DOUBLE, counts_for_exact=False)
    for sample in range(samples):
        seed = blake3(b"btard calibration" + sample.to_bytes(8, "big")).digest()
        batch = work.task.batch(seed, work.batch_size)
        firsts = []
        for count, repeated in zip(counts, again, strict=True):
            with torch_threads(count):
                firsts.append(_honest(state, work, batch, seed))
                repeated.add(_honest(state, work, batch, seed), firsts[-1])
        for spread, vector in zip(threads, firsts[1:], strict=True):
            spread.add(vector, firsts[0])
        with torch_threads(1):
            copy = _state(work)
            copy.load_state_bytes(state.state_bytes())
            loaded.add(_honest(copy, work, batch, seed), firsts[0])
            exact.add(double.gradient(state, batch, seed), firsts[0])
        state.apply(firsts[0])
        progress(sample + 1)
    return [*again, *threads, loaded, exact]


def tolerance(work: CalibrationWork, spreads: list[Spread]) -> Tolerance:
    """Return the tolerance that follows from measured spreads.

    Raises:
        UserError: honest vectors are so far apart that no distance tells a liar.
    """
    furthest = max(spreads, key=lambda spread: spread.worst)
    worst = furthest.worst
    accuse = max(ACCUSE_FACTOR * worst, LEAST_ACCUSE)
    if accuse >= USELESS:
        raise UserError(
            f"honest gradients of {work.task.label} differ by {worst:.2g} of their length on this machine "
            f"({furthest.variant}), too much to tell a liar from them; take a --precision of more digits"
        )
    differing = [spread.variant for spread in spreads if spread.counts_for_exact and not spread.equal]
    return Tolerance(
        task=work.task.label,
        size=work.task.size,
        numerics=numerics(work.device, work.precision),
        samples=len(furthest.distances),
        worst=worst,
        accuse=accuse,
        convict=accuse / 2,
        exact=not differing,
        reason=_reason(furthest, accuse, differing),
    )


def table(spreads: list[Spread]) -> str:
    """Return the spreads as lines of text: relative L2 distances, median, 95th percentile and largest."""
    width = max(len(spread.variant) for spread in spreads)
    lines = [f"{'relative L2 distance':<{width}}  {'median':>9} {'p95':>9} {'max':>9}"]
    for spread in spreads:
        median, p95 = np.percentile(spread.distances, [50, 95])
        note = "  bit-equal" if spread.equal else ""
        lines.append(f"{spread.variant:<{width}}  {median:9.2e} {p95:9.2e} {spread.worst:9.2e}{note}")
    return "\n".join(lines)


def relative_distance(vector: torch.Tensor, reference: torch.Tensor) -> float:
    """Return ||vector - reference|| / ||reference||, Euclidean, in float64; shapes (d,). Huge for a zero reference."""
    exact = reference.double()
    norm = float(torch.linalg.vector_norm(exact))
    return float(torch.linalg.vector_norm(vector.double() - exact)) / max(norm, torch.finfo(torch.float32).tiny)


def numerics(device: torch.device, precision: Precision) -> str:
    """Return what decides how numbers are rounded here, in words."""
    name, instructions = processor(device)
    where = name if device.type == "cuda" else f"{name}, {instructions}"
    return f"torch {torch.__version__}, {where}, {arithmetic(precision)}"


def arithmetic(precision: Precision) -> str:
    """Return the numbers that forward and backward compute with."""
    return {Precision.FLOAT32: "float32", Precision.BFLOAT16: "bfloat16", Precision.FLOAT16: "float16"}[precision]


def processor(device: torch.device) -> tuple[str, str]:
    """Return the name of a device, and the instruction set that torch uses there, or the version of CUDA."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device), f"CUDA {torch.version.cuda}"
    return _cpu_model(), f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"


class _DoubleModel:
    """The model in float64: its distance is about what another processor or library may differ by."""

    def __init__(self, work: CalibrationWork) -> None:
        self._work = work
        self._state = TrainingState(work.task, work.seed, device=work.device)
        self._state.model.double()

    @torch.no_grad()
    def _take_over(self, state: TrainingState) -> None:
        for mine, theirs in zip(self._state.model.parameters(), state.model.parameters(), strict=True):
            mine.copy_(theirs)

    def gradient(self, state: TrainingState, batch: Batch, seed: bytes) -> torch.Tensor:
        """The gradient at the parameters of `state`, rounded to float32 at the end, shape (d,)."""
        self._take_over(state)
        floating = {name: tensor.double() for name, tensor in batch.tensors.items() if tensor.is_floating_point()}
        return _honest(self._state, self._work, batch.replaced(**floating), seed)


def _state(work: CalibrationWork) -> TrainingState:
    return TrainingState(work.task, work.seed, precision=work.precision, device=work.device)


def _honest(state: TrainingState, work: CalibrationWork, batch: Batch, seed: bytes) -> torch.Tensor:
    gradient, _ = state.gradient(batch, seed, work.max_grad_norm)
    return submission(gradient, None, 0.0)


def _reason(furthest: Spread, accuse: float, differing: list[str]) -> str:
    times = f"{ACCUSE_FACTOR:g} times the largest honest distance, {furthest.worst:.2g} ({furthest.variant})"
    start = f"accuse is {times}" if accuse > LEAST_ACCUSE else f"accuse is {LEAST_ACCUSE:g}, more than {times}"
    middle = "convict is half of it, so that every honest judge confirms what an honest validator sees beyond accuse"
    if not differing:
        return f"{start}; {middle}; all variants are bit-equal, so machines of this kind can compare exactly"
    ways = ", ".join(differing)
    return f"{start}; {middle}; exact comparison would ban an honest peer that differs from others in: {ways}"


def _threads(count: int) -> str:
    everything = " (torch's own choice)" if count == torch.get_num_threads() else ""
    return f"{count} {'thread' if count == 1 else 'threads'}{everything}"


def _cpu_model() -> str:
    """Linux only tells it in a file; elsewhere Python's word must do."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown processor"
