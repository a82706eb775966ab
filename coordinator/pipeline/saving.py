"""The last states of all stages, fetched from the peers that hold them and written to the run's directory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

from btard.coordinator.run_directory import RunDirectory
from btard.durable import write_durably
from btard.hashing import Payload
from btard.outline import Outline
from btard.pipeline.seats.usher import Usher
from btard.pipeline.stages.partition import stage_file
from btard.swarm.manifest import RunManifest
from btard.swarm.questions import Question, Want
from btard.swarm.transfer.download import download_state
from btard.transport.libp2p import Libp2pTransport

logger = logging.getLogger(__name__)

SAVE_SECONDS = 600.0
"""Seconds in which a stage's state must be here."""

_BYTES_A_NUMBER = 16


async def save_stages(
    transport: Libp2pTransport,
    directory: RunDirectory,
    manifest: RunManifest,
    step: int,
    states: Sequence[bytes],
    usher: Usher,
) -> Path | None:
    """Write the state of each stage into the checkpoint of a step, and return its folder; None if one is missing."""
    folder = directory.checkpoint(step)
    for stage, wanted in enumerate(states):

        async def load(data: Payload, stage: int = stage) -> bytes:
            def write() -> bytes:
                folder.mkdir(parents=True, exist_ok=True)
                write_durably(folder / stage_file(stage), bytes(data))
                return Outline.of((data,)).digest

            return await asyncio.to_thread(write)

        source = await download_state(
            transport,
            usher.holders(wanted),
            Question(want=Want.STATE, known=wanted.hex()),
            load,
            wanted,
            arriving=directory.arriving,
            limit=_BYTES_A_NUMBER * manifest.dimension + (1 << 20),
            timeout_seconds=SAVE_SECONDS,
        )
        if source is None:
            logger.error("the state of stage %d before step %d cannot be saved: no peer shows it", stage, step)
            return None
    logger.info("the states of all stages before step %d are in %s", step, folder)
    return folder
