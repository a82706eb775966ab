"""Multi-party randomness by commit and reveal (paper, appendix A): nobody can foresee or choose r^t alone."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from btard.hashing import DIGEST_SIZE, tagged_digest
from btard.identity import IdentityKey, PeerId


def secret_share(key: IdentityKey, attempt_id: bytes) -> tuple[bytes, bytes]:
    """Return the own share and salt, 32 bytes each.

    They come from a signature that is never published: nobody without the key can foresee them, and a peer that runs
    twice draws the same.
    """
    secret = key.sign(b"btard share\0" + attempt_id)
    return tagged_digest("btard share value", secret), tagged_digest("btard share salt", secret)


def share_commitment(peer: PeerId, attempt_id: bytes, share: bytes, salt: bytes) -> bytes:
    """Return the 32 bytes that a peer commits to: bound to the peer, and by `attempt_id` to run, step, roster and
    attempt, so that copying another's commitment cannot be opened."""
    return tagged_digest("btard share commitment", attempt_id, peer, share, salt)


def combine(attempt_id: bytes, shares: Iterable[bytes]) -> bytes:
    """Return r^t, the exclusive or of all shares, bound to the attempt."""
    return _combine(attempt_id, tuple(shares))


# In simulations all peers combine the same ones.
@lru_cache(maxsize=4)
def _combine(attempt_id: bytes, shares: tuple[bytes, ...]) -> bytes:
    total = 0
    for share in shares:
        total ^= int.from_bytes(share, "big")
    return tagged_digest("btard randomness", attempt_id, total.to_bytes(DIGEST_SIZE, "big"))
