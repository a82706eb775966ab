"""`--help` of every program: it says how the program is used, and imports nothing that keeps people waiting."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from benchmarks.startup import SCRIPTS, programs
from btard.configuration import installed_settings
from tests.mutants.plugin import PLANTED

HEAVY = ("torch", "numpy", "hivemind", "transformers", "datasets", "matplotlib", "wandb")

ASK_ALL = """
import contextlib, importlib, io, json, sys
import tests.mutants.plugin

scripts, programs, heavy = json.loads(sys.argv[1])
for program in programs:
    sys.argv = [*program.split(), "--help"]
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        try:
            code = importlib.import_module(scripts[sys.argv[0]]).main()
        except SystemExit as leaving:
            code = leaving.code
    print(program, code, said.getvalue().startswith("usage: " + sys.argv[0]), *sorted(sys.modules.keys() & set(heavy)))
"""


def test_help_of_every_program_imports_nothing_heavy() -> None:
    words = json.dumps([SCRIPTS, programs(), HEAVY])
    planted = {} if PLANTED is None else {"TEST_MUTANT": PLANTED}
    said = subprocess.check_output([sys.executable, "-c", ASK_ALL, words], text=True, env=os.environ | planted)
    assert said.splitlines() == [f"{program} 0 True" for program in programs()]


def test_every_program_with_settings_is_among_them() -> None:
    assert installed_settings().keys() <= set(programs())
