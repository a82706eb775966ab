"""States come from strangers: what is taken, what is refused, and that a refusal changes nothing."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save

from btard.errors import UserError
from btard.tasks.albert import AlbertTask
from btard.tasks.base import Schedule, Task
from btard.tasks.digits import DigitsTask
from btard.tasks.training_state import TrainingState
from tests.tasks.helpers import seed_of, trained


@pytest.mark.parametrize("steps", [0, 3])
def test_a_state_round_trips_and_trains_on_alike(task: Task, steps: int) -> None:
    state, newcomer = trained(task, steps), TrainingState(task, seed=99)
    assert newcomer.digest() != state.digest()
    newcomer.load_state_bytes(state.state_bytes())
    assert newcomer.digest() == state.digest()
    assert newcomer.state_bytes() == state.state_bytes()
    assert newcomer.updates == steps
    for one in (state, newcomer):
        gradient, _ = one.gradient(task.batch(seed_of(50), 4), seed_of(50), 1.0)
        one.apply(gradient)
    assert newcomer.digest() == state.digest()


def test_an_unstepped_state_replaces_a_stepped_one(task: Task) -> None:
    state, other = trained(task, 2), TrainingState(task, seed=5)
    state.load_state_bytes(other.state_bytes())
    assert state.digest() == other.digest()


def test_the_digest_sees_every_tensor_and_counter(digits: DigitsTask) -> None:
    state = trained(digits, 2)
    seen = {state.digest()}
    tensors = list(state._codec.tensors().values())
    with torch.no_grad():
        for tensor in tensors:
            tensor.view(-1)[-1] += 1
            seen.add(state.digest())
    state._optimizer.param_groups[0]["lr"] *= 2
    seen.add(state.digest())
    state._scheduler.last_epoch += 1
    seen.add(state.digest())
    assert len(seen) == len(tensors) + 3
    assert {len(digest) for digest in seen} == {32}


@settings(max_examples=60)
@given(data=st.data())
def test_cut_bytes_are_refused_and_change_nothing(digits: DigitsTask, data: st.DataObject) -> None:
    encoded, victim = trained_bytes(digits)
    before = victim.digest()
    with pytest.raises(UserError, match="damaged"):
        victim.load_state_bytes(encoded[: data.draw(st.integers(0, len(encoded) - 1))])
    assert victim.digest() == before


@settings(max_examples=60)
@given(place=st.integers(0, 3_000), value=st.integers(0, 255))
def test_a_changed_header_is_refused_or_harmless(digits: DigitsTask, place: int, value: int) -> None:
    encoded, victim = trained_bytes(digits)
    before = victim.digest()
    changed = bytearray(encoded)
    changed[place] = value
    try:
        victim.load_state_bytes(bytes(changed))
    except UserError as refusal:
        assert "\n" not in str(refusal)
        assert victim.digest() == before


def trained_bytes(task: Task) -> tuple[bytes, TrainingState]:
    return trained(task, 2).state_bytes(), TrainingState(task, seed=3)


def _renamed(table: dict[str, torch.Tensor]) -> None:
    table["model/other"] = table.pop("model/0.weight")


def _missing(table: dict[str, torch.Tensor]) -> None:
    del table["optimizer/momentum_buffer/0.weight"]


def _reshaped(table: dict[str, torch.Tensor]) -> None:
    table["model/0.weight"] = table["model/0.weight"].reshape(-1)


def _retyped(table: dict[str, torch.Tensor]) -> None:
    table["model/0.bias"] = table["model/0.bias"].double()


def _no_counters(table: dict[str, torch.Tensor]) -> None:
    del table["counters"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_renamed, "lacks the tensor 'model/0.weight'|a tensor 'model/other' too many"),
        (_missing, "lacks the tensor 'optimizer/momentum_buffer/0.weight'"),
        (_reshaped, r"'model/0.weight' is torch.float32 \(144,\) instead of torch.float32 \(16, 1, 3, 3\)"),
        (_retyped, "'model/0.bias' is torch.float64"),
        (_no_counters, "lacks its counters"),
    ],
)
def test_other_tensors_are_refused(digits: DigitsTask, change, says: str) -> None:  # type: ignore[no-untyped-def]
    encoded, victim = trained_bytes(digits)
    before = victim.digest()
    table = load(encoded)
    change(table)
    with pytest.raises(UserError, match=says):
        victim.load_state_bytes(save(table))
    assert victim.digest() == before


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (("groups", 0, "momentum"), 0.5, "momentum is 0.5 there and 0.9 here"),
        (("groups", 0, "lr"), float("nan"), "lr is nan"),
        (("groups", 0, "lr"), -1.0, "lr is -1.0"),
        (("groups", 0, "lr"), "fast", "lr is 'fast'"),
        (("groups", 0, "more"), 1, "more is only in one"),
        (("groups",), [], "parameter groups"),
        (("scheduler", "last_epoch"), 1.5, "last_epoch is 1.5"),
        (("scheduler", "_last_lr"), [0.1, 0.1], "_last_lr is"),
        (("scheduler",), 3, "do not fit"),
        (("scheduler", "base_lrs"), [9.0], "base_lrs is"),
    ],
)
def test_other_counters_are_refused(digits: DigitsTask, path: tuple[str | int, ...], value: object, says: str) -> None:
    encoded, victim = trained_bytes(digits)
    before = victim.digest()
    table = load(encoded)
    counters = json.loads(table["counters"].numpy().tobytes())
    inside = counters
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = value
    table["counters"] = torch.frombuffer(bytearray(json.dumps(counters).encode()), dtype=torch.uint8)
    with pytest.raises(UserError, match=says):
        victim.load_state_bytes(save(table))
    assert victim.digest() == before


@pytest.mark.parametrize("counters", [b"", b"[]", b"null", b"{", b"\xff", b"[" * 100_000])
def test_counters_that_are_no_table_are_refused(digits: DigitsTask, counters: bytes) -> None:
    encoded, victim = trained_bytes(digits)
    table = load(encoded)
    table["counters"] = torch.tensor(list(counters), dtype=torch.uint8)
    with pytest.raises(UserError, match=r"counters|bytes, but one of this task"):
        victim.load_state_bytes(save(table))


def test_a_state_of_another_task_or_schedule_is_refused(digits: DigitsTask, albert: AlbertTask) -> None:
    state = TrainingState(digits, seed=1)
    with pytest.raises(UserError, match="it belongs to another task or size"):
        state.load_state_bytes(TrainingState(albert, seed=1).state_bytes())
    slower = TrainingState(digits, seed=1, schedule=Schedule(0.001, 10, 2_000))
    with pytest.raises(UserError, match=r"initial_lr is 0.001 there and 0.05 here"):
        state.load_state_bytes(slower.state_bytes())
