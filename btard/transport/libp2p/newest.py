"""The newest record that this node has seen under each key: a reader never goes back, whatever a node serves."""

from __future__ import annotations

from collections import OrderedDict

from hivemind.dht.routing import DHTID

from btard.identity import Envelope
from btard.transport.libp2p.record_rules import RecordRules

MAX_BYTES = 32 << 20
"""Bytes of the records remembered; of more, those looked at longest ago are forgotten."""

_OVERHEAD = 512


class NewestRecords:
    """Remembers records by key. Only what was asked for gets here, so strangers cannot push anything out."""

    def __init__(self, rules: RecordRules) -> None:
        self._rules = rules
        self._seen: OrderedDict[DHTID, Envelope] = OrderedDict()
        self._bytes = 0

    def offer(self, key: DHTID, value: bytes, expiration: float) -> None:
        """Remember a record that a peer has answered with if it is the newest; no signature of others is looked at.

        Raises:
            Malformed: it is none, or its author has not signed it.
        """
        envelope = self._rules.parse(key.to_bytes(), value, expiration)
        newest = self.get(key)
        if newest is None or envelope.step > newest.step:
            envelope.verify()
            self.note(key, envelope)

    def note(self, key: DHTID, envelope: Envelope) -> None:
        """Remember a genuine record in place of the one before."""
        former = self._seen.pop(key, None)
        self._bytes += _size(envelope) - (0 if former is None else _size(former))
        self._seen[key] = envelope
        while self._bytes > MAX_BYTES:
            _, oldest = self._seen.popitem(last=False)
            self._bytes -= _size(oldest)

    def get(self, key: DHTID) -> Envelope | None:
        """Return the newest record seen under a key; None if there is none or it has expired."""
        envelope = self._seen.get(key)
        if envelope is None or self._rules.expired(envelope.step):
            return None
        self._seen.move_to_end(key)
        return envelope


def _size(envelope: Envelope) -> int:
    return len(envelope.body) + _OVERHEAD
