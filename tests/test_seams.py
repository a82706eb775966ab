"""A stranger adds to this project what it does not know: one file each, and one line that names it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

from tests.quick import quick
from tests.test_layers import MAY_IMPORT, imported

ROOT = Path(__file__).parents[1]
GROUPS = ("btard.rules", "btard.pre_aggregators", "btard.tasks", "btard.behaviours")

RULE = '''
    """The mean of the middle values of every coordinate."""

    from dataclasses import dataclass

    import torch

    from btard.aggregation.rows import check_rows
    from btard.aggregation.rule import AggregationResult, Rule


    @dataclass(frozen=True)
    class Middle(Rule):
        """Of n sorted values it leaves out as many as may lie, and `more`, on both sides."""

        more: int = 0

        def aggregate(self, rows, *, n_byzantine):
            """Return the mean of what is left."""
            checked = check_rows(rows)
            out = min(n_byzantine + self.more, (len(checked) - 1) // 2)
            columns = torch.stack(list(checked.rows)).double().sort(0).values
            return AggregationResult(columns[out : len(checked) - out].mean(0).float())
'''

TASK = '''
    """Tells odd numbers from even ones."""

    import torch
    from blake3 import blake3

    from btard.tasks.base import Batch, Schedule, Task
    from btard.tasks.randomness import SeededDraws
    from btard.tasks.settings import TaskSettings


    class Parity(Task):
        """Batches hold 8 bits of each number, and whether it is odd."""

        name = "parity"
        sizes = ("tiny",)

        @classmethod
        def load(cls, size, settings, data):
            """Make the task; there are no data to be found."""
            data.refuse_own(cls.name)
            return cls(size, blake3(b"parity 1").hexdigest(), Schedule(0.1, 0, 100), TaskSettings())

        def _construct_model(self):
            return torch.nn.Linear(8, 2)

        def build_optimizer(self, model, schedule=None):
            chosen = schedule or self.schedule
            optimizer = torch.optim.SGD(model.parameters(), lr=chosen.learning_rate, foreach=False)
            return optimizer, chosen.scheduler(optimizer)

        def batch(self, seed, batch_size):
            """Draw numbers by a seed."""
            return self._of(torch.from_numpy(SeededDraws(seed).integers("numbers", batch_size, 256)))

        def label_flipped(self, batch):
            """Call odd even, and even odd."""
            return batch.replaced(odd=1 - batch.tensors["odd"])

        def evaluation_batch(self):
            """All numbers."""
            return self._of(torch.arange(256))

        def _of(self, numbers):
            bits = (numbers[:, None] >> torch.arange(8)) % 2
            return Batch({"bits": bits.float(), "odd": numbers % 2}, len(numbers))

        def _loss(self, model, batch):
            return torch.nn.functional.cross_entropy(model(batch.tensors["bits"]), batch.tensors["odd"])
'''

BEHAVIOUR = '''
    """Sends its gradient threefold."""

    from btard.byzantine.attacker import Attacker


    class Threefold(Attacker):
        """Honest until the schedule says otherwise."""

        name = "THREEFOLD"

        def gradient(self, step, gradient):
            return 3.0 * gradient if self.attacks(step) else gradient
'''


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """Return an empty folder on the path with what an installer writes beside a package."""
    folder = tmp_path / "stranger"
    (folder / "stranger-1.0.dist-info").mkdir(parents=True)
    (folder / "stranger-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    return folder


def add(stranger: Path, module: str, source: str, group: str, entry: str) -> None:
    """Write one file, and one line below the heading of its group."""
    (stranger / f"{module}.py").write_text(textwrap.dedent(source))
    with (stranger / "stranger-1.0.dist-info" / "entry_points.txt").open("a") as file:
        file.write(f"[{group}]\n{entry}\n")


def btard(stranger: Path, *words: str) -> str:
    """Run the program with the stranger's folder on its path, and return its output."""
    environment = {**os.environ, "PYTHONPATH": f"{stranger}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-m", "btard.cli.main", *words]
    cwd = stranger.parent
    result = subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_a_behaviour_is_one_file_and_one_line(stranger: Path) -> None:
    add(stranger, "threefold", BEHAVIOUR, "btard.behaviours", "THREEFOLD = threefold:Threefold")
    swarm = ("simulate", "--peers", "6", "--byzantine", "1", "--attack", "THREEFOLD", "--validators", "2")
    told = btard(stranger, *swarm, "--steps", "12", "--seed", "1")
    assert re.search(r"all attackers out +\d+ steps after the first attack", told), told
    assert re.search(r"honest peers banned +0", told)


@pytest.mark.parametrize("rule", quick(1, ["middle:more=1", "middle"]))
def test_a_rule_is_one_file_and_one_line(rule: str, stranger: Path) -> None:
    add(stranger, "middle", RULE, "btard.rules", "middle = middle:Middle")
    swarm = ("simulate", "--peers", "6", "--rule", rule, "--steps", "6", "--seed", "1")
    honest = btard(stranger, *swarm)
    assert re.search(r"honest peers banned +0", honest) and re.search(r"attempts that failed +0", honest), honest
    told = btard(stranger, *swarm, "--byzantine", "1", "--attack", "WRONG_AGGREGATE", "--validators", "0")
    assert re.search(r"all attackers out +\d+ steps? after the first attack", told), told
    assert re.search(r"honest peers banned +0", told)


@pytest.mark.swarm
def test_a_real_swarm_runs_a_strangers_task_rule_and_liar(stranger: Path) -> None:
    add(stranger, "parity", TASK, "btard.tasks", "parity = parity:Parity")
    add(stranger, "middle", RULE, "btard.rules", "middle = middle:Middle")
    add(stranger, "threefold", BEHAVIOUR, "btard.behaviours", "THREEFOLD = threefold:Threefold")
    liar = ("--byzantine", "1", "--attack", "THREEFOLD", "--attack-start", "1", "--validators", "2")
    swarm = ("swarm", "--peers", "5", *liar, "--task", "parity", "--rule", "middle:more=0", "--steps", "20")
    told = btard(stranger, *swarm, "--directory", "run")
    assert "every attacker was banned" in told and "no honest peer was banned" in told
    summary = json.loads((stranger.parent / "run" / "summary.json").read_text())
    assert (summary["task"], summary["steps"]) == ("parity", 20)
    assert summary["final_loss"] < summary["first_loss"]


def test_nothing_but_its_line_knows_a_rule_or_a_task() -> None:
    """A behaviour may be another's base, and a study may use one; a rule may be made of another."""
    entries = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    modules = {target.split(":")[0]: group for group in GROUPS for target in entries[group].values()}
    files = [path for top in MAY_IMPORT for path in (ROOT / top).rglob("*.py")]
    found = {(name, str(path.relative_to(ROOT))) for path in files for name in imported(path) if name in modules}
    rules = {(name, path) for name, path in found if modules[name] == "btard.rules"}
    assert {path for _, path in rules if path.count("/") != 3 or not path.startswith("btard/aggregation/")} == {
        "btard/aggregation/__init__.py"
    }
    assert {(name, path) for name, path in found if modules[name] not in ("btard.behaviours", "btard.rules")} == {
        ("btard.tasks.digits", "lab/simulation/workload.py"),
    }
    knowing = {path.split("/")[0] for name, path in found if modules[name] == "btard.behaviours"}
    assert knowing <= {"byzantine", "lab"}


def test_the_guide_says_how() -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text()
    for group in GROUPS:
        assert f'[project.entry-points."{group}"]' in guide
    for document in re.findall(r"\]\(([\w/.-]+)\)", guide):
        assert (ROOT / document).is_file(), document
