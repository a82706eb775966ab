"""What can be asked of a peer directly: the run's manifest, where it stands, its training state, evidence of bans.

A question is small JSON; answers are canonical bytes, or a chunk of a serialised state. One peer's answer proves
nothing: the asker compares the answers of more than half of a roster that it trusts (see `state_sync`). The manifest
and the coordinator's newest roster carry the coordinator's signature; which coordinator is meant, only a peer that the
user named may say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from btard.errors import UserError
from btard.hashing import DIGEST_SIZE
from btard.hexadecimal import HexDigest, HexName
from btard.identity import Envelope, Malformed, PeerId
from btard.identity.codec import as_bytes, as_fields, as_int, as_list, as_text, decode, encode
from btard.round.roster import Roster, peer_id
from btard.transport.dialable import only_dialable
from btard.vocabulary import MAX_FIRST_ROSTER, MAX_INCARNATIONS

MAX_HEAD = 128 << 10
"""Bytes of an answered head."""

MAX_GATHERING = 16 << 20
"""Bytes of an answered gathering."""

MAX_GATHERED = 16 << 10
"""Messages in a gathering."""

MAX_KEPT = 4
"""States that a gathering offers."""

MAX_SNAPSHOTS = 256
"""Snapshots that a peer offers."""

MAX_REPLY = 32
"""Bytes of the answer to a knock."""

MAX_DIRECTORY = 128 << 10
"""Bytes of an answered directory."""

MAX_SHOWN_WAITING = MAX_FIRST_ROSTER
"""Keys at the door that a directory names: all that the first roster may wait for."""

MAX_MADDRS = 8
"""Addresses that a caller may name."""

_MAX_SHOWN_MADDRS = 3
_MAX_MADDR = 256
_PEER_BYTES = 44
"""Of a peer id in a list of its own, and of the list of its addresses, without these."""


_Maddr = Annotated[str, Field(max_length=_MAX_MADDR)]


class Want(StrEnum):
    """What is asked for."""

    MANIFEST = "manifest"
    ROSTER = "roster"
    ADDRESSES = "addresses"
    KNOCK = "knock"
    HEAD = "head"
    STATE = "state"
    SNAPSHOT = "snapshot"
    CHUNK = "chunk"
    BASE = "base"
    VECTOR = "vector"
    COMMITS = "commits"
    BAN = "ban"
    REUNION = "reunion"
    MINUTES = "minutes"
    TRANSCRIPT = "transcript"
    PROBE = "probe"
    REPORTS = "reports"
    LINEAGE = "lineage"
    STANCE = "stance"
    STAGES = "stages"


FOR_NEWCOMERS = frozenset({Want.MANIFEST, Want.ROSTER, Want.LINEAGE, Want.ADDRESSES, Want.KNOCK, Want.STAGES})
"""What a peer asks that is no member yet; the answers are small."""


class Knock(BaseModel):
    """What a newcomer says at the door of a member: what it is fit for, where it can be dialled, whether it comes as a
    client."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: HexName
    protocol: Annotated[int, Field(ge=0, lt=2**31)]
    fingerprint: HexDigest
    maddrs: Annotated[
        list[Annotated[str, Field(max_length=_MAX_MADDR)]], Field(max_length=MAX_MADDRS), AfterValidator(only_dialable)
    ]
    client: bool = False


class Reply(StrEnum):
    """The answer to a knock; travels as its text."""

    WAIT = "wait"
    MEMBER = "member"
    ELSEWHERE = "elsewhere"
    BUSY = "busy"
    BANNED = "banned"
    TOO_MANY_CLIENTS = "too many clients"
    OTHER_RUN = "other run"
    OTHER_DATA = "other data"
    OTHER_PROTOCOL = "other protocol"
    NOT_LISTED = "not listed"

    @property
    def words(self) -> str:
        """What the reply says of the caller, in words for people."""
        return _WORDS[self]

    @classmethod
    def decode(cls, data: bytes) -> Reply:
        """Read bytes from the network; raises Malformed."""
        try:
            return cls(data[: MAX_REPLY + 1].decode())
        except ValueError:
            raise Malformed("no reply to a knock") from None


_WORDS = {
    Reply.WAIT: "it waits for being called back and named",
    Reply.MEMBER: "it is a member",
    Reply.ELSEWHERE: "it knocks at a peer that names nobody now",
    Reply.BUSY: "too many wait at this door",
    Reply.BANNED: "its key is banned",
    Reply.TOO_MANY_CLIENTS: "it is a client, and half of the members are clients; it may come without --client-mode",
    Reply.OTHER_RUN: "it wants to join another run",
    Reply.OTHER_DATA: "it trains on other data",
    Reply.OTHER_PROTOCOL: "it speaks another version of the protocol",
    Reply.NOT_LISTED: "its key is not on the run's list of members",
}


_LARGE = frozenset({Want.STATE, Want.SNAPSHOT, Want.CHUNK, Want.BASE, Want.VECTOR, Want.MINUTES})


class Question(BaseModel):
    """Asks for the manifest, for the coordinator's newest roster, for the chain from there to where the swarm is, for
    the addresses of the members, for being named as a candidate, for the head, for the outline of the training state
    before `step` while it lasts or of a snapshot of it, for the chunk of this number of the state whose digest is
    `known`, for the momentum that the vector of `step` was built on or for that vector, the own ones or those of a
    `peer` that has been found guilty, for what `peer` committed to in failed attempts at `step`, for the evidence of
    the ban of `peer`, for the reports of the steps from `step` on, or, by a member that would begin the incarnation
    `step`, for what those that come back have signed, unless it is `known`; for the minutes of the step before `step`,
    or for the transcript of `step` alone; for the gradient by which machines are compared (`probe`); or, in a pipeline,
    for where the peer stands, for the outline of the stage's state that is `known`, or, of a coordinator, for what all
    stages have reported."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    want: Want
    step: Annotated[int, Field(ge=0, lt=2**62)] = 0
    peer: Annotated[str, Field(max_length=64)] = ""
    knock: Knock | None = None
    known: Annotated[str, Field(max_length=64)] = ""
    chunk: Annotated[int, Field(ge=0, lt=2**20)] = 0

    @property
    def named(self) -> PeerId | None:
        """The id that `peer` is; None if it is none."""
        try:
            return PeerId.parse(self.peer)
        except UserError:
            return None

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
        incarnation: of the run.
        waits: whether it is in no step, but waits at this roster, for more than half of its voters or to be let in.
    """

    roster: Roster
    state: bytes
    snapshots: tuple[tuple[int, bytes], ...]
    incarnation: int = 0
    waits: bool = False

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        snapshots = [[step, digest] for step, digest in self.snapshots]
        return encode([self.roster.pack(), self.state, snapshots, self.incarnation, int(self.waits)])

    @classmethod
    def decode(cls, data: bytes) -> Head:
        """Read bytes from the network; raises Malformed."""
        roster, state, snapshots, incarnation, waits = as_fields(decode(data, limit=MAX_HEAD), 5)
        pairs = [as_fields(item, 2) for item in as_list(snapshots, most=MAX_SNAPSHOTS)]
        return cls(
            Roster.unpack(roster),
            as_bytes(state, DIGEST_SIZE),
            tuple((as_int(step, 0, 2**62), as_bytes(digest, DIGEST_SIZE)) for step, digest in pairs),
            as_int(incarnation, 0, MAX_INCARNATIONS),
            bool(as_int(waits, 0, 1)),
        )


@dataclass(frozen=True)
class Directory:
    """Where a peer believes others to be. Nothing proves it but that the right key answers there.

    Attributes:
        addresses: multiaddresses of members and of the coordinator.
        waiting: keys that wait at the door of the peer that is asked.
    """

    addresses: Mapping[PeerId, tuple[str, ...]]
    waiting: tuple[PeerId, ...] = ()

    def encode(self) -> bytes:
        """Return the canonical bytes: a few addresses of each peer, and of as many peers as fit."""
        shown: list[list[object]] = []
        left = MAX_DIRECTORY - MAX_SHOWN_WAITING * _PEER_BYTES - _PEER_BYTES
        for peer, maddrs in sorted(self.addresses.items()):
            bare = [maddr.removesuffix(f"/p2p/{peer}") for maddr in maddrs]
            told = [maddr for maddr in bare if len(maddr) <= _MAX_MADDR][:_MAX_SHOWN_MADDRS]
            left -= _PEER_BYTES + sum(len(maddr.encode()) + 2 for maddr in told)
            if left < 0:
                break
            shown.append([peer, told])
        return encode([shown, sorted(self.waiting)[:MAX_SHOWN_WAITING]])

    @classmethod
    def decode(cls, data: bytes) -> Directory:
        """Read bytes from the network; raises Malformed."""
        shown, waiting = as_fields(decode(data, limit=MAX_DIRECTORY), 2)
        pairs = [as_fields(item, 2) for item in as_list(shown, most=MAX_DIRECTORY // _PEER_BYTES)]
        return cls(
            {
                peer_id(peer): tuple(
                    only_dialable(as_text(m, most=_MAX_MADDR) for m in as_list(maddrs, most=_MAX_SHOWN_MADDRS))
                )
                for peer, maddrs in pairs
            },
            tuple(peer_id(peer) for peer in as_list(waiting, most=MAX_SHOWN_WAITING)),
        )


@dataclass(frozen=True)
class Gathering:
    """What a member that has come back, or waits for others, shows: what members have signed, and what it keeps.

    Attributes:
        envelopes: MEMORY and RESUME messages of any authors; none where the asker has them all.
        kept: (roster, digest of the state before its step), of the states that it can serve.
    """

    envelopes: tuple[Envelope, ...]
    kept: tuple[tuple[Roster, bytes], ...]

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        kept = [[roster.pack(), state] for roster, state in self.kept]
        return encode([[envelope.encode() for envelope in self.envelopes], kept])

    @classmethod
    def decode(cls, data: bytes) -> Gathering:
        """Read bytes from the network; raises Malformed. Signatures are not looked at."""
        shown, kept = as_fields(decode(data, limit=MAX_GATHERING), 2)
        pairs = [as_fields(item, 2) for item in as_list(kept, most=MAX_KEPT)]
        return cls(
            tuple(Envelope.parse(as_bytes(item)) for item in as_list(shown, most=MAX_GATHERED)),
            tuple((Roster.unpack(roster), as_bytes(state, DIGEST_SIZE)) for roster, state in pairs),
        )
