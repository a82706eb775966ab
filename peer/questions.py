"""What can be asked of a peer directly: where it stands, its training state and snapshots, evidence of bans.

A question is small JSON; answers are canonical bytes or a serialised state. One peer's answer proves nothing: who asks
compares the answers of more than half of a roster that it trusts (see `state_sync`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from btard.hashing import DIGEST_SIZE
from btard.identity import Malformed
from btard.identity.codec import as_bytes, as_fields, as_int, as_list, decode, encode
from btard.round.roster import Roster

MAX_HEAD = 128 << 10
"""Bytes of an answered head."""

MAX_SNAPSHOTS = 2
"""Snapshots that a peer keeps."""


class Want(StrEnum):
    """What is asked for."""

    HEAD = "head"
    STATE = "state"
    SNAPSHOT = "snapshot"
    BASE = "base"
    BAN = "ban"


_LARGE = frozenset({Want.STATE, Want.SNAPSHOT, Want.BASE})


class Question(BaseModel):
    """Asks for the head, for the training state before `step` while it lasts or a snapshot of it, for the momentum that
    the vector of `step` was built on, or for the evidence of the ban of `peer`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    want: Want
    step: Annotated[int, Field(ge=0, lt=2**62)] = 0
    peer: Annotated[str, Field(max_length=64)] = ""

    def encode(self) -> bytes:
        """Return the bytes to send."""
        return self.model_dump_json().encode()

    @classmethod
    def decode(cls, data: bytes) -> Question:
        """Read bytes from the network; raises Malformed."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise Malformed(f"no question: {error.errors()[0]['msg']}") from None


def is_large(data: bytes) -> bool:
    """Whether these bytes ask for what is as long as the model, or has to be made first."""
    try:
        return Question.decode(data).want in _LARGE
    except Malformed:
        return False


@dataclass(frozen=True)
class Head:
    """Where a peer stands.

    Attributes:
        roster: of the step that it is in.
        state: digest of its training state before that step.
        snapshots: (step, digest of the state before it), ascending.
    """

    roster: Roster
    state: bytes
    snapshots: tuple[tuple[int, bytes], ...]

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return encode([self.roster.pack(), self.state, [[step, digest] for step, digest in self.snapshots]])

    @classmethod
    def decode(cls, data: bytes) -> Head:
        """Read bytes from the network; raises Malformed."""
        roster, state, snapshots = as_fields(decode(data, limit=MAX_HEAD), 3)
        pairs = [as_fields(item, 2) for item in as_list(snapshots, most=MAX_SNAPSHOTS)]
        return cls(
            Roster.unpack(roster),
            as_bytes(state, DIGEST_SIZE),
            tuple((as_int(step, 0, 2**62), as_bytes(digest, DIGEST_SIZE)) for step, digest in pairs),
        )
