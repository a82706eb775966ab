"""States and checkpoints come from strangers: what they name is not opened, what they announce is not allocated."""

from __future__ import annotations

import json
import os
import pickle
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save

from btard.errors import UserError
from btard.outline import Outlined
from btard.tasks.digits import DigitsTask
from btard.tasks.state_form import entries_of
from btard.tasks.training_state import TrainingState
from btard.vocabulary import CHECKPOINT_FILE
from tests.tasks.helpers import trained
from tests.watch import watching


def framed(header: bytes, rest: bytes = b"", *, length: int | None = None) -> bytes:
    """Bytes in the form of safetensors."""
    return (len(header) if length is None else length).to_bytes(8, "little") + header + rest


def tensor(dtype: str = "F32", shape: tuple[int, ...] = (1,), offsets: tuple[int, int] = (0, 4)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def headed(entries: dict[str, Any]) -> bytes:
    return framed(json.dumps(entries).encode())


class Evil:
    """Runs a program when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("true",)


HOSTILE = {
    "nothing": b"",
    "a pickle": pickle.dumps(Evil()),
    "a header of exabytes": framed(b"{}", length=2**62),
    "a header of all it may have": framed(b"{}", length=90 << 20),
    "no object": framed(b"[1]"),
    "no JSON": framed(b"\xff" * 20),
    "brackets": framed(b"[" * 5_000),
    "a huge number": framed(b'{"model/0.weight":{"dtype":"F32","shape":[1' + b"0" * 4_500 + b"]}}"),
    "a tensor of exabytes": headed({"model/0.weight": tensor(shape=(2**40, 2**20), offsets=(0, 2**62))}),
    "a tensor of minus one": headed({"model/0.weight": tensor(shape=(-1,))}),
    "an unknown type": headed({"model/0.weight": tensor("OBJECT")}),
    "many empty tensors": headed({f"model/{i}": tensor(shape=(0,), offsets=(0, 0)) for i in range(20_000)}),
    "many counters": headed({"counters": tensor("U8", (2**40,), (0, 2**40))}),
    "a path": headed({"../../etc/passwd": tensor()}),
    "a long name": headed({"model/" + "x" * 2_000: tensor()}),
    "control characters": headed({"model/\x1b[2J\n": tensor()}),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_state_is_one_sentence_and_nothing_else(digits: DigitsTask, data: bytes) -> None:
    victim = TrainingState(digits, seed=3)
    before = victim.digest()
    with watching() as touched, pytest.raises(UserError) as refusal:
        victim.load_state_bytes(data)
    sentence = str(refusal.value)
    assert sentence.isprintable() and len(sentence) < 500
    assert (touched.opened, touched.ran, touched.connected) == ([], [], [])
    assert victim.digest() == before


def test_a_state_that_is_too_long_is_refused_before_it_is_read(
    digits: DigitsTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = TrainingState(digits, seed=3)
    data = bytes(victim.most_state_bytes + 1)
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=r"bytes, but one of this task and size has [0-9,]+ at most"):
            victim.load_state_bytes(data)
        assert tracemalloc.get_traced_memory()[1] < 1 << 16
    finally:
        tracemalloc.stop()


def test_no_tensor_is_made_of_a_header_that_does_not_fit(digits: DigitsTask, monkeypatch: pytest.MonkeyPatch) -> None:
    victim = TrainingState(digits, seed=3)
    monkeypatch.setattr("btard.tasks.state_codec.tensor_at", lambda data, entry: pytest.fail("tensors were made"))
    table = load(trained(digits, 1).state_bytes())
    table["model/more"] = torch.zeros(1)
    with pytest.raises(UserError, match="'model/more' too many"):
        victim.load_state_bytes(save(table))


@pytest.mark.parametrize(
    ("places", "length"),
    [
        ([(0, 4), (4, 8), (8, 13)], 13),  # longer than its numbers
        ([(0, 4), (0, 4), (4, 8)], 8),
        ([(0, 4), (2, 8), (8, 12)], 12),
        ([(0, 4), (8, 12), (12, 16)], 16),
        ([(4, 8), (8, 12), (12, 16)], 16),
        ([(0, 4), (4, 8), (8, 12)], 13),  # the bytes go on
        ([(0, 4), (4, 8), (8, 12)], 11),
        ([(0, 4), (4, 8), (8, 8)], 8),
        ([(-4, 0), (0, 4), (4, 8)], 8),
        ([(0, 4), (4, 8), (2**62, 2**62 + 4)], 12),
        ([(0, 4), (4, 8), (8, 12, 16)], 12),
        ([(0, 4), (4, 8), (8.0, 12.0)], 12),
        ([(4, 8), (0, 4), (False, True)], 8),
    ],
)
def test_tensors_neither_overlap_nor_leave_gaps(places: list[tuple[int, ...]], length: int) -> None:
    entries = {f"{number}": tensor(offsets=place) for number, place in enumerate(places)}  # type: ignore[arg-type]
    with pytest.raises(UserError, match="is damaged"):
        entries_of(framed(json.dumps(entries).encode(), bytes(length)), 1000)


def test_the_library_reads_what_is_written_here(digits: DigitsTask) -> None:
    """And the other way round: checkpoints of earlier releases are the library's."""
    state, victim = trained(digits, 3), TrainingState(digits, seed=3)
    table = load(state.state_bytes())
    assert list(table) and all(torch.equal(table[name], value) for name, value in state._codec.tensors().items())
    victim.load_state_bytes(save(table))
    assert victim.digest() == state.digest()
    assert Outlined.of(state.state_bytes()).outline.digest == state.digest()


@pytest.mark.parametrize("steps", [0, 3])
def test_no_honest_state_is_too_long(digits: DigitsTask, steps: int) -> None:
    state = trained(digits, steps)
    assert len(state.state_bytes()) <= state.most_state_bytes


@pytest.fixture
def checkpoint(digits: DigitsTask, tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    trained(digits, 2).save_checkpoint(folder, step=2)
    (tmp_path / "secret.txt").write_text("of this machine alone")
    return folder


@pytest.mark.parametrize(
    "named", ["../secret.txt", "/etc/passwd", "..", "", "state-0.safetensors", "a\x00b", "x/" * 3000, "\x1b[2J"]
)
def test_a_checkpoint_names_no_file_elsewhere(digits: DigitsTask, checkpoint: Path, named: str) -> None:
    record = checkpoint / CHECKPOINT_FILE
    record.write_text(json.dumps(json.loads(record.read_text()) | {"state_file": named}))
    secret = checkpoint.parent / "secret.txt"
    with watching([secret, Path("/etc/passwd")]) as touched, pytest.raises(UserError, match="is damaged"):
        TrainingState(digits, seed=3).load_checkpoint(checkpoint)
    assert touched.canaries == [] and touched.outside(checkpoint) == []


@pytest.mark.parametrize("which", [CHECKPOINT_FILE, "state"])
@pytest.mark.parametrize("target", ["../secret.txt", "/etc/passwd", "/dev/zero"])
def test_a_checkpoint_s_links_are_not_followed_out_of_it(
    digits: DigitsTask, checkpoint: Path, which: str, target: str
) -> None:
    file = checkpoint / CHECKPOINT_FILE if which == CHECKPOINT_FILE else next(checkpoint.glob("state-*"))
    file.unlink()
    file.symlink_to(target)
    secret = checkpoint.parent / "secret.txt"
    with watching([secret, Path("/etc/passwd")]) as touched, pytest.raises(UserError, match="is no file in this"):
        TrainingState(digits, seed=3).load_checkpoint(checkpoint)
    assert touched.canaries == [] and touched.outside(checkpoint) == []


def test_a_link_to_itself_is_no_file(digits: DigitsTask, checkpoint: Path) -> None:
    (checkpoint / CHECKPOINT_FILE).unlink()
    (checkpoint / CHECKPOINT_FILE).symlink_to(CHECKPOINT_FILE)
    with pytest.raises(UserError, match="cannot be read"):
        TrainingState(digits, seed=3).load_checkpoint(checkpoint)


def test_a_pipe_in_a_checkpoint_is_not_waited_for(digits: DigitsTask, checkpoint: Path) -> None:
    (checkpoint / CHECKPOINT_FILE).unlink()
    os.mkfifo(checkpoint / CHECKPOINT_FILE)
    with pytest.raises(UserError, match="is no file in this folder"):
        TrainingState(digits, seed=3).load_checkpoint(checkpoint)


def test_a_checkpoint_s_files_are_read_within_what_is_expected(digits: DigitsTask, checkpoint: Path) -> None:
    for file, size in ((next(checkpoint.glob("state-*")), 1 << 40), (checkpoint / CHECKPOINT_FILE, 1 << 40)):
        os.truncate(file, size)  # a hole: it takes no room on the disk
        with pytest.raises(UserError, match=r"has more than [0-9,]+ bytes"):
            TrainingState(digits, seed=3).load_checkpoint(checkpoint)


def test_a_link_to_the_whole_folder_is_the_owners_own(digits: DigitsTask, checkpoint: Path) -> None:
    link = checkpoint.parent / "latest"
    link.symlink_to(checkpoint)
    assert TrainingState(digits, seed=3).load_checkpoint(link).step == 2
