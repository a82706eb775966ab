"""Deadlines and bounds of the libp2p transport, in one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Every wait and every buffer of the transport is bounded by one of these. Times are seconds, sizes bytes."""

    open_timeout: float = 10.0
    """Dialling a peer and opening a stream to it."""
    stall_timeout: float = 15.0
    """No byte moved in the middle of a message or part: the stream is closed."""
    part_timeout: float = 600.0
    """One part from its announcement to its last byte, however steadily it trickles."""
    idle_timeout: float = 300.0
    """A stream without traffic is closed; it is opened again on demand."""
    send_ttl: float = 60.0
    """What could not be sent within this time is dropped."""
    backoff: float = 0.2
    """Pause after the first failed attempt to open a stream; doubles up to `backoff_most`."""
    backoff_most: float = 5.0
    queue_bytes: int = 16 << 20
    """Control messages waiting for one peer; more are dropped."""
    queue_messages: int = 4096
    queue_parts: int = 64
    """Parts waiting for one peer (references, not copies); more are dropped."""
    drain_bytes: int = 64 << 20
    """A refused part up to this size is read and thrown away; for a larger one the stream is closed."""
    streams_per_peer: int = 2
    """Incoming streams of one kind from one peer; a further one replaces the oldest."""
    streams_total: int = 2048
    """Incoming streams of all kinds from all peers; further ones are refused."""
    message_rate: int = 32 << 20
    """Bytes a second of control messages accepted from one stream; a faster one is read more slowly."""
    request_bytes: int = 64 << 10
    """A fetch request."""
    serve_timeout: float = 30.0
    """The answer to a fetch request must be ready within this time."""
    serves_per_peer: int = 2
    serves_total: int = 8
    """Answers being written at the same time; further requests are told to come again."""


@dataclass
class Counters:
    """What passed and what was lost, since the start."""

    messages_sent: int = 0
    messages_received: int = 0
    messages_dropped: int = 0
    parts_sent: int = 0
    parts_received: int = 0
    parts_refused: int = 0
    parts_failed: int = 0
    parts_dropped: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    streams_refused: int = 0
    violations: int = 0
