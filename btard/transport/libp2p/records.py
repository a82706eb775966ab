"""Signed records in the DHT: one small envelope an author under a key, which nodes refuse to store unsigned.

The DHT only helps to find things. Nodes near a key can withhold a record or serve an old one, and the signature covers
neither the key nor the expiry: whoever reads a record checks in its body that it is meant for this key and is recent.
"""

from __future__ import annotations

import asyncio
import logging

from hivemind.dht import DHTNode
from hivemind.dht.validation import DHTRecord, RecordValidatorBase
from hivemind.utils import get_dht_time

from btard.errors import UserError
from btard.identity import Envelope, Malformed, PeerId
from btard.identity.codec import as_bytes, as_text, decode
from btard.transport.libp2p.storage import BoundedStorage

logger = logging.getLogger(__name__)

MAX_RECORD = 32 << 10
"""Bytes of an envelope that is stored in the DHT."""

MAX_TTL = 3600.0
"""Seconds; nodes refuse records that want to be kept longer."""

_MAX_CLOCK_SKEW = 60.0
_MAX_SUBKEY = 128


class RecordError(Exception):
    """A record could not be published: too large, too long-lived, or no node stored it in time."""


class SignedRecordValidator(RecordValidatorBase):
    """Accepts only records whose subkey is the peer id of the author whose signature the value carries."""

    def validate(self, record: DHTRecord) -> bool:
        """Whether a node may store or return the record; called with hostile bytes."""
        try:
            author = PeerId.parse(as_text(decode(record.subkey, limit=_MAX_SUBKEY), most=_MAX_SUBKEY))
            value = as_bytes(decode(record.value, limit=MAX_RECORD + 16), most=MAX_RECORD)
            envelope = Envelope.decode(value, limit=MAX_RECORD)
        except (Malformed, UserError) as error:
            logger.debug("refusing a record: %s", error)
            return False
        return envelope.author == author and record.expiration_time <= get_dht_time() + MAX_TTL + _MAX_CLOCK_SKEW


class Records:
    """Publishes and reads signed records through an in-process DHT node."""

    def __init__(self, dht: DHTNode) -> None:
        self._dht = dht
        dht.protocol.storage, dht.protocol.cache = BoundedStorage(), BoundedStorage()

    async def publish(self, key: str, envelope: Envelope, ttl: float, *, timeout: float = 10.0) -> None:
        """Store `envelope` under `key`, in place of its author's former record there.

        Args:
            key: the name under which readers look.
            envelope: at most MAX_RECORD bytes encoded.
            ttl: seconds until nodes forget it, at most MAX_TTL.
            timeout: seconds that this call may take.

        Raises:
            RecordError: too large, too long-lived, or not stored by any node in time.
        """
        data = envelope.encode()
        if len(data) > MAX_RECORD:
            raise RecordError(f"a record has {len(data)} bytes where at most {MAX_RECORD} are allowed")
        if not 0 < ttl <= MAX_TTL:
            raise RecordError(f"a record lives between 0 and {MAX_TTL:g} s, not {ttl:g} s")
        try:
            async with asyncio.timeout(timeout):
                stored = await self._dht.store(key, data, get_dht_time() + ttl, subkey=str(envelope.author))
        except TimeoutError:
            raise RecordError(f"no node stored the record within {timeout:g} s") from None
        if not stored:
            raise RecordError("no node stored the record; it may have a newer one of the same author")

    async def read(self, key: str, *, limit: int = 1024, timeout: float = 10.0) -> dict[PeerId, Envelope]:
        """Return the latest valid record of each author under `key`; empty when nothing was found in time.

        Args:
            key: the name.
            limit: authors returned at most; of more, those whose records expire last.
            timeout: seconds that this call may take.
        """
        try:
            async with asyncio.timeout(timeout):
                found = await self._dht.get(key, latest=True)
        except TimeoutError:
            logger.warning("reading %r from the DHT took longer than %g s", key, timeout)
            return {}
        if found is None or not isinstance(found.value, dict):
            return {}
        latest_first = sorted(found.value.items(), key=lambda entry: -entry[1].expiration_time)
        records: dict[PeerId, Envelope] = {}
        for subkey, entry in latest_first[:limit]:
            try:
                author = PeerId.parse(as_text(subkey, most=_MAX_SUBKEY))
                envelope = Envelope.decode(as_bytes(entry.value, most=MAX_RECORD), limit=MAX_RECORD)
            except (Malformed, UserError) as error:
                logger.debug("ignoring a record under %r: %s", key, error)
                continue
            if envelope.author == author:
                records[author] = envelope
        return records
