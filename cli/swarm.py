"""`btard swarm`: a coordinator and peers on this machine, watched until the run is over."""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str]) -> int:
    """Run a swarm as the words say and return the exit code.

    Raises:
        UserError: the words are wrong, or the swarm failed.
    """
    from btard.configuration import load_settings
    from btard.deploy.local.settings import SwarmSettings

    settings = load_settings(SwarmSettings, argv, program="btard swarm")

    from rich.console import Console

    from btard.deploy.local.swarm import report, run_swarm

    console = Console()
    report(run_swarm(settings, console), console)
    return 0
