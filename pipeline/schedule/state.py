"""What a stage holds between two steps, as bytes: its weights, what its optimizer remembers, its loss scale."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch

from btard.hashing import digest, tagged_digest
from btard.identity import Malformed
from btard.identity.codec import as_bytes, as_fields, as_int, as_list, as_text, decode, encode
from btard.pipeline.stages.model_stage import Cut, stage_names
from btard.tensors import bytes_of
from btard.vocabulary import MAX_STEPS

_MOST_TENSORS = 16
_MOST_NAME = 31


@dataclass(frozen=True, slots=True)
class StageState:
    """A stage between two steps.

    Attributes:
        weights: all tensors of the stage in the order of their names in the model, float32, little-endian.
        optimizer: how many steps were done, and its tensors of each weight.
        scale: of losses, as `LossScale` writes it; empty where they are not scaled.
    """

    weights: bytes
    optimizer: bytes
    scale: bytes = b""

    @property
    def digest(self) -> bytes:
        """The digest to which a stage commits."""
        return state_digest(digest(self.weights), digest(self.optimizer), self.scale)


def state_digest(weights: bytes, optimizer: bytes, scale: bytes) -> bytes:
    """Return the digest of a state from those of weights and optimizer, of which a check may need only one."""
    return tagged_digest("btard pipeline state", weights, optimizer, scale)


def weights_to_bytes(tensors: dict[str, torch.Tensor]) -> bytes:
    """Return tensors, float32, in their order."""
    return b"".join(bytes(bytes_of(tensor.detach().float())) for tensor in tensors.values())


def weights_size(cut: Cut, stage: int) -> int:
    """Return how many bytes the weights of a stage have."""
    return 4 * sum(prod(shape) for shape in _shapes(cut, stage).values())


def weights_from_bytes(cut: Cut, stage: int, data: bytes) -> dict[str, torch.Tensor]:
    """Return the tensors of a stage by name; raises Malformed where the bytes are of another size."""
    shapes = _shapes(cut, stage)
    if len(data) != 4 * sum(prod(shape) for shape in shapes.values()):
        raise Malformed("weights of another size than the stage has")
    whole, at, found = torch.frombuffer(bytearray(data), dtype=torch.float32), 0, {}
    for name, shape in shapes.items():
        found[name] = whole[at : at + prod(shape)].reshape(shape)
        at += prod(shape)
    return found


def optimizer_to_bytes(steps: int, tensors: list[dict[str, torch.Tensor]]) -> bytes:
    """Return the steps done, and an optimizer's tensors of each weight, float32."""
    rows = [[[key, bytes(bytes_of(row[key].float()))] for key in sorted(row)] for row in tensors]
    return encode([steps, rows])


def optimizer_from_bytes(data: bytes, shapes: list[torch.Size]) -> tuple[int, list[dict[str, torch.Tensor]]]:
    """Return what `optimizer_to_bytes` was given, for weights of these shapes; raises Malformed."""
    steps, rows = as_fields(decode(data, limit=len(data)), 2)
    found = []
    for row, shape in zip(as_list(rows, most=len(shapes)), shapes, strict=False):
        tensors: dict[str, torch.Tensor] = {}
        for item in as_list(row, most=_MOST_TENSORS):
            key, told = as_fields(item, 2)
            numbers = torch.frombuffer(bytearray(as_bytes(told, most=4 * prod(shape) or 4)), dtype=torch.float32)
            if len(numbers) not in (1, prod(shape)):
                raise Malformed("an optimizer's tensor of another size than its weight")
            scalar = len(numbers) == 1 and key == "step"
            tensors[as_text(key, most=_MOST_NAME)] = numbers.reshape(()) if scalar else numbers.reshape(shape)
        found.append(tensors)
    if len(found) != len(shapes):
        raise Malformed("an optimizer of other weights")
    return as_int(steps, 0, MAX_STEPS), found


def _shapes(cut: Cut, stage: int) -> dict[str, tuple[int, ...]]:
    return {name: cut.shapes[name] for name in stage_names(cut, stage)}
