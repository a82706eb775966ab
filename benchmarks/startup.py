"""Time from `btard-peer` typed to "joined", and `btard --help`, on a warm cache; every program is a process of its own.

python -m benchmarks.startup
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BIN = Path(sys.executable).parent
PATIENCE = 120.0


def await_line(process: subprocess.Popen[str], pattern: str) -> re.Match[str]:
    """Return the match of the first line of standard error that has the pattern; raises RuntimeError at its end."""
    assert process.stderr is not None
    for line in process.stderr:
        if match := re.search(pattern, line):
            return match
    raise RuntimeError(f"{process.args} ended without saying {pattern!r}")


def joined_after(task: str, directory: Path) -> float:
    """Return the seconds that a peer needs until it says that it joined a coordinator that waits for one peer."""
    words = f"--experiment startup --task {task} --size tiny --host 127.0.0.1 --dht-port 0 --peers 1"
    coordinator = subprocess.Popen(
        [BIN / "btard-coordinator", *words.split(), "--directory", directory / "coordinator"],
        stderr=subprocess.PIPE,
        text=True,
    )
    address = await_line(coordinator, r"--initial-peers (\S+)").group(1)
    start = time.monotonic()
    peer = subprocess.Popen(
        [BIN / "btard-peer", "--initial-peers", address, "--host", "127.0.0.1", "--directory", directory / "peer"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        await_line(peer, r"\bjoined\b")
        return time.monotonic() - start
    finally:
        for process in (peer, coordinator):
            process.terminate()
        for process in (peer, coordinator):
            process.communicate(timeout=PATIENCE)


def help_after() -> float:
    """Return the seconds of `btard --help`."""
    start = time.monotonic()
    subprocess.run([BIN / "btard", "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - start


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="gpt", help="what the run trains (default: gpt)")
    parser.add_argument("--rounds", type=int, default=3, help="runs after one to warm up (default: 3)")
    arguments = parser.parse_args()
    joins = []
    for _ in range(arguments.rounds + 1):
        with tempfile.TemporaryDirectory() as directory:
            joins.append(joined_after(arguments.task, Path(directory)))
    helps = [help_after() for _ in range(10)]
    for name, taken in (("btard-peer to joined", joins[1:]), ("btard --help", helps)):
        print(f"{name}: median {statistics.median(taken):.2f} s, min {min(taken):.2f}, max {max(taken):.2f}")


if __name__ == "__main__":
    main()
