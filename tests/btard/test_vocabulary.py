"""The shared words: that they cost nothing, and that sizes are those of the types."""

from __future__ import annotations

import subprocess
import sys

import pytest

from btard.vectors.partition import dtype_of
from btard.vocabulary import WireType


@pytest.mark.parametrize("module", ["btard.vocabulary", "btard.round.rules"])
def test_names_and_rules_import_no_torch(module: str) -> None:
    script = f"import sys, {module}; print(*{{'torch', 'numpy', 'hivemind'}} & sys.modules.keys())"
    assert subprocess.check_output([sys.executable, "-c", script], text=True).split() == []


@pytest.mark.parametrize("wire", WireType)
def test_a_number_has_the_size_of_its_type(wire: WireType) -> None:
    assert wire.size == dtype_of(wire).itemsize
