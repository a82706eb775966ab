"""What a record of the DHT must be: signed by its author, under the one key that is the author's, with a number.

A record is an envelope. Its key follows from run, kind and author, so nobody else can put anything beside it or in its
place. Its `step` is its number, and the DHT's expiry follows from the number, so that "expires last", by which
hivemind's nodes and readers decide, means "has the highest number": storing a record again does not make it newer.

A number counts milliseconds and is at least what its author's clock will show when the record may be forgotten. Clocks
are wrong, by an hour or by a time zone, so nodes keep a record `CLOCK_SLACK_SECONDS` longer, and one that is far ahead,
too: it only concerns its author, which goes on above it.
"""

from __future__ import annotations

from collections.abc import Callable

from hivemind.dht.protocol import DHTProtocol
from hivemind.dht.routing import DHTID
from hivemind.dht.validation import DHTRecord, RecordValidatorBase
from hivemind.utils import get_dht_time

from btard.hashing import tagged_digest
from btard.identity import Envelope, Malformed, MessageKind, PeerId
from btard.identity.codec import as_bytes, decode

MAX_RECORD = 32 << 10
"""Bytes of an envelope that is stored in the DHT."""

MAX_TTL_SECONDS = 3600.0
"""Seconds; the longest time after which a record may be forgotten."""

CLOCK_SLACK_SECONDS = 86400.0
"""Seconds that an author's clock may be behind, or a node's ahead: more than any time zone."""

RECORD_KINDS = frozenset({MessageKind.JOIN, MessageKind.GENESIS, MessageKind.METRICS, MessageKind.BANS})
"""What is told through the DHT; a node keeps one record of each kind for an author."""

MAX_VALUE = MAX_RECORD + 8
"""Bytes of a record as hivemind carries it: the envelope's bytes as one msgpack value."""

Known = Callable[[PeerId], bool]
"""Whether a node stores for this author and counts it among the DHT's nodes."""


def node_id_of(peer: PeerId) -> DHTID:
    """Return the only node id in the DHT that a peer may have."""
    return DHTID.generate(tagged_digest("btard dht node", bytes(peer)))


def record_key(run: bytes, kind: MessageKind, author: PeerId) -> DHTID:
    """Return where in the DHT the record of an author is."""
    return DHTID.generate(tagged_digest("btard dht record", run, bytes([kind]), bytes(author)))


def key_of(envelope: Envelope) -> DHTID:
    """Return where in the DHT this very record belongs."""
    return record_key(envelope.run, envelope.kind, envelope.author)


def expiry_of(number: int) -> float:
    """Return when nodes forget a record of this number, seconds since the epoch."""
    return number / 1000 + CLOCK_SLACK_SECONDS


class RecordRules(RecordValidatorBase):
    """Decides whether a record may be stored or returned. What costs little is looked at first.

    Attributes:
        clock: seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float] = get_dht_time) -> None:
        self.clock = clock

    def parse(self, key: bytes, value: bytes, expiration: float) -> Envelope:
        """Return the record, its signature unchecked; raises Malformed for what can be none."""
        if len(value) > MAX_VALUE:
            raise Malformed(f"{len(value)} bytes where at most {MAX_VALUE} are allowed")
        envelope = Envelope.parse(as_bytes(decode(value, limit=MAX_VALUE), most=MAX_RECORD), limit=MAX_RECORD)
        if envelope.kind not in RECORD_KINDS:
            raise Malformed(f"{envelope.kind.name} is no record")
        if key != key_of(envelope).to_bytes():
            raise Malformed("the record belongs under another key")
        if expiration != expiry_of(envelope.step):
            raise Malformed("the expiry does not follow from the number")
        return envelope

    def expired(self, number: int) -> bool:
        """Whether a record of this number is forgotten by now."""
        return expiry_of(number) < self.clock()

    def validate(self, record: DHTRecord) -> bool:
        """Whether hivemind may store or return the record; called with hostile bytes."""
        try:
            if record.subkey != DHTProtocol.IS_REGULAR_VALUE:
                return False
            self.parse(record.key, record.value, record.expiration_time).verify()
        except Malformed:
            return False
        return True
