from __future__ import annotations

import json
import threading
import time
from multiprocessing import active_children
from pathlib import Path
from typing import Any

from btard.lab.sweep.local import run_locally
from btard.lab.sweep.running import Order, RunEnd

BASE = {"task": "digits", "workers": 5, "steps": 4, "evaluate_every": 2, "learning_rate": 0.1, "batched": "off"}


def order(output: Path, **changes: Any) -> Order:
    return Order(json.dumps({**BASE, **changes}), output)


def test_a_process_that_dies_costs_its_run_alone(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    long = order(tmp_path / "runs" / "long", steps=100000)
    short = [order(tmp_path / "runs" / f"short{number}", seed=number) for number in range(3)]

    def kill_the_busy_one() -> None:
        deadline = time.monotonic() + 120
        while not (tmp_path / "runs" / "long.pending" / "steps.csv").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        for child in active_children():
            child.kill()

    killer = threading.Thread(target=kill_the_busy_one)
    killer.start()
    found = dict(run_locally([long, *short], jobs=1, threads=1, stopped=lambda: False))
    killer.join()
    assert found[long].end is RunEnd.FAILED and "exit code -9" in found[long].reason
    assert all(found[one].end is RunEnd.COMPLETE for one in short)


def test_a_sweep_that_is_stopped_goes_on_later(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    long = order(tmp_path / "runs" / "long", steps=100000)
    never = order(tmp_path / "runs" / "never")
    begun = tmp_path / "runs" / "long.pending" / "steps.csv"
    found = dict(
        run_locally([long, never], jobs=1, threads=1, stopped=lambda: begun.exists() and begun.stat().st_size > 500)
    )
    assert {one.output.name: outcome.end for one, outcome in found.items()} == {"long": RunEnd.INTERRUPTED}
    assert any(begun.parent.glob("checkpoint*")), "and it goes on from there"
