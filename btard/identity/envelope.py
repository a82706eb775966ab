"""Signed envelopes: run, step, attempt, kind, author, body, signature.

The signature covers every field under a domain tag, so that a message cannot be replayed in another run, step, attempt
or role; what is said in a step and what is published outside of any have different tags. An envelope that a third peer
relays is as good as one that came directly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple, Protocol, Self, TypeVar

from btard.hashing import digest
from btard.identity.codec import Malformed, encode
from btard.identity.keys import IdentityKey
from btard.identity.peer_id import PEER_ID_SIZE, SIGNATURE_SIZE, PeerId
from btard.version import PROTOCOL_VERSION

RUN_ID_SIZE = 16
MAX_ENVELOPE = 4 << 20
"""Bytes; the largest message that is not a part."""

MAX_HEADER = 4096
"""Bytes; the largest envelope ahead of a part."""

MIN_ENVELOPE = 128
"""Bytes; no message is shorter."""

_STEP_DOMAIN = b"btard envelope %d\0" % PROTOCOL_VERSION
_RECORD_DOMAIN = b"btard record %d\0" % PROTOCOL_VERSION
_SIX_FIELDS, _SEVEN_FIELDS = b"\x96", b"\x97"
"""How msgpack begins lists of six and seven."""
_SIGNATURE_FIELD = 2 + SIGNATURE_SIZE
"""Bytes of the signature in canonical bytes: a mark, the length, and the signature itself."""

_CACHED_SIZE = 16 << 10
"""Bytes; envelopes up to this size are decoded and verified once, since relays bring the same one from many sides."""


class MessageKind(IntEnum):
    """What an envelope's body is."""

    COMMIT = 1
    PART = 2
    AGGREGATE = 3
    DIGEST = 4
    REPORT = 5
    RELAY = 6
    LEAVE = 7
    CERTIFICATE = 8
    ASK = 9
    REVEAL = 10
    SCALARS = 11
    PULL = 12
    VOTE = 13
    FORWARD = 14
    OVERDUE = 15
    MANIFEST = 16
    JOIN = 17
    GENESIS = 18
    METRICS = 19
    BANS = 20
    MEMORY = 21
    RESUME = 22


RECORD_KINDS = frozenset(kind for kind in MessageKind if kind >= MessageKind.MANIFEST)
"""What is published outside of any step."""

STEP_KINDS = frozenset(MessageKind) - RECORD_KINDS
"""What is said in a step."""


class Readable(Protocol):
    """A message that can be read from an envelope's body."""

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Read bytes from the network; raises Malformed."""


class Written(Protocol):
    """A message with canonical bytes, which `Readable.decode` of its class reads again."""

    def encode(self) -> bytes:
        """Return the canonical bytes."""


M = TypeVar("M", bound=Readable)


class Heading(NamedTuple):
    """What a message says of itself before its body, which is looked at before anything that costs more.

    Attributes:
        size: bytes of the body.
    """

    run: bytes
    step: int
    attempt: int
    kind: MessageKind
    author: PeerId
    size: int

    @classmethod
    def read(cls, data: bytes) -> Heading:
        """Read the fields of an envelope but its body and its signature, which are not looked at; raises Malformed."""
        return _read_heading(data)[0]


_KINDS = {int(kind): kind for kind in MessageKind}
_BEGINNING = _SEVEN_FIELDS + b"\xc4" + bytes([RUN_ID_SIZE])
_AUTHOR_FIELD, _SIGNATURE_HEAD = bytes([0xC4, PEER_ID_SIZE]), bytes([0xC4, SIGNATURE_SIZE])
_WIDE = {0xCC: (1, 1 << 7), 0xCD: (2, 1 << 8), 0xCE: (4, 1 << 16), 0xCF: (8, 1 << 32)}
_BODIES = {0xC4: (1, 0), 0xC5: (2, 1 << 8), 0xC6: (4, 1 << 16)}
"""Of the heads of longer numbers, and of bytes: in how many bytes the number or the length follows, and from which
value on this form is the canonical one."""


def _read_heading(data: bytes) -> tuple[Heading, int]:
    """Read what stands before a body, and where that begins. Reports and relays carry thousands of headings, hence by
    hand; raises Malformed."""
    start = len(_BEGINNING)
    if data[:start] != _BEGINNING:
        raise Malformed("expected an envelope")
    try:
        run, at = data[start : start + RUN_ID_SIZE], start + RUN_ID_SIZE
        step, at = _read_number(data, at)
        attempt, at = _read_number(data, at)
        kind, at = _read_number(data, at)
        author = PeerId.of(data[at + 2 : at + 2 + PEER_ID_SIZE])
        if data[at : at + 2] != _AUTHOR_FIELD or step >= 2**63 or attempt >= 2**16:
            raise Malformed("expected an envelope")
        at += 2 + PEER_ID_SIZE
        width, least = _BODIES[data[at]]
        size = int.from_bytes(data[at + 1 : at + 1 + width], "big")
        if size < least:
            raise Malformed("not canonical bytes")
        return Heading(run, step, attempt, _KINDS[kind], author, size), at + 1 + width
    except (IndexError, KeyError, ValueError) as error:
        raise Malformed(f"expected an envelope: {error}") from None


def _read_number(data: bytes, at: int) -> tuple[int, int]:
    head = data[at]
    if head < 0x80:
        return head, at + 1
    width, least = _WIDE[head]
    value = int.from_bytes(data[at + 1 : at + 1 + width], "big")
    if value < least:
        raise Malformed("not canonical bytes")
    return value, at + 1 + width


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Envelope:
    """A signed message. Two envelopes are the same message exactly when their bytes are equal."""

    run: bytes
    step: int
    attempt: int
    kind: MessageKind
    author: PeerId
    body: bytes
    signature: bytes
    _encoded: bytes = field(default=b"", init=False, repr=False, compare=False)
    _content: bytes = field(default=b"", init=False, repr=False, compare=False)
    _verified: bool = field(default=False, init=False, repr=False, compare=False)
    _message: object = field(default=None, init=False, repr=False, compare=False)

    @classmethod
    def sign(
        cls, key: IdentityKey, *, run: bytes, step: int, kind: MessageKind, body: bytes, attempt: int = 0
    ) -> Envelope:
        """Return the envelope of `body`, signed by `key`."""
        domain, fields = _domain(kind), _signed_fields(run, step, attempt, kind, key.peer_id, body)
        signature = key.sign(domain + fields)
        envelope = cls(run, step, attempt, kind, key.peer_id, body, signature)
        return envelope._remember(_SEVEN_FIELDS + fields[1:] + _SIGNATURE_HEAD + signature)

    @classmethod
    def decode(cls, data: bytes | memoryview, *, limit: int = MAX_ENVELOPE) -> Envelope:
        """Parse bytes from the network and check the signature.

        Raises:
            Malformed: the bytes are too long, not canonical, of an unknown kind, or the signature does not verify.
        """
        if len(data) > limit:
            raise Malformed(f"{len(data)} bytes where at most {limit} are allowed")
        if len(data) <= _CACHED_SIZE:
            return _decode_cached(data if type(data) is bytes else bytes(data))
        return _decode_verified(bytes(data))

    @classmethod
    def parse(cls, data: bytes | memoryview, *, limit: int = MAX_ENVELOPE) -> Envelope:
        """Parse bytes without checking the signature: for headers of parts, whose sender the connection has proved and
        whose payload a signed commitment fixes, so that the signature matters only once it is to be a proof.

        Raises:
            Malformed: the bytes are too long, not canonical, or of an unknown kind.
        """
        if len(data) > limit:
            raise Malformed(f"{len(data)} bytes where at most {limit} are allowed")
        return cls._decode(bytes(data))

    @classmethod
    def _decode(cls, data: bytes) -> Envelope:
        (run, step, attempt, kind, author, size), at = _read_heading(data)
        end = at + size
        if len(data) != end + _SIGNATURE_FIELD or data[end : end + 2] != _SIGNATURE_HEAD:
            raise Malformed("the bytes of an envelope end with its signature")
        return cls(run, step, attempt, kind, author, data[at:end], data[end + 2 :])._remember(data)

    def _remember(self, encoded: bytes) -> Self:
        """Keep the canonical bytes, unless they are long: they travel again in reports and relays."""
        if len(encoded) <= _CACHED_SIZE:
            object.__setattr__(self, "_encoded", encoded)
        return self

    def __hash__(self) -> int:
        """Of what tells nearly all apart, so that nothing is signed for it and little is read."""
        return hash((self.author, self.body))

    @property
    def size(self) -> int:
        """Bytes of the body, as in `Heading`."""
        return len(self.body)

    def is_genuine(self) -> bool:
        """Whether the signature verifies."""
        try:
            self.verify()
        except Malformed:
            return False
        return True

    def verify(self, covered: bytes = b"") -> None:
        """Check the signature, once; raises Malformed when it does not verify.

        Args:
            covered: the bytes that it is of, where they are at hand.
        """
        if self._verified:
            return
        if not self.author.has_signed(covered or self._covered(), self.signature):
            raise Malformed("the signature does not verify")
        object.__setattr__(self, "_verified", True)

    def read(self, form: type[M]) -> M:
        """Return the body as a message of this class, which is decoded once; raises Malformed.

        Messages are immutable, and peers simulated in one process share the envelope.
        """
        message = self._message
        if type(message) is form:
            return message
        message = form.decode(self.body)
        object.__setattr__(self, "_message", message)
        return message

    def encode(self) -> bytes:
        """Return the canonical bytes that travel."""
        return self._encoded or encode(
            [self.run, self.step, self.attempt, int(self.kind), bytes(self.author), self.body, self.signature]
        )

    def content_digest(self) -> bytes:
        """Return the 32-byte digest of what was signed (two signatures of one content are one statement)."""
        if not self._content:
            object.__setattr__(self, "_content", digest(self._covered()))
        return self._content

    def _covered(self) -> bytes:
        """The bytes that the signature is of."""
        if self._encoded:  # which ends with the signature, so what was signed need not be written again
            return _domain(self.kind) + _SIX_FIELDS + self._encoded[1:-_SIGNATURE_FIELD]
        fields = _signed_fields(self.run, self.step, self.attempt, self.kind, self.author, self.body)
        return _domain(self.kind) + fields


def _domain(kind: MessageKind) -> bytes:
    return _STEP_DOMAIN if kind in STEP_KINDS else _RECORD_DOMAIN


def _signed_fields(run: bytes, step: int, attempt: int, kind: MessageKind, author: PeerId, body: bytes) -> bytes:
    return encode([run, step, attempt, int(kind), bytes(author), body])


class UnsignedEnvelope(Envelope):
    """A message of this peer whose signature is made when somebody asks for it.

    Most headers of parts are never looked at again, and a signature takes as long as everything else about them.
    """

    __slots__ = ("_key",)
    _key: IdentityKey

    @classmethod
    def prepare(
        cls, key: IdentityKey, *, run: bytes, step: int, kind: MessageKind, message: Written, attempt: int = 0
    ) -> UnsignedEnvelope:
        """Return what `sign` returns, but for the time at which it is signed."""
        made, put = object.__new__(cls), object.__setattr__
        put(made, "run", run)
        put(made, "step", step)
        put(made, "attempt", attempt)
        put(made, "kind", kind)
        put(made, "author", key.peer_id)
        put(made, "body", message.encode())
        put(made, "_encoded", b"")
        put(made, "_content", b"")
        put(made, "_verified", True)
        put(made, "_message", message)
        put(made, "_key", key)
        return made

    @property
    def signature(self) -> bytes:
        """The 64-byte signature; Ed25519 gives the same one each time."""
        return self._key.sign(self._covered())

    def __reduce__(self) -> tuple[Callable[..., UnsignedEnvelope], tuple[object, ...]]:
        return _prepared, (self._key, self.run, self.step, self.kind, self._message, self.attempt)


def _prepared(
    key: IdentityKey, run: bytes, step: int, kind: MessageKind, message: Written, attempt: int
) -> UnsignedEnvelope:
    return UnsignedEnvelope.prepare(key, run=run, step=step, kind=kind, message=message, attempt=attempt)


@lru_cache(maxsize=4096)
def _decode_cached(data: bytes) -> Envelope:
    return _decode_verified(data)


def _decode_verified(data: bytes) -> Envelope:
    envelope = Envelope._decode(data)
    envelope.verify(_domain(envelope.kind) + _SIX_FIELDS + data[1:-_SIGNATURE_FIELD])
    return envelope
