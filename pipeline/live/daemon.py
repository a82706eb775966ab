"""`btard-peer`, which also takes a stage where the run's model is cut into some."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from btard.peer.daemon import run as run_peer

if TYPE_CHECKING:
    from btard.identity import Envelope
    from btard.peer.assembly import Local
    from btard.swarm.manifest import RunManifest


def run(argv: Sequence[str]) -> int:
    """Run a peer until the run is over, and return its exit code; see `btard.peer.daemon.run`.

    Raises:
        UserError: bad settings, no run at the address, a run that this peer cannot serve.
    """
    return run_peer(argv, take_stage)


async def take_stage(local: Local, signed: Envelope, manifest: RunManifest) -> int:
    """Take part in a pipeline until it is over, and return the exit code.

    Raises:
        UserError: the run's data or model cannot be had here.
    """
    import torch

    from btard.peer.meeting.joining import load_run_task
    from btard.peer.meeting.knocking import Knocker
    from btard.pipeline.defence.scheduled import stage_behaviour
    from btard.pipeline.live.build import StageBuilder
    from btard.pipeline.live.peer import LivePeer
    from btard.swarm.door.reception import Reception
    from btard.swarm.events.log import EventLog
    from btard.swarm.events.peer import PeerEvent
    from btard.swarm.events.reading import EVENTS_FILE

    torch.set_num_threads(1)  # several round differently from one call to the next
    loop, settings, transport = asyncio.get_running_loop(), local.settings, local.node.transport
    assert manifest.pipeline is not None
    in_rounds = manifest.pipeline.replicas > 1
    behaviour = stage_behaviour(settings, settings, local.key.peer_id, averages=in_rounds)
    task = await loop.run_in_executor(None, load_run_task, settings, manifest)
    builder = await loop.run_in_executor(None, StageBuilder, manifest, task, settings.directory, behaviour)
    with EventLog[PeerEvent](settings.directory / EVENTS_FILE) as events:
        reception, folder = Reception(signed), settings.directory
        peer = LivePeer(local.key, local.behaviour, signed.author, builder, transport, reception, folder, events)
        knocker = Knocker(transport, manifest, local.node.maddrs)
        knocker.knock_at([signed.author])
        knocking = asyncio.ensure_future(knocker.run())
        try:
            return await peer.run()
        finally:
            knocking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await knocking
