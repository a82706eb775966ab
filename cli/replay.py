"""`btard replay RUN_DIR`: show a run, over or not, on the page that its coordinator serves while it lives."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

ADDRESS = ":8080"


def main(argv: Sequence[str]) -> int:
    """Serve the page until Ctrl-C and return the exit code.

    Raises:
        UserError: there is no run, or nothing can listen at the address.
    """
    parser = argparse.ArgumentParser(prog="btard replay", description=__doc__)
    parser.add_argument("directory", type=Path, metavar="RUN_DIR", help="of a coordinator, or of btard swarm")
    parser.add_argument(
        "--dashboard",
        default=ADDRESS,
        metavar="ADDRESS",
        help="where to serve: :PORT of this machine alone, or HOST:PORT with a token (default %(default)s)",
    )
    parser.add_argument("--dashboard-token-file", type=Path, metavar="PATH", help="file with the page's token")
    arguments = parser.parse_args(argv)

    from btard.coordinator.dashboard.service import Dashboard, replay
    from btard.coordinator.dashboard.source import coordinator_directory
    from btard.errors import UserError
    from btard.swarm.http.address import check_address

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    directory = coordinator_directory(arguments.directory)
    try:
        check_address(arguments.dashboard)
    except ValueError as error:
        raise UserError(f"--dashboard is {arguments.dashboard!r}, but {error}") from None
    replay(directory, Dashboard(arguments.dashboard, arguments.dashboard_token_file))
    return 0
