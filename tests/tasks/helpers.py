"""What several test files of the tasks need."""

from blake3 import blake3

from btard.tasks.base import Batch, Task
from btard.tasks.training_state import TrainingState


def seed_of(number: int) -> bytes:
    return blake3(number.to_bytes(8, "little")).digest()


def batch_digest(batch: Batch) -> str:
    digest = blake3()
    for name in sorted(batch.tensors):
        digest.update(name.encode() + batch.tensors[name].numpy().tobytes())
    return digest.hexdigest()


def trained(task: Task, steps: int, batch_size: int = 4, seed: int = 1) -> TrainingState:
    state = TrainingState(task, seed)
    for step in range(steps):
        gradient, _ = state.gradient(task.batch(seed_of(step), batch_size), seed_of(step), 1.0)
        state.apply(gradient)
    return state
