"""Deadlines and bounds of the libp2p transport, in one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Every wait and every buffer of the transport is bounded by one of these. Times are seconds, sizes bytes.

    Strangers are all peers that `Libp2pTransport.is_member` does not know; what is theirs they share among themselves.
    """

    open_timeout: float = 10.0
    """Dialling a peer and opening a stream to it."""
    head_start: float = 1.0
    """Dialling a peer directly, before a third peer is asked to pass on what is said."""
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
    stranger_streams: int = 256
    """Incoming streams from all strangers for questions, and as many for messages and parts; a further one replaces the
    oldest that is not being answered."""
    stranger_message_bytes: int = 256 << 10
    """A control message of a stranger; for a longer one the stream is closed."""
    openings_rate: float = 20.0
    """Streams a second that a peer may open in the long run; one that opens more is disconnected."""
    openings_burst: float = 512.0
    """Streams that a peer may open at once."""

    circuits: int = 256
    """Connections of members to peers that they cannot dial which this one passes on."""
    stranger_circuits: int = 16
    """The same of strangers, together."""

    message_rate: int = 32 << 20
    """Bytes a second of control messages read from one member, or from all strangers; the rest waits unread."""
    work_share: float = 0.05
    """Share of a core that one member may cost this process in the long run by messages, questions, streams and useless
    parts; then it is read only as fast as that. All that strangers ask, and all that they send, has one share each."""
    work_burst_seconds: float = 0.25
    """Seconds of processor time that each of these may cost at once."""
    crowd_share: float = 0.25
    """Share of a core that all those whose burst is used up may cost together."""

    request_bytes: int = 64 << 10
    """A fetch request."""
    request_timeout: float = 10.0
    """A fetch request must have come within this time after its stream was opened."""
    requests_per_peer: int = 8
    """Fetch streams open at the same time from one peer; further requests are told to come again."""
    serve_timeout: float = 30.0
    """The answer to a fetch request must be ready within this time."""
    small_answer: int = 256 << 10
    """An answer up to this size is sent at once and takes no slot. p2pd's socket must hold it (`pipe`)."""
    serves_per_peer: int = 2
    """Requests of one member that are being worked on at the same time, and as many large answers to it."""
    serves_total: int = 8
    """Large answers to strangers at the same time, one for each of them. Members have slots of their own."""
    requests_total: int = 64
    """Requests of strangers that are being worked on at the same time."""
    answers_bytes: int = 1 << 30
    """Memory of large answers to members that are being sent, one that several read counted once, and half as much for
    strangers; one more makes the oldest lose their slots."""
    reader_rate: int = 16 << 10
    """Bytes a second that a peer must take of a large answer; a slower one loses its slot."""
    reader_window_seconds: float = 10.0
    """Seconds over which that rate is looked at."""
    answer_timeout: float = 1800.0
    """A large answer from its first to its last byte."""
    stranger_upload: int = 16 << 20
    """Bytes a second of large answers to all strangers together."""


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
    pauses: int = 0
    """How often somebody had used up its share of this process and was left unread."""
    disconnections: int = 0
    """How often somebody opened too many streams."""
    requests_refused: int = 0
    """Questions that were told to come again."""
    answers_lost: int = 0
    """Large answers whose reader lost its slot."""
