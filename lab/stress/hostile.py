"""Messages that cost little to send and are meant to cost much to read, and a peer that reads them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from btard.agreement.messages import Endorsement, Package, Spoken, Statement, VectorVote, VoteRound
from btard.agreement.wire import pack
from btard.behaviour import Behaviour, LeaveReason
from btard.hashing import digest, tagged_digest
from btard.identity import Envelope, IdentityKey, MessageKind, PeerId
from btard.identity.codec import encode
from btard.identity.envelope import STEP_KINDS
from btard.round.messages.accusations import Ballot, Charge, ChargeKind, Fault, Opinion, Relay, Report, Vote
from btard.round.messages.bodies import Aggregate, Commit, Digest, Leave, PartHeader, Phase, Reveal, Scalars
from btard.round.messages.caps import Caps, caps_of
from btard.round.messages.requests import Certificate, Forward, Pull
from btard.round.roster import Roster, first_randomness
from btard.round.rules import AggregationRules, StepRules
from btard.round.session import Session
from btard.vocabulary import MAX_PEERS, WireType

IN_A_STEP = tuple(sorted(STEP_KINDS))

_TOO_LONG = 1 << 10
_D = digest(b"d")
_SECONDS = 10.0


@dataclass(frozen=True)
class Specimen:
    """A message, and what is remarkable about it.

    Attributes:
        honest: whether honest peers send such messages.
    """

    kind: MessageKind
    what: str
    data: bytes
    honest: bool = False


class Victim:
    """An honest peer that has begun a step among `count` members, of which the last lies."""

    def __init__(self, count: int) -> None:
        made = [IdentityKey.from_seed(tagged_digest("btard hostile", i.to_bytes(2, "big"))) for i in range(count)]
        self.keys = sorted(made, key=lambda key: key.peer_id)
        self.members = tuple(key.peer_id for key in self.keys)
        self.roster = Roster(0, self.members, frozenset(), first_randomness(0, 0))
        aggregation = AggregationRules("centered_clip", tau=1.0, reference_peers=count)
        seconds = (_SECONDS,) * 5
        self.rules = StepRules(bytes(16), 1024, WireType.FLOAT32, *seconds, aggregation)
        self.restart()

    def restart(self) -> None:
        """Begin the step anew."""
        self.session = Session(self.rules, self.keys[0], Behaviour())
        self.session.begin(0.0, self.roster, _D)
        assert self.session.machine is not None
        self.attempt_id = self.session.machine.attempt.seats.attempt_id

    @property
    def liar(self) -> IdentityKey:
        """Whose connection the messages come from."""
        return self.keys[-1]

    @property
    def caps(self) -> Caps:
        """Of the roster."""
        return caps_of(len(self.members))

    def sign(self, kind: MessageKind, body: bytes, *, by: IdentityKey | None = None, step: int = 0) -> bytes:
        """Return a message of the first attempt, of the liar if not of another."""
        return Envelope.sign(by or self.liar, run=self.rules.run, step=step, kind=kind, body=body).encode()

    def hear(self, data: bytes) -> None:
        """Let a message arrive from the liar."""
        self.session.on_message(0.0, self.liar.peer_id, data)


def commit(listener: Victim, *, parts: int | None = None) -> bytes:
    """Return the body of a commitment, to as many parts as there are members if nothing else is said."""
    count = len(listener.members) if parts is None else parts
    return Commit(listener.attempt_id, _D, _D, (_D,) * count, _D, b"", ()).encode()


def honest_bodies(listener: Victim) -> dict[MessageKind, bytes]:
    """Return a body of each kind as honest peers send them."""
    members, attempt_id = listener.members, listener.attempt_id
    zeros = (0.0,) * len(members)
    reveals = tuple(listener.sign(MessageKind.REVEAL, Reveal(_D, _D).encode(), by=key) for key in listener.keys)
    digests = tuple(
        listener.sign(MessageKind.DIGEST, Digest(attempt_id, _D, _D, _D).encode(), by=key) for key in listener.keys
    )
    charge = Charge(ChargeKind.WRONG_SUM, members[0], 0)
    report = Report(Phase.REVEAL, False, members, ((members[0], Fault.NO_REVEAL),), charge, reveals, members[:1])
    ballots = tuple(Ballot(peer, charge, Opinion.GUILTY, members[:4]) for peer in members)
    return {
        MessageKind.COMMIT: commit(listener),
        MessageKind.PART: PartHeader(0, _D).encode(),
        MessageKind.AGGREGATE: Aggregate(_D).encode(),
        MessageKind.REVEAL: Reveal(_D, _D).encode(),
        MessageKind.SCALARS: Scalars(attempt_id, zeros, zeros, tuple(range(len(members)))).encode(),
        MessageKind.DIGEST: Digest(attempt_id, _D, _D, _D).encode(),
        MessageKind.LEAVE: Leave(LeaveReason.SHUTDOWN).encode(),
        MessageKind.ASK: b"",
        MessageKind.CERTIFICATE: Certificate(digests).encode(),
        MessageKind.PULL: Pull(tuple((MessageKind.COMMIT, peer, 0) for peer in members)).encode(),
        MessageKind.VOTE: Vote(attempt_id, ballots).encode(),
        MessageKind.FORWARD: Forward(reveals).encode(),
        MessageKind.REPORT: report.encode(),
        MessageKind.RELAY: relay(
            listener, [listener.sign(MessageKind.REPORT, report.encode(), by=key) for key in listener.keys[:2]]
        ),
    }


def hostile(listener: Victim) -> Iterator[Specimen]:
    """Yield what a liar may say of every kind: too long, of too many parts, foreign, forged."""
    for kind in IN_A_STEP:
        most = listener.caps.body[kind]
        for size, long in ((most, "as long as may be"), (most + _TOO_LONG, "longer than that")):
            for what, body in _lists(size):
                yield Specimen(kind, f"{what}, {long}", listener.sign(kind, body))
    yield from _carriers(listener)
    longest = b"\xdd\x00\x3f\xf0\x00" + b"\x90" * 0x3FF000
    yield Specimen(MessageKind.VOTE, "empty lists, as long as any message", listener.sign(MessageKind.VOTE, longest))
    many = tuple(PeerId.from_public_key(bytes(30) + i.to_bytes(2, "big")) for i in range(MAX_PEERS))
    yield Specimen(
        MessageKind.COMMIT, "1024 parts", listener.sign(MessageKind.COMMIT, commit(listener, parts=MAX_PEERS))
    )
    asked = Pull(tuple((MessageKind.PART, peer, 0) for peer in many[: (listener.caps.body[MessageKind.PULL] // 45)]))
    yield Specimen(MessageKind.PULL, "asks for parts of strangers", listener.sign(MessageKind.PULL, asked.encode()))
    charge = Charge(ChargeKind.GRADIENT, many[0], 0)
    named = max(1, (listener.caps.body[MessageKind.VOTE] - 200) // 40)
    vote = Vote(listener.attempt_id, (Ballot(many[0], charge, Opinion.GUILTY, many[:named]),))
    yield Specimen(MessageKind.VOTE, "names strangers", listener.sign(MessageKind.VOTE, vote.encode()))


def _lists(size: int) -> Iterator[tuple[str, bytes]]:
    """Yield bodies of so many bytes that hold many small things."""
    count = (size - 5).to_bytes(4, "big")
    yield "empty lists", b"\xdd" + count + b"\x90" * (size - 5)
    yield "lists of empty lists", (b"\xdc\x00\xff" + b"\x90" * 255) * (size // 258)
    yield "lists in lists", b"\x91" * size
    yield "empty strings", b"\xdc\x04\x00" + b"\xc4\x00" * ((size - 3) // 2)
    yield "large claims", b"\xdd\xff\xff\xff\xff" * (size // 5)
    yield "numbers", b"\xdd" + ((size - 5) // 5).to_bytes(4, "big") + b"\xce\x01\x01\x01\x01" * ((size - 5) // 5)


def _carriers(listener: Victim) -> Iterator[Specimen]:
    """Yield reports, relays, forwards and certificates full of other messages."""
    caps, members = listener.caps, listener.members
    carrier = caps.carrier
    leave = Leave(LeaveReason.SHUTDOWN).encode()
    strangers = [IdentityKey.from_seed(tagged_digest("btard stranger", i.to_bytes(2, "big"))) for i in range(64)]
    foreign = [listener.sign(MessageKind.VOTE, i.to_bytes(3, "big"), step=10**6) for i in range(64)]
    crowd = [listener.sign(MessageKind.LEAVE, leave, by=key) for key in strangers]
    true = listener.sign(MessageKind.LEAVE, leave)
    forged = [true[:-2] + bytes(divmod(i, 256)) for i in range(2 * MAX_PEERS)]

    def filled(items: list[bytes], most: int, room: int) -> tuple[bytes, ...]:
        count = min(most, room // (len(items[0]) + 8))
        return tuple(items[i % len(items)] for i in range(count))

    def report(attached: tuple[bytes, ...], named: tuple[PeerId, ...] = members) -> bytes:
        return listener.sign(MessageKind.REPORT, Report(Phase.COMMIT, False, named, (), None, attached).encode())

    room = carrier - 512 - 40 * len(members)
    yield Specimen(MessageKind.REPORT, "attachments of another step", report(filled(foreign, 12 * MAX_PEERS, room)))
    yield Specimen(MessageKind.REPORT, "goodbyes of strangers", report(filled(crowd, 12 * MAX_PEERS, room)))
    yield Specimen(MessageKind.REPORT, "forged goodbyes", report(filled(forged, 12 * MAX_PEERS, room)))
    yield Specimen(MessageKind.REPORT, "one forged goodbye", report((forged[0],)))
    invited = tuple(sorted({*members, *(key.peer_id for key in strangers)}))
    yield Specimen(MessageKind.REPORT, "strangers as members, and their goodbyes", report(tuple(crowd), invited))
    own = {**honest_bodies(listener)}
    shown = [listener.sign(kind, own[kind]) for kind in (MessageKind.REVEAL, MessageKind.DIGEST, MessageKind.LEAVE)]
    yield Specimen(MessageKind.REPORT, "three of its own, one forged", report((*shown, forged[1])))
    for kind, carry in (
        (MessageKind.RELAY, lambda items: relay(listener, items)),
        (MessageKind.FORWARD, lambda items: Forward(items).encode()),
        (MessageKind.CERTIFICATE, lambda items: Certificate(items).encode()),
    ):
        most = 2 * len(members) if kind is MessageKind.RELAY else MAX_PEERS
        for what, items in (
            ("of another step", foreign),
            ("of strangers", crowd),
            ("forged", forged),
            ("empty", [b""]),
        ):
            body = carry(filled(items, most, caps.body[kind] - 64 - 48 * most))
            yield Specimen(kind, f"messages {what}", listener.sign(kind, body))
    reveal = Envelope.decode(listener.sign(MessageKind.REVEAL, Reveal(_D, _D).encode()))
    false = dataclasses.replace(reveal, author=members[1]).encode()
    yield Specimen(MessageKind.FORWARD, "one forged", listener.sign(MessageKind.FORWARD, Forward((false,)).encode()))
    head = encode([1, 2])
    yield Specimen(MessageKind.RELAY, "no package", listener.sign(MessageKind.RELAY, Relay(False, head).encode()))
    yield from _endorsements(listener)


def _endorsements(listener: Victim) -> Iterator[Specimen]:
    """Yield relays of as many false signatures as an agreement has places for."""
    members = listener.members
    items = tuple(Spoken(peer, bytes([i]) * 32) for peer in members for i in range(2))
    for what, package in (
        ("forged endorsements", Package(endorsements=tuple(Endorsement(p, items, bytes(64)) for p in members))),
        (
            "forged votes",
            Package(votes=tuple(VectorVote(peer, VoteRound.FIRST, bytes(32), bytes(64)) for peer in members)),
        ),
        ("more wanted than there is", Package(wanted=items)),
    ):
        body = Relay(False, pack(package, members)).encode()
        yield Specimen(MessageKind.RELAY, what, listener.sign(MessageKind.RELAY, body))


def relay(listener: Victim, messages: Iterable[bytes]) -> bytes:
    """Return the body of a relay that gives these messages out as statements, of each member two."""
    authors = [peer for peer in listener.members for _ in range(2)]
    statements = tuple(Statement(peer, digest(data), data) for peer, data in zip(authors, messages, strict=False))
    return Relay(False, pack(Package(statements), listener.members)).encode()


def honest(listener: Victim) -> Iterator[Specimen]:
    """Yield a message of each kind as honest peers send them."""
    for kind, body in honest_bodies(listener).items():
        yield Specimen(kind, "honest", listener.sign(kind, body), honest=True)
