import json
from pathlib import Path

import pytest
import torch

from btard.errors import UserError
from btard.tasks.base import Task
from btard.tasks.digits import DigitsTask
from btard.tasks.gpt import GptTask
from btard.tasks.training_state import TrainingState
from btard.vocabulary import Precision
from tests.tasks.helpers import seed_of, trained


def test_twenty_steps_twice_end_in_the_same_bytes(task: Task) -> None:
    first = trained(task, 20)
    torch.rand(7)
    second = trained(task, 20)
    assert first.digest() == second.digest()
    assert first.updates == 20
    assert first.digest() != trained(task, 20, seed=2).digest()


def test_a_gradient_repeats_and_leaves_the_state_alone(task: Task) -> None:
    state = trained(task, 2)
    before, parameters = state.digest(), state.flat_parameters()
    gradient, loss = state.gradient(task.batch(seed_of(9), 4), seed_of(9))
    again, same_loss = state.gradient(task.batch(seed_of(9), 4), seed_of(9))
    assert gradient.shape == parameters.shape == (state.dimension,)
    assert (gradient.dtype, gradient.device.type) == (torch.float32, "cpu")
    assert torch.equal(gradient, again)
    assert loss == same_loss
    assert state.digest() == before


def test_a_gradient_is_ordered_as_the_parameters(digits: DigitsTask) -> None:
    """Against finite differences of the loss along a random direction."""
    state = TrainingState(digits, seed=1)
    batch = digits.batch(seed_of(1), 16)
    direction = torch.randn(state.dimension, generator=torch.Generator().manual_seed(0))

    def loss_at(distance: float) -> float:
        offset = 0
        model = digits.build_model(1).double()
        with torch.no_grad():
            for parameter in model.parameters():
                part = direction[offset : offset + parameter.numel()]
                parameter += distance * part.reshape(parameter.shape)
                offset += parameter.numel()
        model_batch = batch.replaced(images=batch.tensors["images"].double())
        model.eval()
        return digits.loss(model, model_batch, seed_of(1)).item()

    state.model.eval()
    gradient, _ = state.gradient(batch, seed_of(1))
    slope = (loss_at(1e-5) - loss_at(-1e-5)) / 2e-5
    assert abs(float(gradient @ direction) - slope) < 1e-3 * abs(slope)


def test_the_norm_is_clipped_only_when_longer(digits: DigitsTask) -> None:
    state, batch = TrainingState(digits, seed=1), digits.batch(seed_of(1), 16)
    free, _ = state.gradient(batch, seed_of(1), None)
    norm = float(free.norm())
    clipped, _ = state.gradient(batch, seed_of(1), norm / 2)
    torch.testing.assert_close(clipped, free / 2)
    untouched, _ = state.gradient(batch, seed_of(1), norm * 2)
    assert torch.equal(untouched, free)


@pytest.mark.parametrize("precision", [Precision.BFLOAT16, Precision.FLOAT16])
def test_mixed_precision_gives_about_the_same_gradient(gpt: GptTask, precision: Precision) -> None:
    exact, mixed = TrainingState(gpt, seed=1), TrainingState(gpt, seed=1, precision=precision)
    batch = gpt.batch(seed_of(1), 8)
    gradient, loss = exact.gradient(batch, seed_of(1))
    rough, rough_loss = mixed.gradient(batch, seed_of(1))
    assert rough.dtype == torch.float32
    assert not torch.equal(rough, gradient)
    assert abs(rough_loss - loss) < 0.02
    assert torch.cosine_similarity(rough, gradient, dim=0) > 0.99
    assert abs(float(rough.norm() / gradient.norm()) - 1) < 0.02
    assert mixed.digest() == exact.digest()


def test_apply_keeps_the_callers_gradient(task: Task) -> None:
    state = trained(task, 1)
    gradient, _ = state.gradient(task.batch(seed_of(3), 4), seed_of(3), 1.0)
    copy = gradient.clone()
    state.apply(gradient)
    state.apply(gradient)
    assert torch.equal(gradient, copy)


def test_the_parameters_before_the_last_update_come_and_go(task: Task) -> None:
    state, before = trained(task, 3), trained(task, 2)
    current, batch = state.digest(), task.batch(seed_of(9), 4)
    with state.previously():
        assert torch.equal(state.flat_parameters(), before.flat_parameters())
        gradient, _ = state.gradient(batch, seed_of(9), 1.0)
    assert torch.equal(gradient, before.gradient(batch, seed_of(9), 1.0)[0])
    assert state.digest() == current
    with pytest.raises(KeyError), state.previously():
        raise KeyError
    assert state.digest() == current
    own, _ = state.gradient(batch, seed_of(9), 1.0)
    state.apply(own)
    with state.previously():
        again, _ = state.gradient(batch, seed_of(9), 1.0)
    assert torch.equal(again, own)


def test_the_parameters_before_the_last_two_updates_are_held(task: Task) -> None:
    state, before = trained(task, 3), {back: trained(task, 3 - back) for back in (1, 2)}
    current = state.digest()
    for back in (2, 1, 2):
        with state.previously(back):
            assert torch.equal(state.flat_parameters(), before[back].flat_parameters())
        assert state.digest() == current
    assert state.held == 2
    for back in (0, 3):
        with pytest.raises(ValueError, match="not known"), state.previously(back):
            pass


def test_previous_parameters_are_of_the_own_last_update_or_none(digits: DigitsTask) -> None:
    state, data = TrainingState(digits, seed=1), trained(digits, 2).state_bytes()
    assert state.held == 0
    with pytest.raises(ValueError, match="not known"), state.previously():
        pass
    with pytest.raises(ValueError, match="not finite"):
        state.apply(torch.full((state.dimension,), float("nan")))
    assert state.held == 0
    state.apply(torch.ones(state.dimension))
    assert state.held == 1
    with pytest.raises(UserError):
        state.load_state_bytes(data[:-1])
    assert state.held == 1
    state.load_state_bytes(data)
    assert state.held == 0


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda d: torch.zeros(d + 1), "of shape"),
        (lambda d: torch.zeros(d, dtype=torch.float64), "float64"),
        (lambda d: torch.full((d,), float("nan")), "not finite"),
        (lambda d: torch.full((d,), float("inf")), "not finite"),
    ],
)
def test_unusable_gradients_are_refused(digits: DigitsTask, make, says: str) -> None:  # type: ignore[no-untyped-def]
    state = TrainingState(digits, seed=1)
    before = state.digest()
    with pytest.raises(ValueError, match=says):
        state.apply(make(state.dimension))
    assert state.digest() == before


def test_checkpoints_round_trip_and_replace_each_other(digits: DigitsTask, tmp_path: Path) -> None:
    state, folder = trained(digits, 3), tmp_path / "deep" / "checkpoint"
    state.save_checkpoint(folder, step=3, extra={"roster": ["a", "b"]})
    state = trained(digits, 5)
    state.save_checkpoint(folder, step=5)
    resumed = TrainingState(digits, seed=9)
    checkpoint = resumed.load_checkpoint(folder)
    assert (checkpoint.step, checkpoint.extra) == (5, {})
    assert resumed.digest() == state.digest()
    assert len(list(folder.iterdir())) == 2


def test_a_crash_before_the_record_leaves_the_old_checkpoint(
    digits: DigitsTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = trained(digits, 3)
    old.save_checkpoint(tmp_path, step=3)
    replace = Path.replace

    def crash_at_the_record(self: Path, target: Path) -> Path:
        if target.name == "checkpoint.json":
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", crash_at_the_record)
    with pytest.raises(KeyboardInterrupt):
        trained(digits, 5).save_checkpoint(tmp_path, step=5)
    resumed = TrainingState(digits, seed=9)
    assert resumed.load_checkpoint(tmp_path).step == 3
    assert resumed.digest() == old.digest()


def test_damaged_checkpoints_are_refused(digits: DigitsTask, gpt: GptTask, tmp_path: Path) -> None:
    state = trained(digits, 3)
    with pytest.raises(UserError, match=r"no checkpoint in .*checkpoint.json is missing"):
        state.load_checkpoint(tmp_path)
    state.save_checkpoint(tmp_path, step=3)
    with pytest.raises(UserError, match="has task digits, but this run has gpt"):
        TrainingState(gpt, seed=1).load_checkpoint(tmp_path)
    record = tmp_path / "checkpoint.json"
    content = json.loads(record.read_text())
    for change, says in (
        ({"fingerprint": "00"}, "data fingerprint 00"),
        ({"format": 9}, "format 9"),
        ({"surprise": 1}, "cannot be read"),
        ({"state_file": f"state-{'0' * 16}.safetensors"}, r"state-0+\.safetensors cannot be read"),
    ):
        record.write_text(json.dumps({**content, **change}))
        with pytest.raises(UserError, match=says):
            state.load_checkpoint(tmp_path)
    record.write_text(json.dumps(content)[:-20])
    with pytest.raises(UserError, match="cannot be read"):
        state.load_checkpoint(tmp_path)
    record.write_text(json.dumps(content))
    file = tmp_path / content["state_file"]
    file.write_bytes(file.read_bytes()[:-100])
    before = state.digest()
    with pytest.raises(UserError, match="was cut or changed"):
        state.load_checkpoint(tmp_path)
    assert state.digest() == before
