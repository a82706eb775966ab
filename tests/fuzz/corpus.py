"""What the fuzzers begin with: true messages, and an order of events in which the recorded step is finished."""

from __future__ import annotations

from btard.agreement.messages import Package, Statement
from btard.agreement.wire import pack
from btard.behaviour import LeaveReason
from btard.identity import Envelope, MessageKind
from btard.identity.codec import encode
from btard.pipeline.machine.messages import StageHeader, StageMessageKind
from btard.pipeline.replicas.notes import RowNote, RowNoteKind
from btard.pipeline.seats.seating import Seating
from btard.pipeline.seats.statements import NoteKind, SeatNote, SeatPhase, Stance, StateClaim
from btard.reunion.messages import Memory, Place
from btard.round.evidence import file as evidence_file
from btard.round.evidence.evidence import Evidence, Offence, Scene
from btard.round.messages.accusations import Ballot, Charge, ChargeKind, Fault, Opinion, Relay, Report, Vote
from btard.round.messages.bodies import Aggregate, Commit, Digest, Leave, PartHeader, Phase, Reveal, Scalars
from btard.round.messages.requests import Certificate, Forward, Pull
from btard.swarm.questions import Directory
from tests.fuzz.targets import BODIES, KEYS, PEERS, recording

_KINDS = {
    MessageKind.COMMIT: Commit,
    MessageKind.REVEAL: Reveal,
    MessageKind.SCALARS: Scalars,
    MessageKind.DIGEST: Digest,
    MessageKind.PULL: Pull,
    MessageKind.FORWARD: Forward,
}


def decoder_seeds() -> list[bytes]:
    """Return one well-formed input for every decoder at least."""
    swarm, messages, parts = recording()
    seeds = []
    said = [Envelope.decode(message) for _, message in messages]
    for one in said:
        if one.kind in _KINDS:
            seeds.append(bytes([BODIES.index(_KINDS[one.kind])]) + one.body)
    header = next(Envelope.decode(h) for _, h, _ in parts if Envelope.decode(h).kind is MessageKind.PART)
    charge = Charge(ChargeKind.WRONG_SUM, PEERS[1], 0)
    vote = Vote(bytes(32), (Ballot(PEERS[0], charge, Opinion.GUILTY, ()),))
    report = Report(Phase.AGREE, False, PEERS, ((PEERS[1], Fault.NO_PART),), charge, (messages[0][1],))
    bodies = [
        PartHeader.decode(header.body),
        Aggregate(bytes(32)),
        Pull(((MessageKind.COMMIT, PEERS[1], 0), (MessageKind.PART, PEERS[1], 0))),
        Forward((messages[0][1],)),
        Leave(LeaveReason.SHUTDOWN),
        Certificate((messages[0][1],)),
        report,
        vote,
        Relay(False, pack(Package((Statement(said[0].author, said[0].content_digest(), messages[0][1]),)), PEERS)),
        Place(5, bytes(32), bytes(32)),
        Memory((Place(4, bytes(32), bytes(32)), Place(5, bytes(32), bytes(32)))),
    ]
    seeds += [bytes([BODIES.index(type(body))]) + body.encode() for body in bodies]
    seeds.append(bytes([len(BODIES)]) + encode(swarm.genesis.pack()))
    seeds.append(bytes([len(BODIES) + 1]) + messages[0][1])
    evidence = Evidence(
        Offence.EQUIVOCATION, said[0].author, swarm.peers[0].rules, Scene(swarm.genesis, 0, PEERS), (said[0],)
    )
    seeds.append(bytes([len(BODIES) + 2]) + evidence_file.to_json(evidence))
    return seeds + pipeline_seeds(len(BODIES) + 3)


def pipeline_seeds(first: int) -> list[bytes]:
    """Return an input for each decoder of a pipeline, the first of which has this number."""
    run, key = bytes(16), KEYS[0]
    claim = StateClaim(run, 3, 1, 12, bytes(32)).signed(key)
    bodies = [
        StageHeader(run, 12, 0, StageMessageKind.ACTIVATION, 1, 3, bytes(32)),
        claim,
        SeatNote(NoteKind.CLAIM, 3, claim),
        Stance(3, SeatPhase.TRAINING, 12, (bytes(32),), (claim,), (b"report",)),
        RowNote(RowNoteKind.ROW, StageMessageKind.NORMS, 12, bytes(16)),
    ]
    seating = Seating(
        run, 3, 12, PEERS, (bytes(32),) * len(PEERS), False, Directory({PEERS[0]: ("/ip4/1.2.3.4/tcp/5",)})
    )
    encoded = [body.encode() for body in bodies] + [seating._body()]
    return [bytes([first + number]) + data for number, data in enumerate(encoded)]


def event_seeds() -> list[bytes]:
    """Return the events of an honest step."""
    _, messages, parts = recording()
    work = bytes([3])
    heard = b"".join(bytes([0, i]) + work for i in range(len(messages)))
    brought = b"".join(bytes([2, i, 1]) + work for i in range(len(parts)))
    honest = work + heard + brought + heard + work
    return [honest, honest[: len(honest) // 2] + bytes([6, 3]) + heard, bytes([6, 3] * 8)]


SEEDS = {"decoders": decoder_seeds, "events": event_seeds}
