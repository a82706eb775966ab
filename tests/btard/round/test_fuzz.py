"""A swarm under a hail of hostile input: nothing raises, and the honest peers still finish with the same bytes.

One member, or several strangers, say anything at any moment through anybody's connection: random bytes, recorded
messages with bits flipped, well-formed lies under a real key, headers with wrong lengths, payloads never accepted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import Phase as Stage
from hypothesis import strategies as st

from btard.agreement.messages import Package, Statement
from btard.agreement.wire import pack
from btard.behaviour import Behaviour, LeaveReason
from btard.hashing import digest
from btard.identity import Envelope, IdentityKey, MessageKind, PeerId
from btard.round.actions import OutcomeKind
from btard.round.messages.accusations import Ballot, Charge, ChargeKind, Fault, Opinion, Relay, Report, Vote
from btard.round.messages.bodies import BROADCASTS, Aggregate, Commit, Digest, Leave, PartHeader, Phase, Reveal, Scalars
from btard.round.messages.requests import Certificate, Forward, Pull
from btard.transport.memory import SimulatedPeer
from tests.btard.round.swarm import Swarm, keys, rules_of

COUNT = 5
LIAR = 2
STEPS = 2
RULES = rules_of(COUNT)
KEYS = keys(COUNT)
PEERS = tuple(key.peer_id for key in KEYS)
STRANGER = IdentityKey.from_seed(digest(b"stranger"))
D = digest(b"d")

moments = st.floats(0.0, 0.3)  # commitments leave at 0.1 s, and a step takes 0.04 s more
senders = st.sampled_from([*PEERS, STRANGER.peer_id])
digests = st.sampled_from([D, digest(b"e"), digest(bytes(32)), digest(b"")])
members = st.sets(st.sampled_from(PEERS)).map(lambda chosen: tuple(sorted(chosen))) | st.just(PEERS)
complaints = st.dictionaries(st.sampled_from(PEERS), st.sampled_from(Fault)).map(lambda c: tuple(sorted(c.items())))
Recorded = list[bytes]


@dataclass(frozen=True)
class Lie:
    """A well-formed body; those that carry other messages get recorded ones, chosen by number."""

    kind: MessageKind
    make: Callable[[Recorded], bytes]
    label: str

    def __repr__(self) -> str:
        return self.label


asked = st.tuples(
    st.sampled_from([MessageKind.PART, MessageKind.AGGREGATE]), st.sampled_from(PEERS), st.integers(0, COUNT)
) | st.tuples(st.sampled_from(BROADCASTS), st.sampled_from(PEERS), st.just(0))


def lie(kind: MessageKind, strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Lie]:
    return strategy.map(lambda body: Lie(kind, lambda _: body.encode(), f"{kind.name} {body!r}"))


def with_recorded(kind: MessageKind, build: Callable[..., Any], *rest: st.SearchStrategy[Any]) -> Any:
    def made(picked: list[int], *drawn: Any) -> Lie:
        def make(recorded: Recorded) -> bytes:
            chosen = tuple(recorded[i % len(recorded)] for i in picked) if recorded else ()
            return bytes(build(*drawn, chosen).encode())

        return Lie(kind, make, f"{kind.name} {drawn} of recorded {picked}")

    return st.builds(made, st.lists(st.integers(0, 200), max_size=8), *rest)


def relayed(votes: bool, messages: tuple[bytes, ...]) -> Relay:
    """Give messages out as statements of their authors."""
    members = sorted(PEERS)
    statements = tuple(Statement(members[i % COUNT], digest(data), data) for i, data in enumerate(messages))
    return Relay(votes, pack(Package(statements), members))


charges = st.builds(Charge, st.sampled_from(ChargeKind), st.sampled_from(PEERS), st.integers(0, COUNT))
ballots = st.builds(Ballot, st.sampled_from(PEERS), charges, st.sampled_from(Opinion), members)
floats = st.lists(st.floats(), max_size=COUNT + 1).map(tuple) | st.just((0.0,) * COUNT)
lies = st.one_of(
    lie(
        MessageKind.COMMIT,
        st.builds(
            Commit,
            digests,
            digests,
            digests,
            st.lists(digests, max_size=6).map(tuple),
            digests,
            digests | st.just(b""),
            members,
        ),
    ),
    lie(MessageKind.REVEAL, st.builds(Reveal, digests, digests)),
    lie(
        MessageKind.SCALARS,
        st.builds(Scalars, digests, floats, floats, st.sets(st.integers(0, COUNT)).map(lambda s: tuple(sorted(s)))),
    ),
    lie(
        MessageKind.PULL,
        st.builds(
            Pull,
            st.sets(asked, min_size=1, max_size=6).map(lambda items: tuple(sorted(items))),
        ),
    ),
    lie(
        MessageKind.VOTE,
        st.builds(
            Vote,
            digests,
            st.lists(ballots, max_size=3, unique_by=lambda b: b.accuser).map(
                lambda cast: tuple(sorted(cast, key=lambda b: b.accuser))
            ),
        ),
    ),
    lie(MessageKind.PART, st.builds(PartHeader, st.integers(0, COUNT), digests)),
    lie(MessageKind.AGGREGATE, st.builds(Aggregate, digests)),
    lie(MessageKind.DIGEST, st.builds(Digest, digests, digests, digests, digests)),
    lie(MessageKind.LEAVE, st.builds(Leave, st.sampled_from(LeaveReason))),
    with_recorded(MessageKind.FORWARD, Forward),
    with_recorded(
        MessageKind.REPORT, Report, st.sampled_from(Phase), st.booleans(), members, complaints, st.none() | charges
    ),
    with_recorded(MessageKind.RELAY, relayed, st.booleans()),
    with_recorded(MessageKind.CERTIFICATE, Certificate),
    st.builds(
        lambda kind, body: Lie(kind, lambda _: body, f"{kind.name} {body!r}"),
        st.sampled_from(MessageKind),
        st.binary(max_size=60),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Raw:
    """Random bytes over some connection."""

    sender: PeerId
    data: bytes

    def hit(self, target: SimulatedPeer, recorded: Recorded) -> None:
        target.receive(self.sender, self.data)
        target.session.accept_part(self.sender, self.data, len(self.data))
        now = target.network.now
        target.session.on_part(self.sender, self.data, digest(self.data))
        target.perform(target.session.on_part_failed(now, self.sender, self.data))


@dataclass(frozen=True)
class Replayed:
    """A recorded message, perhaps with flipped bits, over some connection."""

    sender: PeerId
    number: int
    flips: tuple[tuple[int, int], ...]

    def hit(self, target: SimulatedPeer, recorded: Recorded) -> None:
        if recorded:
            data = bytearray(recorded[self.number % len(recorded)])
            for position, mask in self.flips:
                data[position % len(data)] ^= mask
            Raw(self.sender, bytes(data)).hit(target, recorded)


@dataclass(frozen=True)
class Told:
    """A lie, signed by the liar or a stranger."""

    key: IdentityKey
    what: Lie
    step: int
    attempt: int

    def envelope(self, recorded: Recorded) -> bytes:
        return Envelope.sign(
            self.key,
            run=RULES.run,
            step=self.step,
            attempt=self.attempt,
            kind=self.what.kind,
            body=self.what.make(recorded),
        ).encode()

    def hit(self, target: SimulatedPeer, recorded: Recorded) -> None:
        target.receive(self.key.peer_id, self.envelope(recorded))


@dataclass(frozen=True)
class Announced(Told):
    """A lie as the header of a payload, which then arrives, breaks off, or neither."""

    length: int
    end: str

    def hit(self, target: SimulatedPeer, recorded: Recorded) -> None:
        header, sender, now = self.envelope(recorded), self.key.peer_id, target.network.now
        buffer = target.session.accept_part(sender, header, self.length)
        if self.end == "arrives":
            payload = buffer if buffer is not None else memoryview(bytearray(max(0, self.length)))
            target.session.on_part(sender, header, digest(payload))
            target.network.touch(target)
        elif self.end == "breaks off":
            target.perform(target.session.on_part_failed(now, sender, header))


# A failing hail replays as it is: making it smaller would take minutes.
STAGES = (Stage.explicit, Stage.reuse, Stage.generate)
hits = st.one_of(
    st.builds(Raw, senders, st.binary(max_size=80)),
    st.builds(
        Replayed,
        senders,
        st.integers(0, 200),
        st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=3).map(tuple),
    ),
    st.builds(Told, st.sampled_from([KEYS[LIAR], STRANGER]), lies, st.integers(0, STEPS), st.integers(0, 2)),
    st.builds(
        Announced,
        st.sampled_from([KEYS[LIAR], STRANGER]),
        lies,
        st.integers(0, STEPS),
        st.integers(0, 2),
        st.sampled_from([32, 0, 31, 33, -1]),
        st.sampled_from(["arrives", "breaks off", "neither"]),
    ),
)
hails = st.lists(st.tuples(moments, st.integers(0, COUNT - 1), hits), max_size=25)


class Recording(SimulatedPeer):
    """Hears everything, and keeps it for a replay."""

    recorded: Recorded

    def receive(self, sender: PeerId, data: bytes) -> None:
        if data and len(self.recorded) < 200:
            self.recorded.append(data)
        super().receive(sender, data)


def hailed(hail: list[tuple[float, int, Any]]) -> Swarm:
    recorded: Recorded = []

    def peer_type(*arguments: Any, **named: Any) -> SimulatedPeer:
        peer = Recording(*arguments, **named)
        peer.recorded = recorded
        return peer

    swarm = Swarm(COUNT, steps=STEPS, behaviours={LIAR: Behaviour()}, peer_type=peer_type)
    for moment, target, hit in hail:
        if target != LIAR:
            swarm.network.at(moment, lambda t=target, h=hit: h.hit(swarm.peers[t], list(recorded)))  # type: ignore[misc]
    swarm.run()
    return swarm


@example([])
@given(hails)
@settings(max_examples=100, phases=STAGES, suppress_health_check=[HealthCheck.too_slow])
def test_no_input_raises_and_the_honest_finish_alike(hail: list[tuple[float, int, Any]]) -> None:
    swarm = hailed(hail)
    swarm.check_agreement()
    goers = [peer for peer in swarm.honest if len(peer.finished()) == STEPS]
    out = [peer for peer in swarm.honest if peer not in goers]
    assert len(out) <= 1, "a liar takes one honest peer along at most"
    # A peer that is told two digests, and the others one, may be left alone; it joins again.
    alone = (OutcomeKind.SUSPENDED, OutcomeKind.NO_MAJORITY)
    assert all(peer.stopped and peer.stopped.kind in alone for peer in out)
    last = goers[0].finished()[-1].roster
    assert last.banned <= {PEERS[LIAR]}
    assert {peer.peer_id for peer in goers} <= set(last.members)


strangers_hits = st.one_of(
    st.builds(Raw, senders, st.binary(max_size=80)),
    st.builds(
        Replayed,
        st.just(STRANGER.peer_id),
        st.integers(0, 200),
        st.lists(st.tuples(st.integers(0, 999), st.integers(0, 255))).map(tuple),
    ),
    st.builds(Told, st.just(STRANGER), lies, st.integers(0, STEPS), st.integers(0, 2)),
    st.builds(
        Announced,
        st.just(STRANGER),
        lies,
        st.integers(0, STEPS),
        st.integers(0, 2),
        st.sampled_from([32, 0, 31]),
        st.sampled_from(["arrives", "breaks off"]),
    ),
)


@given(st.lists(st.tuples(moments, st.integers(0, COUNT - 1), strangers_hits), max_size=25))
@settings(max_examples=40, phases=STAGES, suppress_health_check=[HealthCheck.too_slow])
def test_strangers_change_nothing_at_all(hail: list[tuple[float, int, Any]]) -> None:
    calm, stormy = hailed([]), hailed(hail)
    for before, after in zip(calm.peers, stormy.peers, strict=True):
        assert [bytes(result.flat) for result in after.finished()] == [bytes(r.flat) for r in before.finished()]
        assert [result.roster for result in after.finished()] == [result.roster for result in before.finished()]
    assert stormy.network.now == calm.network.now
