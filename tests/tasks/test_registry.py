"""Tasks are found among installed packages: by name, with settings of their own, and only the one that is asked for."""

import subprocess
import sys
from pathlib import Path

import pytest

from btard.configuration.named import Named
from btard.errors import UserError
from btard.tasks.data.spec import DataSpec
from btard.tasks.registry import TASKS, TASKS_GROUP, check_task, chosen_task, find_task, import_target, load_task
from tests.packages import written

STRANGERS = """
from typing import Annotated
from blake3 import blake3
from pydantic import Field
from torch import nn
from btard.configuration import Option
from btard.tasks.base import Batch, Schedule, Task
from btard.tasks.settings import TaskSettings


class LineSettings(TaskSettings):
    width: Annotated[int, Field(ge=1, le=64), Option("inputs", unit="inputs")] = 8
    bias: Annotated[bool, Option("whether the line may miss the origin")] = True


class Line(Task):
    name = "line"
    sizes = ("tiny",)
    Settings = LineSettings

    def __init__(self, size, settings):
        super().__init__(size, blake3(b"line").hexdigest(), Schedule(0.1, 0, 10), settings)

    @classmethod
    def load(cls, size, settings, data):
        return cls(size, settings)

    def _construct_model(self):
        return nn.Linear(self.settings.width, 1, bias=self.settings.bias)

    build_optimizer = batch = label_flipped = evaluation_batch = _loss = None


class Forgetful(Line):
    name = "forgetful"

    @classmethod
    def load(cls, size, settings, data):
        return cls(size, LineSettings())


class Nameless(Line):
    sizes = ()
"""


@pytest.fixture
def strangers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"line": "Line", "forgetful": "Forgetful", "nameless": "Nameless", "no_task": "LineSettings", "gpt": "Line"}
    entries = {name: f"strangers_tasks:{target}" for name, target in names.items()}
    written(tmp_path, "strangers-tasks", TASKS_GROUP, entries, STRANGERS)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])


def test_it_loads_every_task(corpus_spec: DataSpec, cache_dir: Path) -> None:
    for name in TASKS.names():
        task = load_task(name, "tiny", corpus_spec if name in {"albert", "gpt"} else DataSpec(), cache_dir)
        assert (task.name, task.size, task.label.partition(":")[0]) == (name, "tiny", name)
        assert len(bytes.fromhex(task.fingerprint)) == 32


def test_sizes_are_the_tasks_own() -> None:
    assert {name: find_task(name).sizes for name in TASKS.names()} == {
        "albert": ("tiny", "large"),
        "digits": ("tiny",),
        "gpt": ("tiny", "small"),
        "images": ("tiny",),
        "regression": ("tiny",),
        "sentences": ("tiny", "small"),
    }


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(
        UserError,
        match="no task 'bert'; known tasks are albert, digits, gpt, images, regression, sentences, and another one",
    ):
        load_task("bert", "tiny")
    with pytest.raises(UserError, match="gpt has no size 'huge'; it has tiny, small"):
        load_task("gpt", "huge")
    with pytest.raises(UserError, match="the task gpt has no setting 'width'; it has none"):
        load_task("gpt:width=1", "tiny")


def test_importing_the_registry_is_cheap() -> None:
    program = (
        "import sys; from btard.tasks.registry import TASKS, chosen_task, import_target\n"
        "print(TASKS.names(), chosen_task('gpt:a=1').name, import_target('gpt'))\n"
        "print({'torch', 'transformers', 'numpy', 'datasets'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    names = "('albert', 'digits', 'gpt', 'images', 'regression', 'sentences')"
    assert found.stdout.splitlines() == [f"{names} gpt btard.tasks.gpt:GptTask", "set()"]


def test_only_the_task_that_is_asked_for_is_imported() -> None:
    program = (
        "import sys; from btard.tasks.registry import find_task\n"
        "print(find_task('digits').sizes, 'btard.tasks.gpt' in sys.modules, 'btard.tasks.albert' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "('tiny',) False False"


@pytest.mark.usefixtures("strangers")
def test_a_package_adds_a_task_with_settings() -> None:
    assert import_target("line") == "strangers_tasks:Line"
    task = load_task("line:width=3", "tiny")
    assert task.label == "line:bias=true,width=3"
    assert sum(each.numel() for each in task.build_model(1).parameters()) == 4
    same = load_task(Named("line", {"width": 3, "bias": True}), "tiny")
    assert (same.fingerprint, same.label) == (task.fingerprint, task.label)


@pytest.mark.usefixtures("strangers")
def test_the_fingerprint_covers_every_setting() -> None:
    texts = ("line", "line:width=9", "line:bias=no", "line:width=9,bias=no")
    assert len({load_task(text, "tiny").fingerprint for text in texts}) == len(texts)
    assert load_task("line", "tiny").fingerprint == load_task("line:width=8,bias=true", "tiny").fingerprint


@pytest.mark.usefixtures("strangers")
@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("line:width=65", "the setting width of the task line is 65, but must be a whole number of inputs from 1 to"),
        ("line:widht=1", "the task line has no setting 'widht'; it has width, bias"),
        ("forgetful:width=3", "the task forgetful is broken: it has forgotten its size or its settings"),
        ("nameless", "the task nameless of the package strangers-tasks must have this name, and sizes"),
        ("no_task", "the task no_task of the package strangers-tasks is no subclass of btard.tasks.base.Task"),
        ("gpt", "the task gpt is claimed by btard and strangers-tasks: uninstall all of them but one"),
    ],
)
def test_what_is_wrong_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        load_task(text, "tiny")
    assert str(caught.value).startswith(sentence) and "\n" not in str(caught.value)


@pytest.mark.usefixtures("strangers")
def test_settings_are_checked_before_data_are_loaded() -> None:
    check_task("forgetful:width=3", "tiny")
    with pytest.raises(UserError, match="is 0, but must be"):
        check_task("forgetful:width=0", "tiny")


def test_a_name_is_checked_without_its_settings() -> None:
    assert chosen_task("gpt:width=1") == Named("gpt", {"width": "1"})
    with pytest.raises(UserError, match="there is no task 'chess'"):
        chosen_task("chess:board=8")
