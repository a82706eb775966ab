"""The identity of a peer: Ed25519 keys, the peer ids that contain them, and signed envelopes with canonical bytes."""

from btard.identity.codec import Malformed
from btard.identity.envelope import Envelope, Heading, MessageKind
from btard.identity.keys import IdentityKey
from btard.identity.peer_id import PeerId

__all__ = ["Envelope", "Heading", "IdentityKey", "Malformed", "MessageKind", "PeerId"]
