"""What peers and coordinator publish in the DHT, each in the body of a signed envelope, checked against a schema."""

from __future__ import annotations

from typing import Annotated, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from btard.identity import Envelope, IdentityKey, Malformed, MessageKind, PeerId
from btard.identity.codec import decode, encode
from btard.round.roster import Roster
from btard.swarm.records.details import PeerDetails
from btard.transport.dialable import only_dialable

MAX_BODY = 24 << 10
"""Bytes of a record's body."""

MAX_AGE_SECONDS = 120.0
"""Seconds for which a JOIN record is kept; its author renews it four times in them."""

Text = Annotated[str, Field(max_length=256)]
R = TypeVar("R", bound="Record")


class Record(BaseModel):
    """A schema-checked body."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    def sign(self, key: IdentityKey, run: bytes, kind: MessageKind) -> Envelope:
        """Return the signed record; `Records.publish` gives it its number."""
        return Envelope.sign(key, run=run, step=0, kind=kind, body=self.model_dump_json().encode())

    @classmethod
    def read(cls, envelope: Envelope, run: bytes, kind: MessageKind) -> Self:
        """Return the record of an envelope.

        Raises:
            Malformed: of another run or kind, too long, or not of this schema.
        """
        if envelope.run != run or envelope.kind is not kind or len(envelope.body) > MAX_BODY:
            raise Malformed(f"no {kind.name} record of this run")
        try:
            return cls.model_validate_json(envelope.body)
        except ValidationError as error:
            raise Malformed(f"no valid {kind.name} record: {error.errors()[0]['msg']}") from None


class Join(Record):
    """A peer that wants to take part.

    Attributes:
        fingerprint: of its data.
        maddrs: full multiaddresses at which it can be dialled; those of another form are left out.
        time: when it was signed, seconds since the epoch.
        client: whether it comes as a client.
    """

    fingerprint: Text
    maddrs: Annotated[list[Text], Field(max_length=8), AfterValidator(only_dialable)]
    time: Annotated[float, Field(allow_inf_nan=False)]
    client: bool = False


class LocalMetrics(BaseModel):
    """One step of one peer, as in the published experiments.

    Attributes:
        samples_per_second: of computing the gradient.
        samples_accumulated: by this peer since it joined.
        loss: of its own batch before the step; None when it is not told or not finite.
        mini_steps: gradients that the step's vector is made of.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    step: Annotated[int, Field(ge=0, lt=2**62)]
    samples_per_second: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    samples_accumulated: Annotated[int, Field(ge=0, lt=2**62)]
    loss: Annotated[float, Field(allow_inf_nan=False)] | None
    mini_steps: Annotated[int, Field(ge=1, lt=2**31)]


MAX_METRICS = 64
"""Steps in one METRICS record."""


class Metrics(Record):
    """A peer's latest steps, ascending; several, so that a reader that comes seldom misses none.

    Attributes:
        steps: those in which it computed a gradient; a validator has none of the step in which it validates.
        details: what else it tells, if it does.
    """

    steps: Annotated[list[LocalMetrics], Field(min_length=1, max_length=MAX_METRICS)]
    details: PeerDetails | None = None


MAX_REPORTS = 256
"""Steps in one answer about earlier steps."""

MAX_ANSWERED_REPORTS = 64 << 10
"""Bytes of such an answer."""


class Reports(BaseModel):
    """What a peer answers about steps that its METRICS record does not go back to.

    Attributes:
        steps: ascending; none where it knows of none from the step on that was asked for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    steps: Annotated[list[LocalMetrics], Field(max_length=MAX_REPORTS)]

    def encode(self) -> bytes:
        """Return the bytes to send."""
        return self.model_dump_json().encode()

    @classmethod
    def decode(cls, data: bytes) -> Reports:
        """Read bytes from the network; raises Malformed."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise Malformed(f"no reports: {error.errors()[0]['msg']}") from None


class RosterRecord(Record):
    """The newest roster that the coordinator knows; the first one, of step `start_step`, begins the run.

    Attributes:
        roster: canonical bytes in hex.
        finished: the run is over and its last checkpoint is saved; peers may go.
        stored: nobody has to hold the states at the manifest's steps up to this one any more: the coordinator has
            stored them, or has named those that it could not have.
    """

    roster: str
    finished: bool = False
    stored: Annotated[int, Field(ge=-1, lt=2**62)] = -1

    @classmethod
    def of(cls, roster: Roster, *, finished: bool = False, stored: int = -1) -> RosterRecord:
        """Return the record of a roster."""
        return cls(roster=encode(roster.pack()).hex(), finished=finished, stored=stored)

    def unpack(self) -> Roster:
        """Return the roster; raises Malformed."""
        try:
            return Roster.unpack(decode(bytes.fromhex(self.roster), limit=MAX_BODY))
        except ValueError as error:
            raise Malformed(str(error)) from None


def read_records(records: dict[PeerId, Envelope], schema: type[R], run: bytes, kind: MessageKind) -> dict[PeerId, R]:
    """Return the valid ones among the records of some authors."""
    found = {}
    for author, envelope in records.items():
        try:
            found[author] = schema.read(envelope, run, kind)
        except Malformed:
            continue
    return found
