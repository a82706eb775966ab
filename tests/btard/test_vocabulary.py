"""The shared words: that they cost nothing, and that sizes are those of the types."""

from __future__ import annotations

import subprocess
import sys

import pytest

from btard.round.vectors.partition import dtype_of
from btard.vocabulary import WireType


@pytest.mark.parametrize("module", ["btard.vocabulary", "btard.round.rules"])
def test_names_and_rules_import_no_torch(module: str) -> None:
    script = f"import sys, {module}; sys.exit(' '.join({{'torch', 'numpy', 'hivemind'}} & sys.modules.keys()))"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("wire", WireType)
def test_a_number_has_the_size_of_its_type(wire: WireType) -> None:
    assert wire.size == dtype_of(wire).itemsize
