"""Plants the bugs of the catalogue, one at a time, and runs the test that must find each.

`python -m tests.mutants.run [PART OF A NAME ...]`; `--table` prints the table of the guide instead. The exit code is 0
when every test passes without the bug and fails with it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutants.catalogue import MUTANTS

ROOT = Path(__file__).parents[2]
TIMEOUT = 300.0
_FAILED = 1


def _pytest(nodes: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    words = ["-q", "-x", "-p", "no:xdist", "-p", "no:cacheprovider", "-p", "tests.mutants.plugin", "-o", "addopts="]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *words, *nodes],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )


def verdict(number: int) -> str:
    """Return how the named test did with the bug planted: "found", or what happened instead."""
    try:
        result = _pytest([MUTANTS[number].test], {"TEST_MUTANT": str(number)})
    except subprocess.TimeoutExpired:
        return "ran out of time"
    if result.returncode == _FAILED:
        return "found"
    if result.returncode == 0:
        return "NOT FOUND"
    return f"could not be run:\n{result.stdout[-2000:]}{result.stderr[-2000:]}"


def table() -> str:
    """Return the catalogue as a table for the guide."""
    rows = [f"| {m.name} | `{m.file}` | `{m.test.removeprefix('tests/').partition('[')[0]}` |" for m in MUTANTS]
    return "\n".join(["| the bug | planted in | found by, in `tests/` |", "|---|---|---|", *rows])


def main(wanted: list[str]) -> int:
    """Run the mutants whose names contain one of the words, or all; 2 when there are none."""
    if wanted == ["--table"]:
        print(table())
        return 0
    numbers = [i for i, m in enumerate(MUTANTS) if not wanted or any(word in m.name for word in wanted)]
    if not numbers:
        print(f"there is no mutant with {' or '.join(wanted)} in its name", file=sys.stderr)
        return 2
    clean = _pytest(sorted({MUTANTS[i].test for i in numbers}), {})
    if clean.returncode != 0:
        print(f"the tests do not pass as they are:\n{clean.stdout[-4000:]}{clean.stderr[-2000:]}")
        return 1
    with ThreadPoolExecutor(2) as pool:
        verdicts = list(pool.map(verdict, numbers))
    for number, told in zip(numbers, verdicts, strict=True):
        print(f"{told:9} {MUTANTS[number].name}  ({MUTANTS[number].test.split('::', 1)[1]})")
    found = verdicts.count("found")
    print(f"{found} of {len(numbers)} found")
    return 0 if found == len(numbers) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
