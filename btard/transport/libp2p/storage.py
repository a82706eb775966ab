"""What a DHT node keeps for others, within bounds: hivemind's own storage grows with whatever strangers store."""

from __future__ import annotations

import heapq
from typing import Any

from hivemind.dht.storage import DHTLocalStorage, DictionaryDHTValue

MAX_KEYS = 4096
"""Keys kept before those that expire first are forgotten."""

MAX_KEY_BYTES = 2 << 20
"""Bytes kept under one key. An answer above 4 MiB never reaches who asks, so the key would be lost to everybody."""

_ENTRY_OVERHEAD = 128


class BoundedStorage(DHTLocalStorage):
    """A storage that refuses further authors under a full key, and forgets superseded expiry times."""

    def __init__(self) -> None:
        super().__init__(maxsize=MAX_KEYS)

    def store_subkey(self, key: Any, subkey: Any, value: bytes, expiration_time: float) -> bool:
        """Store one author's record; False when it is not newer than the one kept, or the key is full."""
        held = self.get(key)
        entries = held.value if held is not None and isinstance(held.value, DictionaryDHTValue) else None
        if entries is not None:
            others = sum(len(e.value) + _ENTRY_OVERHEAD for name, e in entries.data.items() if name != subkey)
            if others + len(value) + _ENTRY_OVERHEAD > MAX_KEY_BYTES:
                return False
        stored: bool = super().store_subkey(key, subkey, value, expiration_time)
        for storage in (self, entries):
            if storage is not None:
                _forget_superseded(storage)
        return stored


def _forget_superseded(storage: Any) -> None:
    # Every store pushes an expiry, also of what is refused, and hivemind pops none before its time.
    if len(storage.expiration_heap) > 2 * len(storage.key_to_heap) + 64:
        storage.expiration_heap[:] = storage.key_to_heap.values()
        heapq.heapify(storage.expiration_heap)
