"""Bans of stages: the proofs that peers show are fetched and checked here before anybody loses a seat."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from btard.coordinator.pipeline.proof import check_proof
from btard.coordinator.run_directory import RunDirectory
from btard.durable import write_durably
from btard.errors import UserError
from btard.hashing import Payload
from btard.identity import Malformed, PeerId
from btard.outline import Outline
from btard.pipeline.live.ban_proof import BanProof
from btard.pipeline.live.build import StageBuilder
from btard.pipeline.seats.seating import Seating
from btard.pipeline.seats.statements import Stance
from btard.pipeline.seats.usher import Usher
from btard.swarm.events.coordinator import BanVerified, CoordinatorEvent
from btard.swarm.events.log import EventLog
from btard.swarm.questions import Question, Want
from btard.swarm.records.stages import StageBanRow
from btard.swarm.transfer.download import download_state
from btard.transport.libp2p import Libp2pTransport

logger = logging.getLogger(__name__)

MOST_PROOFS = 16
"""Proofs of one peer that are looked at: as many as may turn out to be none."""

_MOST_SEATINGS = 64
"""Seatings that proofs may be about, the newest."""

_FETCH_SECONDS = 60.0
_ARRIVING_FILE = "proof.arriving"


@dataclass(frozen=True, slots=True)
class StageBan:
    """A peer that has lost its seat for good.

    Attributes:
        number: of the seating in which it has lied.
        proof: of that.
        file: where that is.
    """

    number: int
    proof: BanProof
    file: str

    def row(self) -> StageBanRow:
        """Return what a look at the run from outside is told."""
        proof = self.proof
        return StageBanRow(
            peer=str(proof.peer),
            stage=proof.stage,
            step=proof.step,
            offence=proof.offence.name,
            words=f"in step {proof.step} it, as stage {proof.stage}, {proof.offence}",
        )

    def told(self) -> dict[str, Any]:
        """Return it as the run's summary tells it."""
        return {**self.row().model_dump(), "evidence": self.file}


class StageBans:
    """All bans of one run. A claim that proves nothing changes nothing, and counts against the peer that made it.

    Attributes:
        bans: in the order in which they were proved; after a restart, those of the directory.
    """

    def __init__(
        self,
        builder: StageBuilder,
        transport: Libp2pTransport,
        directory: RunDirectory,
        log: EventLog[CoordinatorEvent],
        usher: Usher,
        banned: Callable[[], None],
    ) -> None:
        """Begin with the bans of the directory.

        Args:
            builder: knows the run's plan.
            usher: takes the seats away.
            banned: is told when there is one more.

        Raises:
            UserError: a file of the directory is damaged.
        """
        self._builder, self._transport, self._directory = builder, transport, directory
        self._log, self._usher, self._banned = log, usher, banned
        self._seatings: dict[bytes, Seating] = {}
        self._shown: dict[bytes, list[PeerId]] = {}
        self._looked_at: set[bytes] = set()
        self._accusers: dict[PeerId, set[PeerId]] = {}
        self._about: dict[bytes, PeerId] = {}
        self._told: Counter[PeerId] = Counter()
        self._wake = asyncio.Event()
        self.bans = [self._load(path.name) for path in sorted(directory.bans.glob("*.json"))]
        self._usher.banned.update(ban.proof.peer for ban in self.bans)

    def seated(self, seating: Seating) -> None:
        """A seating that this coordinator has signed: proofs may be about it."""
        self._seatings[seating.messages_run] = seating
        while len(self._seatings) > _MOST_SEATINGS:
            del self._seatings[next(iter(self._seatings))]

    def hear(self, peer: PeerId, stance: Stance) -> None:
        """A peer with a seat tells which bans it can prove."""
        for shown in stance.bans:
            sources = self._shown.get(shown.proof, [])
            if shown.peer in self._usher.banned or shown.proof in self._looked_at or peer in sources:
                continue
            if self._told[peer] >= MOST_PROOFS:
                return
            self._told[peer] += 1
            self._shown.setdefault(shown.proof, sources).append(peer)
            self._about[shown.proof] = shown.peer
            self._accusers.setdefault(shown.peer, set()).add(peer)
            self._wake.set()

    async def run(self) -> None:
        """Fetch and check what is shown until cancelled."""
        while True:
            self._wake.clear()
            await self.look()
            await self._wake.wait()

    async def look(self) -> None:
        """Fetch and check what is shown now, one proof at a time."""
        while ready := [proof for proof in self._shown if self._may_be_believed(self._about[proof])]:
            # The peer that has shown least comes first: none can keep the proofs of others waiting.
            proof = min(ready, key=lambda proof: min(self._told[peer] for peer in self._shown[proof]))
            if self._about[proof] not in self._usher.banned:
                await self._consider(proof, self._shown[proof])
            self._looked_at.add(proof)
            del self._shown[proof], self._about[proof]

    def _may_be_believed(self, accused: PeerId) -> bool:
        """Whether evidence about a peer is worth a look.

        That of replicas rests on the roster that it names, and a few of them could name another one; so more than half
        of a stage's seats have to tell of the ban.
        """
        if self._builder.terms.replicas == 1 or accused in self._usher.banned:
            return True
        for seating in reversed(self._seatings.values()):
            seat = seating.seat_of(accused)
            if seat is not None:
                copies = seating.copies(seating.stage_of(seat))
                return 2 * len(self._accusers.get(accused, set()).intersection(copies)) > seating.replicas
        return False

    async def _consider(self, proof: bytes, sources: list[PeerId]) -> None:
        found: list[StageBan] = []

        async def load(data: Payload) -> bytes:
            try:
                found.append(await asyncio.to_thread(self._check, bytes(data)))
            except Malformed as error:
                logger.warning("what %s shows proves no ban: %s", ", ".join(map(str, sources)), error)
            return await asyncio.to_thread(lambda: Outline.of((data,)).digest)

        await download_state(
            self._transport,
            list(sources),
            Question(want=Want.STATE, known=proof.hex()),
            load,
            proof,
            arriving=self._directory.path / _ARRIVING_FILE,
            limit=self._builder.most_evidence_bytes,
            timeout_seconds=_FETCH_SECONDS,
        )
        for ban in found:
            self._ban(ban)

    def _check(self, data: bytes) -> StageBan:
        """Check a proof and keep it; raises Malformed if it is none."""
        proof, seating = check_proof(data, self._seatings, self._builder)
        path = self._directory.bans / proof.file_name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_durably(path, data)
        except OSError as error:
            logger.error("the proof of a ban cannot be written to %s: %s", path, error.strerror)
        return StageBan(seating.number, proof, str(path))

    def _ban(self, ban: StageBan) -> None:
        proof = ban.proof
        if proof.peer in self._usher.banned:
            return
        self.bans.append(ban)
        for teller in self._accusers.pop(proof.peer, ()):
            self._told[teller] -= 1  # what is true is not held against those that tell it
        self._usher.ban(proof.peer, ban.number, proof.again_from)
        logger.warning("%s is banned: %s", proof.peer, ban.told()["words"])
        self._log.write(
            BanVerified(
                peer=str(proof.peer),
                step=proof.step,
                offence=proof.offence.name,
                words=f"as stage {proof.stage}, {proof.offence}",
                basis=proof.basis,
                evidence=ban.file,
            )
        )
        self._banned()

    def _load(self, name: str) -> StageBan:
        """Read a proof that was checked before it was written."""
        path = self._directory.bans / name
        try:
            return StageBan(0, BanProof.from_json(path.read_bytes()), str(path))
        except (OSError, Malformed) as error:
            raise UserError(f"{path} is damaged ({error}); give another --directory") from None
