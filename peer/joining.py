"""From an address to a run: the manifest, the task that fits it, and the first roster."""

from __future__ import annotations

import asyncio
import logging

from btard.errors import UserError
from btard.identity import Envelope, Malformed, MessageKind, PeerId
from btard.round.roster import Roster
from btard.transport.libp2p import Records
from btard.version import PROTOCOL_VERSION
from peer.manifest import MANIFEST_KEY, RunManifest
from peer.records import RosterRecord, read_records, roster_key
from peer.settings import PeerSettings
from tasks.base import Task
from tasks.data.hub import HubAccess
from tasks.data.spec import DataSpec
from tasks.data.tables import GIB
from tasks.registry import check_task, load_task

logger = logging.getLogger(__name__)

POLL = 0.3
"""Seconds between two looks into the DHT while joining."""

_PATIENCE = 3.0
"""Seconds that a manifest of an initial peer's own is preferred to any other that is found."""


async def find_manifest(records: Records, known: set[PeerId], timeout: float) -> tuple[PeerId, RunManifest]:
    """Return the coordinator's id and the manifest that it signed.

    Args:
        known: ids of the initial peers; a manifest that one of them signed is preferred to any other.
        timeout: seconds to look.

    Raises:
        UserError: none is there, several are and none is an initial peer's, or it cannot be served.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    patient_until = loop.time() + min(_PATIENCE, timeout / 2)
    while True:
        found = {a: e for a, e in (await records.read(MANIFEST_KEY)).items() if e.kind is MessageKind.MANIFEST}
        candidates = {author: envelope for author, envelope in found.items() if author in known}
        if not candidates and (not known or loop.time() > patient_until):
            candidates = found
        if len(candidates) == 1:
            ((author, envelope),) = candidates.items()
            return author, _readable(envelope)
        if len(candidates) > 1:
            names = ", ".join(str(author) for author in candidates)
            raise UserError(
                f"several runs are announced there, by the coordinators {names}; give the address of the right one "
                "as an initial peer"
            )
        if loop.time() > deadline:
            raise UserError(
                f"no run is announced there within {timeout:g} s; check that a btard-coordinator runs at the address"
            )
        await asyncio.sleep(POLL)


def _readable(envelope: Envelope) -> RunManifest:
    try:
        manifest = RunManifest.from_envelope(envelope)
    except Malformed as error:
        raise UserError(
            f"the run's manifest cannot be read ({error}); its coordinator probably runs another version"
        ) from None
    if manifest.protocol != PROTOCOL_VERSION:
        raise UserError(
            f"the run speaks protocol version {manifest.protocol}, this peer speaks {PROTOCOL_VERSION}; install the "
            "version that the coordinator runs"
        )
    return manifest


def check_local_settings(settings: PeerSettings, manifest: RunManifest) -> None:
    """Check what this peer was told against the manifest.

    Raises:
        UserError: the clipping radius contradicts the run's.
    """
    if settings.tau is not None and settings.tau != manifest.tau:
        raise UserError(
            f"HIVEMIND_TAU or CCLIP_TAU asks for a clipping radius of {settings.tau:g}, but all peers of this run use "
            f"{manifest.tau:g}; unset it, or set it for the coordinator"
        )


def load_run_task(settings: PeerSettings, manifest: RunManifest) -> Task:
    """Return the run's task with this machine's data.

    The manifest is a stranger's: of this machine's files only those are read that its owner has named.

    Raises:
        UserError: no such task here, more than the owner allows, no data, or data with another fingerprint.
    """
    check_task(manifest.task, manifest.size)
    check_sizes(settings, manifest)
    own = None if settings.data is None else DataSpec.parse(settings.data)
    spec = manifest.data.spec(own, settings.tokenizer, manifest.fingerprint)
    access = HubAccess(most_bytes=int(settings.max_data * GIB), signed_in=own is not None)
    task = load_task(manifest.task, manifest.size, spec, settings.cache_dir, access=access)
    if task.fingerprint != manifest.fingerprint:
        raise UserError(
            f"this machine's data have the fingerprint {task.fingerprint[:16]}, but the run trains on "
            f"{manifest.fingerprint[:16]}; give the same corpus by --data, or install the package version that has it"
        )
    return task


def check_sizes(settings: PeerSettings, manifest: RunManifest) -> None:
    """Check that a run asks no more of this machine than its owner allows, before anything is allocated for it.

    Raises:
        UserError: it does; the sentence names the number and the setting.
    """
    for what, asked, allowed, setting in (
        ("batches of {:,} samples", manifest.batch_size, settings.max_batch, "max-batch"),
        ("a model of {:,} numbers", manifest.dimension, settings.max_dimension, "max-dimension"),
    ):
        if asked > allowed:
            raise UserError(
                f"the run has {what.format(asked)}, but --{setting} allows {allowed:,} on this machine; raise it to "
                "take part"
            )


async def read_roster(records: Records, coordinator: PeerId, run: bytes) -> RosterRecord | None:
    """Return the roster that the coordinator has published last, or None before the first."""
    found = await records.read(roster_key(run))
    mine = {author: envelope for author, envelope in found.items() if author == coordinator}
    return read_records(mine, RosterRecord, run, MessageKind.GENESIS).get(coordinator)


async def wait_for_roster(records: Records, coordinator: PeerId, run: bytes) -> tuple[Roster, bool]:
    """Wait for the first roster of the run.

    Returns:
        The newest roster that the coordinator knows, and whether the run is over.
    """
    while True:
        record = await read_roster(records, coordinator, run)
        if record is not None:
            try:
                return record.unpack(), record.finished
            except Malformed as error:
                logger.warning("the coordinator's roster cannot be read: %s", error)
        await asyncio.sleep(POLL)
