"""What simulated peers train: gradients that a public seed and x^t fix, so that validators can repeat them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch

from btard.hashing import digest, tagged_digest
from btard.lab.simulation.settings import SimulateSettings, WorkloadName
from btard.tensors import bytes_of
from btard.transport.vector_trainer import Gradient, Move

_CACHED = 256
"""Gradients that are kept, since all members of a court repeat the same one."""

_NOISE = 1.0
_RATE_OF_DIGITS = 0.1


@dataclass(frozen=True)
class Workload:
    """A task as simulated peers see it.

    Attributes:
        start: x^0, float32 of shape (d,).
        gradient: the honest gradient.
        spoiled: the gradient on the same samples with wrong labels; None where there are no labels.
        loss: of parameters, on what is never trained on; None where nothing is learned.
        learning_rate: what a step multiplies the aggregate by.
        move: what makes x^{t+1} of an aggregate; None for plain descent.
        tau: clipping radius that fits the honest deviations of a part among `peers` peers.
    """

    start: torch.Tensor
    gradient: Gradient
    learning_rate: float
    tau: float
    spoiled: Gradient | None = None
    loss: Callable[[torch.Tensor], float] | None = None
    move: Move | None = None


def make_workload(settings: SimulateSettings) -> Workload:
    """Return the workload that the settings name."""
    makers = {
        WorkloadName.DIGITS: _digits,
        WorkloadName.QUADRATIC: _quadratic,
        WorkloadName.NONE: _none,
    }
    return makers[settings.task](settings)


def _generator(seed: bytes) -> torch.Generator:
    return torch.Generator().manual_seed(int.from_bytes(seed[:8], "big") >> 1)


def _noise(seed: bytes, dimension: int) -> torch.Tensor:
    """A vector whose norm is about 1."""
    return torch.randn(dimension, generator=_generator(seed)) * dimension**-0.5


def _none(settings: SimulateSettings) -> Workload:
    dimension = settings.dimension

    @lru_cache(maxsize=_CACHED)
    def drawn(seed: bytes) -> torch.Tensor:
        return _noise(seed, dimension)

    def gradient(seed: bytes, parameters: torch.Tensor) -> torch.Tensor:
        return drawn(seed).clone()

    return Workload(torch.zeros(dimension), gradient, learning_rate=0.1, tau=2.0 * settings.peers**-0.5)


def _quadratic(settings: SimulateSettings) -> Workload:
    dimension = settings.dimension
    goal = _noise(tagged_digest("btard quadratic", settings.seed.to_bytes(8, "big")), dimension)

    def computed(seed: bytes, parameters: torch.Tensor) -> torch.Tensor:
        return parameters - goal + _NOISE * _noise(seed, dimension)

    return Workload(
        start=torch.zeros(dimension),
        gradient=cached(computed),
        learning_rate=0.1,
        tau=2.0 * _NOISE * settings.peers**-0.5,
        loss=lambda parameters: 0.5 * float(torch.linalg.vector_norm(parameters - goal)) ** 2,
    )


def _digits(settings: SimulateSettings) -> Workload:
    from btard.tasks.digits import DigitsTask

    task = DigitsTask()
    model = task.build_model(settings.seed)
    weights = list(model.parameters())
    start = torch.nn.utils.parameters_to_vector(weights).detach().clone()
    size = settings.batch_size

    def load(parameters: torch.Tensor) -> None:
        torch.nn.utils.vector_to_parameters(parameters, weights)

    def computed(seed: bytes, parameters: torch.Tensor, *, wrong: bool = False) -> torch.Tensor:
        load(parameters)
        batch = task.batch(seed, size)
        loss = task.loss(model, task.label_flipped(batch) if wrong else batch, seed)
        found = torch.autograd.grad(loss, weights)
        return torch.cat([piece.reshape(-1) for piece in found])

    def loss(parameters: torch.Tensor) -> float:
        load(parameters)
        return task.evaluate(model)

    return Workload(
        start=start,
        gradient=cached(computed),
        learning_rate=_RATE_OF_DIGITS,
        tau=settings.peers**-0.5,
        spoiled=cached(lambda seed, parameters: computed(seed, parameters, wrong=True)),
        loss=loss,
    )


def cached(gradient: Gradient) -> Gradient:
    """Return the same gradient, which keeps its last results; the key is what they depend on."""
    kept: dict[tuple[bytes, bytes], torch.Tensor] = {}

    def look_up(seed: bytes, parameters: torch.Tensor) -> torch.Tensor:
        key = (seed, digest(bytes_of(parameters)))
        if key not in kept:
            if len(kept) >= _CACHED:
                del kept[next(iter(kept))]
            kept[key] = gradient(seed, parameters)
        return kept[key].clone()  # what a peer sends may share memory with it, and attackers write where they like

    return look_up
