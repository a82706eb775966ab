"""The interface between a peer's protocol and a network.

Two kinds of traffic: small control messages (signed envelopes) and parts (a small signed header, megabytes of payload).
Control messages never wait behind parts. The transport authenticates the neighbour: `sender` is the peer id that the
connection proved, never a field of the message.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from btard.hashing import Payload
from btard.identity import PeerId


class Inbox(Protocol):
    """What a transport calls when something arrives. Calls are made from the event loop, one at a time.

    No method may raise: a peer's bytes are hostile, and an implementation drops what it does not like.
    """

    def on_message(self, sender: PeerId, data: bytes) -> None:
        """A control message of at most MAX_ENVELOPE bytes arrived."""

    def accept_part(self, sender: PeerId, header: bytes, length: int) -> memoryview | None:
        """A part of `length` bytes is announced: return a writable buffer of that length, or None to refuse it.

        Nothing is allocated by the transport; a refused payload is drained within bounds or the stream is closed.
        """

    def on_part(self, sender: PeerId, header: bytes, payload: memoryview, digest: bytes) -> bool:
        """The payload that was accepted is complete; `digest` is its 32-byte BLAKE3, computed while it arrived.

        Returns whether it is of no use, so that its sender pays for the time that it took.
        """

    def on_part_failed(self, sender: PeerId, header: bytes) -> None:
        """The payload that was accepted will not come: its stream broke or stalled. The buffer is free again."""


@dataclass(frozen=True)
class PeerAddress:
    """A peer and where it can be dialled."""

    peer_id: PeerId
    maddrs: tuple[str, ...]


class Transport(Protocol):
    """What a peer may ask of a network. Sending never blocks and never raises: what cannot be delivered is lost."""

    @property
    def peer_id(self) -> PeerId:
        """The own peer id."""

    def send(self, peer: PeerId, data: bytes) -> None:
        """Queue a control message; order to one peer is kept."""

    def send_part(self, peer: PeerId, header: bytes, payload: Payload) -> None:
        """Queue a part. The payload is not copied: it must not change until the step is over."""
