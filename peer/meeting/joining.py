"""From an address to a run: the manifest that the named peers tell, and the task that fits it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection

from btard.byzantine.settings import LieName
from btard.errors import UserError
from btard.identity import Envelope, Malformed, MessageKind, PeerId
from btard.peer.settings import PeerSettings
from btard.swarm.manifest import MAX_MANIFEST_ENVELOPE, RunManifest
from btard.swarm.questions import Question, Want
from btard.tasks.base import Task
from btard.tasks.data.hub import HubAccess
from btard.tasks.data.spec import DataSpec
from btard.tasks.data.tables import GIB
from btard.tasks.registry import check_task, load_task
from btard.transport.libp2p import FetchError, Libp2pTransport
from btard.version import PROTOCOL_VERSION

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.3
"""Seconds between two looks while joining."""

_PATIENCE_SECONDS = 3.0
"""Seconds that the other named peers still have after one has told the manifest."""

_ANSWER_SECONDS = 5.0
"""Seconds in which a named peer must answer; one that does not is asked again."""


class NoRunAnnounced(UserError):
    """None of the peers that were asked tells of a run: it may do so later."""


async def find_manifest(
    transport: Libp2pTransport, named: Collection[PeerId], timeout_seconds: float
) -> tuple[Envelope, RunManifest]:
    """Ask the peers that the user named for the manifest of their run, over streams that prove their ids.

    Nobody else is asked, and of several named peers all that answer must tell of the same run.

    Args:
        named: the initial peers.
        timeout_seconds: seconds until one of them must have told a manifest.

    Returns:
        The manifest as its coordinator has signed it, to be handed on, and what it says.

    Raises:
        NoRunAnnounced: none answers.
        UserError: they tell of different runs, or the run cannot be served.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_seconds
    patience_seconds = min(_PATIENCE_SECONDS, timeout_seconds / 2)
    told: dict[PeerId, Envelope] = {}
    failures: dict[PeerId, str] = {}
    while True:
        silent = [peer for peer in named if peer not in told]
        answers = await asyncio.gather(*(_ask_manifest(transport, peer, deadline - loop.time()) for peer in silent))
        for peer, answer in zip(silent, answers, strict=True):
            if isinstance(answer, Envelope):
                if not told:
                    deadline = min(deadline, loop.time() + patience_seconds)
                told[peer] = answer
            else:
                failures[peer] = answer
        if len(told) == len(named) or loop.time() > deadline:
            break
        await asyncio.sleep(POLL_SECONDS)
    if not told:
        said = "; ".join(f"{peer}: {failures[peer]}" for peer in named)
        raise NoRunAnnounced(
            f"no run is announced within {timeout_seconds:g} s by the initial peers, and nobody else is asked ({said});"
            " check that a btard-coordinator runs at the address"
        )
    _refuse_different(told)
    envelope = next(iter(told.values()))
    return envelope, _readable(envelope)


async def _ask_manifest(transport: Libp2pTransport, peer: PeerId, timeout_seconds: float) -> Envelope | str:
    """Return the manifest's envelope with a valid signature, or why there is none."""
    question = Question(want=Want.MANIFEST).encode()
    try:
        answer = await transport.fetch(
            peer,
            question,
            limit=MAX_MANIFEST_ENVELOPE,
            timeout_seconds=max(POLL_SECONDS, min(_ANSWER_SECONDS, timeout_seconds)),
        )
        envelope = Envelope.decode(answer, limit=MAX_MANIFEST_ENVELOPE)
    except (FetchError, Malformed) as error:
        # p2pd tells some failures on several lines.
        return " ".join(str(error).split())
    if envelope.kind is not MessageKind.MANIFEST:
        return f"it answers with a {envelope.kind.name}"
    return envelope


def _refuse_different(told: dict[PeerId, Envelope]) -> None:
    """Raise a UserError when the named peers tell of more than one run."""
    first, *others = told
    for other in others:
        if (told[other].author, told[other].body) != (told[first].author, told[first].body):
            words = " and ".join(f"{peer} tells of {_in_words(told[peer])}" for peer in (first, other))
            raise UserError(f"the initial peers belong to different runs: {words}; give addresses of one run only")


def _in_words(envelope: Envelope) -> str:
    return f"run {envelope.run.hex()[:8]} of the coordinator {envelope.author}"


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
        UserError: the clipping radius contradicts the run's, or the peer is to lie in stages where there are none.
    """
    lies = {"--forward-attack": settings.forward_attack, "--backward-attack": settings.backward_attack}
    for flag, lie in lies.items():
        if lie is not LieName.NONE and manifest.pipeline is None:
            raise UserError(f"{flag} is of runs in stages, which this one is not; ATTACK_TYPE lies about whole models")
    if settings.tau is not None and settings.tau != manifest.tau:
        raise UserError(
            f"HIVEMIND_TAU or CCLIP_TAU asks for a clipping radius of {settings.tau:g}, but all peers of this run use "
            f"{manifest.tau:g}; unset it, or set it for the coordinator"
        )


def check_listed(me: PeerId, coordinator: PeerId, manifest: RunManifest) -> None:
    """Check that the run admits this peer's key; raises UserError."""
    if not manifest.admits(me):
        raise UserError(
            f"this peer's key, {me}, is not among the {len(manifest.members)} that the run {manifest.experiment} "
            f"admits; ask the owner of its coordinator, {coordinator}, to add it to the file of --members, or use a "
            "--directory whose key is listed"
        )


def load_run_task(settings: PeerSettings, manifest: RunManifest) -> Task:
    """Return the run's task with this machine's data.

    The manifest is a stranger's: of this machine's files only those are read that its owner has named.

    Raises:
        UserError: no such task here, more than the owner allows, no data, or data with another fingerprint.
    """
    check_sizes(settings, manifest)
    check_task(manifest.chosen_task, manifest.size)
    own = None if settings.data is None else DataSpec.parse(settings.data)
    spec = manifest.data.spec(own, settings.tokenizer, manifest.fingerprint)
    access = HubAccess(most_bytes=int(settings.max_data * GIB), signed_in=own is not None)
    task = load_task(manifest.chosen_task, manifest.size, spec, settings.cache_dir, access=access)
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
    micro_batches = 1 if manifest.pipeline is None else manifest.pipeline.micro_batches
    for what, asked, allowed, setting in (
        ("batches of {:,} samples", manifest.batch_size * micro_batches, settings.max_batch, "max-batch"),
        ("a model of {:,} numbers", manifest.dimension, settings.max_dimension, "max-dimension"),
    ):
        if asked > allowed:
            raise UserError(
                f"the run has {what.format(asked)}, but --{setting} allows {allowed:,} on this machine; raise it to "
                "take part"
            )
