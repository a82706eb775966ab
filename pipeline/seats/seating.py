"""Which peer runs which stage, from the start of which step: what the coordinator signs, under a rising number.

A seat is a stage of one of the run's pipelines. Seats are numbered pipeline by pipeline; in a run of one pipeline a
seat has the number of its stage.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from btard.hashing import DIGEST_SIZE, tagged_digest
from btard.identity import IdentityKey, Malformed, PeerId
from btard.identity.codec import Reader, encode
from btard.identity.envelope import RUN_ID_SIZE
from btard.identity.peer_id import PEER_ID_SIZE, SIGNATURE_SIZE
from btard.pipeline.stages.split import MAX_STAGES
from btard.swarm.questions import MAX_DIRECTORY, Directory
from btard.vocabulary import MAX_STEPS

DRAWN = bytes(DIGEST_SIZE)
"""In place of a state's digest: the weights that follow from the run's seed, and a new optimizer."""

MAX_SEATING = 256 + MAX_STAGES * (PEER_ID_SIZE + DIGEST_SIZE + 8) + MAX_DIRECTORY
"""Bytes of a signed seating."""

MAX_SEATINGS = 1 << 31

_DOMAIN = b"btard pipeline seating 1\0"


@dataclass(frozen=True)
class Seating:
    """Which peer has which seat.

    Attributes:
        run: the run's name, 16 bytes.
        number: of two seatings the one with the higher number holds.
        step: all stages go on from its start.
        seats: the peer of each seat, no peer twice.
        states: the digest of each stage's state before `step`, or `DRAWN`.
        over: whether the run has ended, so that peers may leave.
        directory: where the peers can be dialled, those that wait for a seat among them.
    """

    run: bytes
    number: int
    step: int
    seats: tuple[PeerId, ...]
    states: tuple[bytes, ...]
    over: bool = False
    directory: Directory = field(default_factory=lambda: Directory({}), compare=False)

    @property
    def stages(self) -> int:
        """How many stages a pipeline has."""
        return len(self.states)

    @property
    def replicas(self) -> int:
        """How many pipelines there are."""
        return len(self.seats) // len(self.states)

    def seat_of(self, peer: PeerId) -> int | None:
        """Return the seat of a peer, None if it has none."""
        return self.seats.index(peer) if peer in self.seats else None

    def stage_of(self, seat: int) -> int:
        """Return the stage of a seat."""
        return seat % self.stages

    def replica_of(self, seat: int) -> int:
        """Return the pipeline of a seat."""
        return seat // self.stages

    def pipeline(self, replica: int) -> tuple[PeerId, ...]:
        """Return the peers of a pipeline's stages."""
        return self.seats[replica * self.stages : (replica + 1) * self.stages]

    def copies(self, stage: int) -> tuple[PeerId, ...]:
        """Return the peers of a stage, one in each pipeline."""
        return self.seats[stage :: self.stages]

    @property
    def messages_run(self) -> bytes:
        """The name under which messages of this seating travel: what was said in another one counts nothing."""
        return tagged_digest("btard pipeline messages", self.run, self.number.to_bytes(8, "big"))[:RUN_ID_SIZE]

    @property
    def notes_run(self) -> bytes:
        """The name under which notes about rows travel between pipelines."""
        return tagged_digest("btard pipeline notes", self.messages_run)[:RUN_ID_SIZE]

    def pipeline_run(self, replica: int) -> bytes:
        """Return the name under which the stages of a pipeline sign their messages."""
        if self.replicas == 1:
            return self.messages_run
        return tagged_digest("btard pipeline beside others", self.messages_run, replica.to_bytes(8, "big"))[
            :RUN_ID_SIZE
        ]

    def keeper(self, seat: int) -> int | None:
        """Return the seat whose peer keeps a copy of a seat's state; None where no other one is needed.

        That is so where there is one seat only, and where all replicas of a stage hold the same state.
        """
        return (seat + 1) % len(self.seats) if len(self.seats) > 1 == self.replicas else None

    def sign(self, key: IdentityKey) -> bytes:
        """Return it as it travels, signed by the coordinator."""
        body = self._body()
        return encode([body, key.sign(_DOMAIN + body)])

    def _body(self) -> bytes:
        seats, states = list(self.seats), list(self.states)
        return encode([self.run, self.number, self.step, seats, states, int(self.over), self.directory.encode()])

    @classmethod
    def decode(cls, data: bytes, run: bytes, coordinator: PeerId) -> Seating:
        """Read a seating of a run as its coordinator has signed it.

        Raises:
            Malformed: no such seating, or another peer's.
        """
        fields = Reader(data, limit=MAX_SEATING)
        fields.fields(2)
        body, signature = fields.blob(most=MAX_SEATING), fields.blob(SIGNATURE_SIZE)
        fields.end()
        seating = cls._read(body)
        if seating.run != run:
            raise Malformed("a seating of another run")
        if not coordinator.has_signed(_DOMAIN + body, signature):
            raise Malformed("the coordinator has not signed this seating")
        return seating

    @classmethod
    def _read(cls, body: bytes) -> Seating:
        fields = Reader(body, limit=MAX_SEATING)
        fields.fields(7)
        run, number = fields.blob(RUN_ID_SIZE), fields.number(1, MAX_SEATINGS)
        step = fields.number(0, MAX_STEPS)
        try:
            seats = tuple(PeerId.of(raw) for raw in fields.blobs(PEER_ID_SIZE, most=MAX_STAGES))
        except ValueError as error:
            raise Malformed(str(error)) from None
        states = tuple(fields.blobs(DIGEST_SIZE, most=MAX_STAGES))
        over = bool(fields.number(0, 1))
        directory = Directory.decode(fields.blob(most=MAX_DIRECTORY))
        fields.end()
        if not 1 <= len(states) <= len(seats) or len(seats) % len(states) or len(set(seats)) < len(seats):
            raise Malformed("a seating needs one state for each stage, and one peer for each stage of each pipeline")
        return cls(run, number, step, seats, states, over, directory)
