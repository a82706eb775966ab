"""What this peer knows of bans: evidence in files, told to the DHT, shown to all that ask, verified before believed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from btard.errors import UserError
from btard.hexadecimal import HexDigest
from btard.identity import IdentityKey, Malformed, MessageKind, PeerId
from btard.round.evidence.evidence import Evidence
from btard.round.evidence.file import MAX_FILE, fingerprint, from_json, load, save, to_json
from btard.round.proof import Unproven, verify
from btard.round.rules import StepRules
from btard.swarm.questions import Question, Want
from btard.swarm.records.record import Record, Text
from btard.transport.libp2p import FetchError, Libp2pTransport, RecordError, Records

logger = logging.getLogger(__name__)

_TTL_SECONDS = 3600.0
_MOST_ENTRIES = 80


async def ask_evidence(
    transport: Libp2pTransport, source: PeerId, banned: PeerId, *, timeout_seconds: float
) -> bytes | None:
    """Return the evidence of a ban that a peer shows, unchecked; None if it shows none within `timeout_seconds`."""
    if source == transport.peer_id:
        return None
    question = Question(want=Want.BAN, peer=str(banned)).encode()
    try:
        return bytes(await transport.fetch(source, question, limit=MAX_FILE, timeout_seconds=timeout_seconds))
    except FetchError as error:
        logger.debug("no evidence from %s: %s", source.short, error)
        return None


class BanEntry(BaseModel):
    """One ban: the peer, the step, the reason, and the digest of the evidence file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    peer: Text
    step: Annotated[int, Field(ge=0, lt=2**62)]
    offence: Text
    evidence: HexDigest


class Bans(Record):
    """The bans that the author has taken part in or verified, the latest last."""

    bans: Annotated[list[BanEntry], Field(max_length=_MOST_ENTRIES)]


class BanBook:
    """The bans of one run that this machine has evidence of.

    Args:
        directory: where evidence files are written; those that are there already and prove a ban are taken up.
        rules: of the run; evidence under other rules is worthless, but for the incarnation.
    """

    def __init__(self, directory: Path, rules: StepRules) -> None:
        self.directory = directory
        self._rules = rules
        self._files: dict[PeerId, bytes] = {}
        self._paths: dict[PeerId, Path] = {}
        self._entries: dict[PeerId, BanEntry] = {}
        for path in sorted(directory.glob("*.json")) if directory.is_dir() else ():
            self._take_up(path)

    def _take_up(self, path: Path) -> None:
        """Remember a file of an earlier start; one that a crash or a full disk has cut is no reason not to start."""
        try:
            evidence = load(path)
            self._check(evidence, evidence.accused)
        except (UserError, Unproven) as error:
            logger.warning("not taking up %s: %s", path, error)
            return
        self._remember(evidence, to_json(evidence))
        self._paths[evidence.accused] = path

    def _remember(self, evidence: Evidence, data: bytes) -> None:
        self._files[evidence.accused] = data
        self._entries[evidence.accused] = BanEntry(
            peer=str(evidence.accused),
            step=evidence.scene.roster.step,
            offence=evidence.offence.name,
            evidence=fingerprint(data),
        )

    def add(self, evidence: Evidence) -> Path | None:
        """Keep evidence and return its file; None when it cannot be written, which the log tells."""
        self._remember(evidence, to_json(evidence))
        try:
            path = save(evidence, self.directory)
        except OSError as error:
            logger.error(
                "cannot write the evidence of %s into %s: %s", evidence.accused, self.directory, error.strerror
            )
            return None
        self._paths[evidence.accused] = path
        return path

    def evidence_of(self, peer: PeerId) -> bytes | None:
        """Return the evidence file of a ban, or None if this machine has none."""
        return self._files.get(peer)

    def path_of(self, peer: PeerId) -> Path | None:
        """Return where the evidence of a ban is, or None if there is none or it could not be written."""
        return self._paths.get(peer)

    async def publish(self, records: Records, key: IdentityKey, run: bytes) -> None:
        """Tell the DHT which bans this peer has evidence of."""
        if not self._entries:
            return
        latest = sorted(self._entries.values(), key=lambda entry: entry.step)[-_MOST_ENTRIES:]
        try:
            await records.publish(Bans(bans=latest).sign(key, run, MessageKind.BANS), _TTL_SECONDS)
        except RecordError as error:
            logger.warning("cannot publish the bans: %s", error)

    async def verify_all(
        self,
        ask: Callable[[PeerId, PeerId], Awaitable[bytes | None]],
        banned: Iterable[PeerId],
        sources: Iterable[PeerId],
    ) -> tuple[list[tuple[Evidence, str]], list[PeerId]]:
        """Fetch and check the evidence of bans that this machine has none of.

        Args:
            ask: (source, banned) -> the evidence that a peer shows, unchecked, or None.
            banned: keys that a roster bans.
            sources: peers to ask, in this order.

        Returns:
            The evidence that has been verified now, with what it rests on, and those whose ban nobody could prove.
        """
        verified, unproven = [], []
        asked = list(sources)
        for peer in sorted(set(banned) - self._files.keys()):
            found = await self._fetch(ask, peer, asked)
            if found is None:
                unproven.append(peer)
            else:
                self.add(found[0])
                verified.append(found)
        return verified, unproven

    async def _fetch(
        self, ask: Callable[[PeerId, PeerId], Awaitable[bytes | None]], banned: PeerId, sources: list[PeerId]
    ) -> tuple[Evidence, str] | None:
        for source in sources:
            data = await ask(source, banned)
            if data is None:
                continue
            try:
                return await asyncio.to_thread(self._checked, data, banned)
            except (Malformed, Unproven) as error:
                logger.warning("%s shows no proof of the ban of %s: %s", source.short, banned.short, error)
        return None

    def _checked(self, data: bytes, banned: PeerId) -> tuple[Evidence, str]:
        evidence = from_json(data)
        return evidence, self._check(evidence, banned)

    def _check(self, evidence: Evidence, banned: PeerId) -> str:
        if evidence.accused != banned or evidence.rules.reborn(0) != self._rules:
            raise Unproven("it is about another peer or run")
        return verify(evidence)
