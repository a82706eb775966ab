"""`python -m btard.cli.health [DIRECTORY]`: whether the daemon of a run directory lives, told by the exit code.

The daemon touches a file every few seconds, from its event loop and only after its p2pd has answered. This module
imports nothing heavy, since it is started twice a minute.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from btard.vocabulary import HEARTBEAT_FILE, ExitCode

MOST_SECONDS = 60.0
"""A heartbeat that is older means that the event loop or p2pd hangs, or that the daemon has ended."""

HEALTHY, UNHEALTHY = 0, 1


def main(argv: Sequence[str] | None = None) -> int:
    """Print one sentence; return 0 for a daemon that lives, 1 for one that does not, 2 for no directory to look at."""
    words = sys.argv[1:] if argv is None else list(argv)
    directory = words[0] if words else os.environ.get("BTARD_DIRECTORY")
    if directory is None or len(words) > 1:
        print("usage: python -m btard.cli.health DIRECTORY (or BTARD_DIRECTORY in the environment)", file=sys.stderr)
        return ExitCode.USER_ERROR
    try:
        age = time.time() - (Path(directory) / HEARTBEAT_FILE).stat().st_mtime
    except OSError as error:
        print(f"no daemon runs in {directory}: {error.strerror}")
        return UNHEALTHY
    alive = abs(age) <= MOST_SECONDS
    print(f"the daemon's last heartbeat is {age:.0f} s old{'' if alive else ': it hangs, or has ended'}")
    return HEALTHY if alive else UNHEALTHY


if __name__ == "__main__":
    sys.exit(main())
