"""What a DHT node keeps for others: one record a kind of each author that it knows, within bounds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from hivemind.dht.routing import DHTID
from hivemind.utils.timed_storage import ValueWithExpiration

from btard.identity import Envelope, Malformed, MessageKind, PeerId
from btard.transport.libp2p.record_rules import Known, RecordRules, expiry_of

MAX_RECORDS = 4096
"""Records kept."""

MAX_BYTES = 32 << 20
"""Bytes of all records kept; a swarm of 256 whose members all fill every kind stays below."""


class Taken(Enum):
    """What became of a record that somebody wants stored."""

    STORED = auto()
    NOT_NEWER = auto()
    """One with this number or a higher one is kept already."""
    UNKNOWN = auto()
    """Of an author that this node stores nothing for."""
    FULL = auto()
    MALFORMED = auto()
    FORGED = auto()
    """Well-formed, but its author has not signed it."""


@dataclass(frozen=True, slots=True)
class _Kept:
    envelope: Envelope
    value: bytes
    expiration: float


class RecordStorage:
    """Stands in the place of hivemind's own storage and cache, which grow with whatever strangers store.

    Attributes:
        known: whose records are kept beside the own ones; None: everybody's.
        data: what is kept, by key.
    """

    def __init__(self, own: PeerId, rules: RecordRules) -> None:
        self._own = own
        self._rules = rules
        self._places: dict[tuple[PeerId, MessageKind], DHTID] = {}
        self._bytes = 0
        self.known: Known | None = None
        self.data: dict[DHTID, _Kept] = {}

    def take(self, key: DHTID, value: bytes, expiration: float) -> Taken:
        """Keep a record if it may be kept; called with hostile bytes, and cheap for those that are refused."""
        kept = self.data.get(key)
        if kept is not None and kept.expiration >= expiration:
            return Taken.NOT_NEWER
        try:
            envelope = self._rules.parse(key.to_bytes(), value, expiration)
        except Malformed:
            return Taken.MALFORMED
        if self._rules.expired(envelope.step):
            return Taken.NOT_NEWER
        if not self._keeps_for(envelope.author):
            return Taken.UNKNOWN
        former = self._places.get((envelope.author, envelope.kind))
        if former is not None and self.data[former].envelope.step >= envelope.step:
            return Taken.NOT_NEWER
        if not self._has_room(envelope.author, len(value)):
            return Taken.FULL
        try:
            envelope.verify()
        except Malformed:
            return Taken.FORGED
        self._keep(key, _Kept(envelope, value, expiration))
        return Taken.STORED

    def keep_own(self, key: DHTID, envelope: Envelope, value: bytes) -> None:
        """Keep a record of this peer, whatever its clock says."""
        self._keep(key, _Kept(envelope, value, expiry_of(envelope.step)))

    def envelope(self, key: DHTID) -> Envelope | None:
        """Return the record that is kept under a key, or None."""
        kept = self.data.get(key)
        return None if kept is None or self._rules.expired(kept.envelope.step) else kept.envelope

    def forget_unknown(self) -> None:
        """Drop the records of those that are not known any more."""
        for key, kept in list(self.data.items()):
            if not self._keeps_for(kept.envelope.author):
                self._drop(key)

    def _keeps_for(self, author: PeerId) -> bool:
        return author == self._own or self.known is None or self.known(author)

    def _has_room(self, author: PeerId, more: int) -> bool:
        def fits() -> bool:
            return author == self._own or (len(self.data) < MAX_RECORDS and self._bytes + more <= MAX_BYTES)

        if not fits():
            for key, kept in list(self.data.items()):
                if self._rules.expired(kept.envelope.step):
                    self._drop(key)
            self.forget_unknown()
        return fits()

    def _keep(self, key: DHTID, new: _Kept) -> None:
        place = new.envelope.author, new.envelope.kind
        # Perhaps under another key, if it is of another run: one record a kind of each author.
        if place in self._places:
            self._drop(self._places[place])
        self.data[key] = new
        self._places[place] = key
        self._bytes += len(new.value)

    def _drop(self, key: DHTID) -> None:
        kept = self.data.pop(key)
        self._bytes -= len(kept.value)
        del self._places[kept.envelope.author, kept.envelope.kind]

    # What hivemind calls.

    def store(self, key: DHTID, value: bytes, expiration_time: float, subkey: object = None) -> bool:
        """Keep a record; False if it is refused."""
        return subkey is None and self.take(key, value, expiration_time) is Taken.STORED

    def store_subkey(self, key: DHTID, subkey: object, value: bytes, expiration_time: float) -> bool:
        """Refuse: records have no subkeys."""
        return False

    def get(self, key: DHTID) -> ValueWithExpiration[bytes] | None:
        """Return what is kept under a key, or None."""
        kept = self.data.get(key)
        if kept is None or self._rules.expired(kept.envelope.step):
            return None
        return ValueWithExpiration(kept.value, kept.expiration)

    def items(self) -> Iterator[tuple[DHTID, ValueWithExpiration[bytes]]]:
        """Iterate over what is kept."""
        return ((key, ValueWithExpiration(kept.value, kept.expiration)) for key, kept in self.data.items())

    def __contains__(self, key: DHTID) -> bool:
        return self.get(key) is not None

    def __len__(self) -> int:
        return len(self.data)
