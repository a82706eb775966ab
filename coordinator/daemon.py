"""`btard-coordinator`: from settings to a running coordinator, and an orderly end whatever happens."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Coroutine, Sequence
from typing import Any

from btard.configuration import load_settings
from btard.coordinator.settings import CoordinatorSettings
from btard.logs import configure_logging
from btard.vocabulary import ExitCode

logger = logging.getLogger("btard.coordinator")

PROGRAM = "btard-coordinator"


def run(argv: Sequence[str]) -> int:
    """Run the coordinator until its run is over, and return the exit code.

    0: the run is over, or SIGTERM; 1: over without its last checkpoint; 130: Ctrl-C.

    Raises:
        UserError: bad settings, data or checkpoint, an unwritable directory, a port in use.
    """
    settings = load_settings(CoordinatorSettings, argv, program=PROGRAM)
    configure_logging(settings.log_format)
    # What follows these takes seconds to import, for which --help and mistakes do not wait.
    from btard.coordinator.local_facts import check_local_facts
    from btard.coordinator.ports import take_ports

    check_local_facts(settings)
    ports = take_ports(settings)
    import uvloop

    from btard.coordinator.assembly import CoordinatorPlan, serve
    from btard.coordinator.manifest_maker import prepare_run
    from btard.coordinator.run_directory import RunDirectory
    from btard.swarm.addresses import announce_maddrs, listen_maddrs

    listen = listen_maddrs(settings.host, settings.dht_port)
    announce = announce_maddrs(settings.announce, settings.dht_port)
    directory = RunDirectory(settings.directory)
    prepared = prepare_run(settings, directory)
    return uvloop.run(_until_signalled(serve(CoordinatorPlan(settings, prepared, directory, listen, announce, ports))))


async def _until_signalled(serving: Coroutine[Any, Any, int]) -> int:
    """Serve until the run is over, a signal comes, or the network fails."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(serving)
    ended_by: list[signal.Signals] = []

    def interrupt(number: signal.Signals) -> None:
        ended_by.append(number)
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt, number)
    try:
        return await task
    except asyncio.CancelledError:
        logger.info("ended by %s; the same command goes on with the run", ended_by[0].name if ended_by else "itself")
        return ExitCode.INTERRUPTED if signal.SIGINT in ended_by else ExitCode.FINISHED
