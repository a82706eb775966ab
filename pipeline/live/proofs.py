"""The proofs of bans that a peer has: files in its directory, which the coordinator fetches in chunks."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from btard.durable import write_durably
from btard.identity import PeerId
from btard.outline import Outlined
from btard.pipeline.live.ban_proof import BanProof
from btard.pipeline.seats.statements import MAX_BANS, ShownBan

logger = logging.getLogger("btard.peer")


class ProofFolder:
    """The proofs of this run's bans; of too many, the oldest are not shown any more.

    Attributes:
        directory: where they are written.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._held: dict[PeerId, Outlined] = {}

    async def keep(self, evidence: bytes) -> tuple[BanProof, Path]:
        """Keep the proof that this peer has found, and return what it says and the file.

        A proof that cannot be written is shown anyway.
        """
        proof, path, outlined = await asyncio.to_thread(self._write, evidence)
        self._held[proof.peer] = outlined
        while len(self._held) > MAX_BANS:
            del self._held[next(iter(self._held))]
        return proof, path

    @property
    def shown(self) -> list[ShownBan]:
        """The bans that can be proved, the newest last."""
        return [ShownBan(peer, proof.outline.digest) for peer, proof in self._held.items()]

    def outline(self, known: str) -> bytes | None:
        """Return the outline of the proof with a digest in hex, None if it is not here."""
        proof = self._find(known)
        return None if proof is None else proof.outline.encode()

    def chunk(self, known: str, index: int) -> memoryview | None:
        """Return a chunk of a proof, None where there is none."""
        proof = self._find(known)
        return None if proof is None else proof.chunk(index)

    def _find(self, known: str) -> Outlined | None:
        return next((proof for proof in self._held.values() if proof.outline.digest.hex() == known), None)

    def _write(self, evidence: bytes) -> tuple[BanProof, Path, Outlined]:
        proof = BanProof.from_json(evidence)
        path = self.directory / proof.file_name
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            write_durably(path, evidence)
        except OSError as error:
            logger.error("the proof of a ban cannot be written to %s: %s", path, error.strerror)
        return proof, path, Outlined.of(evidence)
