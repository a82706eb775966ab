import subprocess
import sys
from pathlib import Path

import pytest

from btard.errors import UserError
from btard.tasks.albert import AlbertSize
from btard.tasks.data.spec import DataSpec
from btard.tasks.gpt import GptSize
from btard.tasks.registry import TASK_SIZES, load_task


def test_it_loads_every_task(corpus_spec: DataSpec, cache_dir: Path) -> None:
    for name in TASK_SIZES:
        task = load_task(name, "tiny", DataSpec() if name == "digits" else corpus_spec, cache_dir)
        assert (task.name, task.size) == (name, "tiny")
        assert len(bytes.fromhex(task.fingerprint)) == 32


def test_the_listed_sizes_are_the_tasks_own() -> None:
    assert TASK_SIZES["gpt"] == tuple(GptSize)
    assert TASK_SIZES["albert"] == tuple(AlbertSize)


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(UserError, match="no task 'bert'; known tasks are albert, digits, gpt"):
        load_task("bert", "tiny")
    with pytest.raises(UserError, match="gpt has no size 'huge'; it has tiny, small"):
        load_task("gpt", "huge")


def test_importing_the_registry_is_cheap() -> None:
    program = (
        "import sys, btard.tasks, btard.tasks.registry\n"
        "print({'torch', 'transformers', 'numpy', 'datasets'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
