"""What the peers of a pipeline tell each other and the coordinator about their states, beside the numbers of a step."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from btard.hashing import DIGEST_SIZE
from btard.identity import IdentityKey, Malformed, PeerId
from btard.identity.codec import Reader, encode
from btard.identity.envelope import RUN_ID_SIZE
from btard.identity.peer_id import PEER_ID_SIZE, SIGNATURE_SIZE
from btard.pipeline.seats.seating import MAX_SEATINGS
from btard.pipeline.stages.split import MAX_STAGES
from btard.vocabulary import MAX_STEPS

MAX_NOTE = 512
"""Bytes of a note."""

MAX_STATES = 16
"""States that a peer can show at once."""

MAX_REPORT = 256
"""Bytes of what a stage reports of a step."""

MAX_REPORTS = 16
"""Steps that a stance reports of."""

MAX_BANS = 8
"""Bans that a peer tells of, and peers that it says are left out."""

MAX_STANCE = 1024 + MAX_STATES * 256 + MAX_REPORTS * (MAX_REPORT + 8) + MAX_BANS * 192
"""Bytes of a stance."""

_DOMAIN = b"btard pipeline state 1\0"


@dataclass(frozen=True, slots=True)
class StateClaim:
    """A stage's word for its own state before a step, signed by its peer.

    Attributes:
        run: the run's name.
        number: of the seating under which the state was made.
        seat: of the stage; see `Seating`.
        step: before which.
        state: its digest.
        signature: of the peer that has the seat.
    """

    run: bytes
    number: int
    seat: int
    step: int
    state: bytes
    signature: bytes = b""

    def signed(self, key: IdentityKey) -> StateClaim:
        """Return the same with a signature."""
        return StateClaim(self.run, self.number, self.seat, self.step, self.state, key.sign(_DOMAIN + self._body()))

    def _body(self) -> bytes:
        return encode([self.run, self.number, self.seat, self.step, self.state])

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return encode([self._body(), self.signature])

    @classmethod
    def decode(cls, data: bytes) -> StateClaim:
        """Read bytes from the network; raises Malformed. The signature is not looked at."""
        outer = Reader(data, limit=MAX_NOTE)
        outer.fields(2)
        body, signature = outer.blob(most=MAX_NOTE), outer.blob(SIGNATURE_SIZE)
        outer.end()
        fields = Reader(body, limit=MAX_NOTE)
        fields.fields(5)
        run, number = fields.blob(RUN_ID_SIZE), fields.number(1, MAX_SEATINGS)
        seat, step = fields.number(0, MAX_STAGES - 1), fields.number(0, MAX_STEPS)
        claim = cls(run, number, seat, step, fields.blob(DIGEST_SIZE), signature)
        fields.end()
        return claim

    def verify(self, author: PeerId) -> None:
        """Check that a peer has signed this; raises Malformed."""
        if not author.has_signed(_DOMAIN + self._body(), self.signature):
            raise Malformed("the signature of a state does not verify")


class NoteKind(IntEnum):
    """What one peer of a pipeline tells another."""

    READY = 1
    """The author has loaded its stage, and asks which others have."""
    READY_TOO = 2
    """The answer."""
    CLAIM = 3
    """The author has made its state before a step; its keeper is to fetch it, and to say so. Among replicas it asks
    those that it is sent to for theirs."""
    KEPT = 4
    """The author holds this state: of another stage, or among replicas its own one."""


@dataclass(frozen=True, slots=True)
class SeatNote:
    """A small message between two peers with seats; the connection proves its author.

    Attributes:
        kind: what it says.
        number: of the seating.
        claim: of CLAIM and KEPT, the state; None of the others.
    """

    kind: NoteKind
    number: int
    claim: StateClaim | None = None

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return encode([int(self.kind), self.number, None if self.claim is None else self.claim.encode()])

    @classmethod
    def decode(cls, data: bytes) -> SeatNote:
        """Read bytes from the network; raises Malformed."""
        fields = Reader(data, limit=MAX_NOTE)
        fields.fields(3)
        kind = NoteKind(fields.number(min(NoteKind), max(NoteKind)))
        number = fields.number(1, MAX_SEATINGS)
        claim = None if fields.none() else StateClaim.decode(fields.blob(most=MAX_NOTE))
        fields.end()
        if (claim is not None) != (kind in (NoteKind.CLAIM, NoteKind.KEPT)):
            raise Malformed("a note about a state names one, and no other note does")
        return cls(kind, number, claim)


class SeatPhase(IntEnum):
    """What a peer of a pipeline is doing."""

    WAITING = 0
    """It has no seat."""
    LOADING = 1
    READY = 2
    """Its stage is loaded; it waits for the others."""
    TRAINING = 3
    KEEPING = 4
    """It waits until the last state of every stage is kept elsewhere."""
    STALLED = 5
    """What it waited for has not come in time."""
    FINISHED = 6
    """After the last step, and all last states are kept."""


@dataclass(frozen=True, slots=True)
class ShownBan:
    """A peer that is said to have lied, and a proof that can be asked for.

    Attributes:
        peer: the liar.
        proof: digest of the evidence file's outline.
    """

    peer: PeerId
    proof: bytes


@dataclass(frozen=True, slots=True)
class Stance:
    """Where a peer stands, as it answers the coordinator.

    Attributes:
        number: of the newest seating that it knows, 0 if none.
        phase: what it is doing.
        step: that it is in.
        states: digests of the states that it can show.
        claims: signed words for those that were made in this seating.
        reports: what its stage reports of its last steps, each signed.
        bans: that it can prove.
        left_out: peers that the replicas of its stage have left out of their rounds in this seating.
    """

    number: int
    phase: SeatPhase
    step: int
    states: tuple[bytes, ...] = ()
    claims: tuple[StateClaim, ...] = ()
    reports: tuple[bytes, ...] = ()
    bans: tuple[ShownBan, ...] = ()
    left_out: tuple[PeerId, ...] = ()

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        claims = [claim.encode() for claim in self.claims[:MAX_STATES]]
        states = list(self.states[:MAX_STATES])
        reports = list(self.reports[-MAX_REPORTS:])
        bans = self.bans[-MAX_BANS:]
        liars, proofs = [ban.peer for ban in bans], [ban.proof for ban in bans]
        left_out = list(self.left_out[-MAX_BANS:])
        return encode([self.number, int(self.phase), self.step, states, claims, reports, liars, proofs, left_out])

    @classmethod
    def decode(cls, data: bytes) -> Stance:
        """Read bytes from the network; raises Malformed. No signature is looked at."""
        fields = Reader(data, limit=MAX_STANCE)
        fields.fields(9)
        number = fields.number(0, MAX_SEATINGS)
        phase = SeatPhase(fields.number(min(SeatPhase), max(SeatPhase)))
        step = fields.number(0, MAX_STEPS)
        states = tuple(fields.blobs(DIGEST_SIZE, most=MAX_STATES))
        count = fields.items(most=MAX_STATES)
        claims = tuple(StateClaim.decode(fields.blob(most=MAX_NOTE)) for _ in range(count))
        reports = tuple(fields.blob(most=MAX_REPORT) for _ in range(fields.items(most=MAX_REPORTS)))
        liars = fields.blobs(PEER_ID_SIZE, most=MAX_BANS)
        proofs = fields.blobs(DIGEST_SIZE, most=MAX_BANS)
        left_out = fields.blobs(PEER_ID_SIZE, most=MAX_BANS)
        fields.end()
        if len(liars) != len(proofs):
            raise Malformed("a stance shows a proof of each ban")
        try:
            bans = tuple(ShownBan(PeerId.of(liar), proof) for liar, proof in zip(liars, proofs, strict=True))
            out = tuple(map(PeerId.of, left_out))
        except ValueError as error:
            raise Malformed(str(error)) from None
        return cls(number, phase, step, states, claims, reports, bans, out)
