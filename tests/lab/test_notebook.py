"""The notebook of the guide runs from top to bottom, and shows what its text says."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "docs" / "laboratory" / "laboratory.ipynb"

pytestmark = pytest.mark.slow


def test_the_notebook_runs_from_top_to_bottom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # threads that share cores with other tests mostly wait for each other
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    said = "\n".join(output.get("text", "") for cell in cells for output in cell.outputs)
    found = re.search(r"changes the best accuracy by ([-\d.]+) ± ([\d.]+) \(9 seeds\)", said)
    assert found is not None and float(found[1]) > float(found[2]) > 0, "momentum at workers helps, beyond the interval"
    pictures = [output for cell in cells for output in cell.outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 2
