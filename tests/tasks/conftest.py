"""Small tasks that every test shares; one thread, because two workers share two cores."""

from pathlib import Path

import pytest
import torch

from btard.tasks.albert import AlbertTask
from btard.tasks.base import DataRequest, Task
from btard.tasks.data.spec import DataSpec, SourceKind
from btard.tasks.digits import DigitsTask
from btard.tasks.gpt import GptTask
from btard.tasks.registry import load_task
from btard.tasks.settings import TaskSettings

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def corpus_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text of 60,000 characters with sentences, paragraphs and every letter."""
    sentence = "the quick brown fox jumps over a lazy dog while seven vexed wizards box quietly in my zoo"
    words = sentence.split()
    lines = []
    for number in range(1_000):
        picked = [words[(number * step + step * step) % len(words)] for step in range(1, 11)]
        lines.append(" ".join(picked).capitalize() + (".\n\n" if number % 7 == 0 else ".\n"))
    file = tmp_path_factory.mktemp("corpus") / "words.txt"
    file.write_text("".join(lines), encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def corpus_spec(corpus_file: Path) -> DataSpec:
    return DataSpec(kind=SourceKind.TEXT, location=str(corpus_file))


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def gpt(corpus_spec: DataSpec, cache_dir: Path) -> GptTask:
    return GptTask.load("tiny", TaskSettings(), DataRequest(corpus_spec, cache_dir))


@pytest.fixture(scope="session")
def albert(corpus_spec: DataSpec, cache_dir: Path) -> AlbertTask:
    return AlbertTask.load("tiny", TaskSettings(), DataRequest(corpus_spec, cache_dir))


@pytest.fixture(scope="session")
def digits() -> DigitsTask:
    return DigitsTask()


@pytest.fixture(scope="session")
def images() -> Task:
    return load_task("images:model=empire_cnn,transform=crop_flip_normalise", "tiny")


@pytest.fixture(scope="session")
def regression() -> Task:
    return load_task("regression", "tiny")


@pytest.fixture(scope="session")
def sentences() -> Task:
    return load_task("sentences", "tiny")


@pytest.fixture(params=["gpt", "albert", "digits", "images", "regression", "sentences"])
def task(request: pytest.FixtureRequest) -> Task:
    """Each task in its smallest size."""
    return request.getfixturevalue(request.param)
