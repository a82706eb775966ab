"""Sessions: what is early waits within bounds, what is foreign is dropped, a late peer finishes by a certificate."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from btard.behaviour import Behaviour, LeaveReason
from btard.hashing import digest
from btard.identity import Envelope, IdentityKey, MessageKind, PeerId
from btard.identity.envelope import MAX_HEADER, STEP_KINDS
from btard.round.actions import ComputeGradient, EncodeParts, Finished, OutcomeKind, Send, SendPart
from btard.round.attempt.attempt import Attempt
from btard.round.attempt.seats import Seats
from btard.round.delivery.patience import signs_every
from btard.round.messages.accusations import Report
from btard.round.messages.bodies import Aggregate, Commit, Leave, PartHeader
from btard.round.messages.requests import Certificate
from btard.round.session import Session
from btard.round.work.answers import GradientComputed, PartsEncoded, RowsAggregated
from btard.round.work.rows import Aggregated, encode_parts
from btard.vectors.partition import Partition, to_wire
from tests.btard.round.swarm import Swarm, keys, rules_of, voids

RULES = rules_of(5)
KEYS = keys(5)
PEERS = tuple(key.peer_id for key in KEYS)
ROSTER = Swarm(5).genesis
STATE = digest(b"state")
COMPUTED = GradientComputed(0, torch.zeros(RULES.dimension))
AGGREGATED = RowsAggregated(0, Aggregated(to_wire(torch.zeros(8), RULES.wire), (), ()))


def session(*, begun: bool = True) -> Session:
    made = Session(RULES, KEYS[0], Behaviour())
    if begun:
        made.begin(0.0, ROSTER, STATE)
    return made


def committed() -> Session:
    """Return a session that has sent its own commitment."""
    made = session()
    made.answer(0.0, COMPUTED)
    made.answer(0.0, encoded(5))
    return made


def encoded(count: int, attempt: int = 0) -> PartsEncoded:
    return PartsEncoded(attempt, *encode_parts(COMPUTED.vector, count, RULES.wire, RULES.aggregation))


def message(author: int | IdentityKey, kind: MessageKind, body: bytes, **fields: Any) -> bytes:
    key = KEYS[author] if isinstance(author, int) else author
    return Envelope.sign(key, **{"run": RULES.run, "step": 0, "kind": kind, "body": body} | fields).encode()


def commit(author: int | IdentityKey, **fields: Any) -> bytes:
    return message(
        author,
        MessageKind.COMMIT,
        Commit(digest(b"c"), STATE, STATE, (digest(b"p"),) * 5, digest(b"s"), b"", ()).encode(),
        **fields,
    )


def held_back(session: Session) -> int:
    """Return how many messages wait for a later step."""
    return sum(map(len, session._early.values()))


def test_nothing_is_asked_or_due_before_the_first_step() -> None:
    fresh = session(begun=False)
    assert fresh.deadline == float("inf")
    assert fresh.tick(1e9) == fresh.leave(LeaveReason.SHUTDOWN) == fresh.on_message(0.0, PEERS[1], commit(1)) == []
    assert fresh.accept_part(PEERS[1], message(1, MessageKind.PART, PartHeader(0, STATE).encode()), 32) is None


def test_a_step_begins_with_a_request_for_a_gradient() -> None:
    fresh = session(begun=False)
    assert fresh.begin(5.0, ROSTER, STATE) == [ComputeGradient(ROSTER)]
    assert fresh.deadline == 5.0 + signs_every(RULES), "when it says that it is at work"


def test_a_peer_that_begins_late_misses_nothing() -> None:
    swarm = Swarm(3, steps=1)
    swarm.network.at(5.0, lambda: swarm.peers[0].begin(swarm.genesis))
    for peer in swarm.peers[1:]:
        peer.begin(swarm.genesis)
    swarm.network.run(until=4.9)
    waiting = [envelope for kept in swarm.peers[0].session._early.values() for envelope in kept]
    assert sum(envelope.kind is MessageKind.COMMIT for envelope in waiting) == 2
    swarm.network.run(done=swarm.done)
    swarm.check_agreement()
    assert all([type(event) for event in peer.history] == [Finished] for peer in swarm.peers)


def test_early_messages_of_a_member_are_bounded() -> None:
    begun = session()
    for attempt in range(50):
        begun.on_message(0.0, PEERS[1], commit(1, step=1, attempt=attempt))
    assert held_back(begun) == 16
    fresh = session(begun=False)
    for step in range(50):
        fresh.on_message(0.0, PEERS[1], commit(1, step=step))
    assert [e.step for e in fresh._early[PEERS[1]]] == [*range(34, 50)]


def test_an_early_message_that_is_too_long_does_not_wait() -> None:
    begun = session()
    begun.on_message(0.0, PEERS[1], message(1, MessageKind.REPORT, bytes(1 << 17), step=1))
    assert held_back(begun) == 0


def test_only_messages_of_the_very_next_step_wait() -> None:
    begun = session()
    for step in (2, 3, 2**62):
        begun.on_message(0.0, PEERS[1], commit(1, step=step))
    assert held_back(begun) == 0


def test_strangers_cannot_fill_the_waiting_room() -> None:
    begun = session()
    for i in range(40):
        stranger = IdentityKey.from_seed(digest(bytes([i])))
        for attempt in range(20):
            begun.on_message(0.0, stranger.peer_id, commit(stranger, step=1, attempt=attempt))
    assert held_back(begun) <= 16 * (len(PEERS) + 8)
    before = held_back(begun)
    begun.on_message(0.0, PEERS[1], commit(1, step=1))
    assert held_back(begun) == before + 1


def test_the_waiting_room_is_empty_once_the_next_step_begins() -> None:
    begun = session()
    begun.on_message(0.0, PEERS[1], commit(1, step=1))
    begun.begin(1.0, ROSTER.successor(PEERS, (), (), randomness=bytes(32)), STATE)
    assert held_back(begun) == 0


@pytest.mark.parametrize(
    "sender, data",
    [
        pytest.param(PEERS[1], b"", id="nothing"),
        pytest.param(PEERS[1], b"\xff" * 100, id="garbage"),
        pytest.param(PEERS[1], commit(1)[:-1], id="cut short"),
        pytest.param(PEERS[2], commit(1), id="passed on by another member"),
        pytest.param(PEERS[1], commit(1, run=b"another-run-0000"), id="of another run"),
        pytest.param(PEERS[1], commit(1, step=2), id="of a later step"),
        pytest.param(PEERS[1], commit(1, attempt=2), id="of a later attempt"),
        pytest.param(PEERS[1], message(1, MessageKind.MANIFEST, b""), id="a record, not a message"),
        pytest.param(PEERS[1], message(1, MessageKind.PART, PartHeader(0, STATE).encode()), id="a header alone"),
        pytest.param(PEERS[1], message(1, MessageKind.CERTIFICATE, Certificate(()).encode()), id="empty certificate"),
        pytest.param(
            IdentityKey.from_seed(bytes(32)).peer_id, commit(IdentityKey.from_seed(bytes(32))), id="of a stranger"
        ),
    ],
)
def test_what_does_not_belong_to_the_step_changes_nothing(sender: PeerId, data: bytes) -> None:
    begun = committed()
    assert begun.tick(1.0) == []
    before = begun.deadline
    assert begun.on_message(1.0, sender, data) == []
    assert not begun.wants_tick or begun.tick(1.0) == []
    assert (begun.wants_tick, begun.deadline) == (False, before)
    assert begun.machine is not None and not begun.machine.over
    assert begun.machine.attempt.said.commits.keys() == {KEYS[0].peer_id}
    assert held_back(begun) == 0


IN_A_STEP = sorted(STEP_KINDS)


@pytest.mark.parametrize("kind", IN_A_STEP)
def test_an_unreadable_message_is_a_proof_and_reported_at_once(kind: MessageKind) -> None:
    begun, junk = committed(), message(1, kind, b"junk")
    assert begun.on_message(1.0, PEERS[1], junk) == [] and begun.wants_tick, "at once"
    (send,) = begun.tick(1.0)
    assert isinstance(send, Send) and send.peers == PEERS[1:]
    envelope = Envelope.decode(send.data)
    assert envelope.kind is MessageKind.REPORT
    assert Report.decode(envelope.body).attached == (junk,)


LENGTH = Partition(RULES.dimension, 5, RULES.wire).length(0)
OWN = {(PEERS[0], part) for part in range(5)}
MINE = Attempt(Seats(RULES, ROSTER, 0, PEERS, PEERS[0])).seats.my_part or 0
HEADER = message(1, MessageKind.PART, PartHeader(MINE, digest(bytes(LENGTH))).encode())


def test_a_part_is_given_a_buffer_of_its_length_once() -> None:
    begun = committed()
    buffer = begun.accept_part(PEERS[1], HEADER, LENGTH)
    assert buffer is not None and len(buffer) == LENGTH and not buffer.readonly
    assert begun.accept_part(PEERS[1], HEADER, LENGTH) is None, "while it travels"
    begun.on_part(PEERS[1], HEADER, digest(buffer))
    assert begun.accept_part(PEERS[1], HEADER, LENGTH) is None, "once it is here"


def test_only_what_is_not_as_announced_is_useless() -> None:
    begun = committed()
    for wrong in (True, True, False):
        buffer = begun.accept_part(PEERS[1], HEADER, LENGTH)
        assert buffer is not None
        assert begun.on_part(PEERS[1], HEADER, STATE if wrong else digest(buffer)) is wrong


def test_members_are_those_of_the_current_step() -> None:
    begun = committed()
    assert all(begun.is_member(peer) for peer in PEERS)
    assert not begun.is_member(IdentityKey.generate().peer_id)


def test_a_part_that_broke_off_may_be_sent_again() -> None:
    begun = committed()
    assert begun.accept_part(PEERS[1], HEADER, LENGTH) is not None
    begun.on_part_failed(1.0, PEERS[1], HEADER)
    assert begun.accept_part(PEERS[1], HEADER, LENGTH) is not None


@pytest.mark.parametrize(
    "sender, header, length",
    [
        pytest.param(PEERS[1], HEADER, LENGTH - 1, id="too short"),
        pytest.param(PEERS[1], HEADER, LENGTH + 1, id="too long"),
        pytest.param(PEERS[1], HEADER, 1 << 62, id="absurdly long"),
        pytest.param(PEERS[1], HEADER, -1, id="negative"),
        pytest.param(PEERS[2], HEADER, LENGTH, id="of another, not asked for"),
        pytest.param(
            PEERS[1], message(1, MessageKind.PART, PartHeader(MINE - 1, STATE).encode()), LENGTH, id="another's part"
        ),
        pytest.param(PEERS[1], message(1, MessageKind.PART, b""), LENGTH, id="no header"),
        pytest.param(PEERS[1], message(1, MessageKind.COMMIT, b""), LENGTH, id="a header of another kind"),
        pytest.param(
            PEERS[1],
            message(1, MessageKind.PART, PartHeader(MINE, STATE).encode(), step=1),
            LENGTH,
            id="of another step",
        ),
        pytest.param(
            PEERS[1], message(1, MessageKind.PART, PartHeader(MINE, STATE).encode(), attempt=1), LENGTH, id="attempt"
        ),
        pytest.param(
            PEERS[1],
            message(1, MessageKind.AGGREGATE, Aggregate(STATE).encode() + bytes(MAX_HEADER)),
            LENGTH,
            id="a header that is too long",
        ),
        pytest.param(PEERS[0], message(0, MessageKind.AGGREGATE, Aggregate(STATE).encode()), LENGTH, id="from itself"),
    ],
)
def test_a_payload_that_does_not_belong_here_gets_no_buffer(sender: PeerId, header: bytes, length: int) -> None:
    assert committed().accept_part(sender, header, length) is None


def test_payloads_that_were_never_accepted_have_no_effect() -> None:
    begun = committed()
    begun.on_part(PEERS[1], HEADER, digest(bytes(LENGTH)))
    assert begun.on_part_failed(1.0, PEERS[1], HEADER) == []
    assert begun.machine is not None
    carried = begun.machine.attempt.carried
    assert carried.rows.keys() == OWN and carried.broken == set()


def test_answers_to_another_attempt_are_ignored() -> None:
    begun = session()
    assert begun.answer(0.0, dataclasses.replace(COMPUTED, step=1)) == [], "of another step"
    assert begun.answer(0.0, COMPUTED) == [EncodeParts(0, 5, COMPUTED.vector)]
    assert begun.answer(0.0, encoded(5, attempt=1)) == []
    assert [type(action) for action in begun.answer(0.0, encoded(5))] == [Send]
    assert begun.answer(0.0, encoded(5)) == [], "the same answer again"
    assert begun.answer(0.0, dataclasses.replace(AGGREGATED, attempt=1)) == []


def test_only_members_of_the_last_step_get_its_certificate() -> None:
    swarm = Swarm(5, steps=1).run()
    finished = swarm.peers[0].session
    (answer,) = finished.on_message(99.0, PEERS[1], message(1, MessageKind.ASK, b""))
    assert isinstance(answer, Send) and answer.peers == (PEERS[1],)
    certificate = Envelope.decode(answer.data)
    assert (certificate.kind, certificate.author, certificate.step) == (MessageKind.CERTIFICATE, PEERS[0], 0)
    assert len(Certificate.decode(certificate.body).digests) == 5
    stranger = IdentityKey.from_seed(bytes(32))
    assert finished.on_message(99.0, stranger.peer_id, message(stranger, MessageKind.ASK, b"")) == []
    assert finished.on_message(99.0, PEERS[1], commit(1)) == []


def test_a_certificate_stops_a_peer_that_is_not_in_it() -> None:
    swarm = Swarm(5, steps=1)
    swarm.peers[4].crash()
    swarm.run()
    certificate = swarm.peers[0].finished()[0].certificate
    left_out = Session(RULES, KEYS[4], Behaviour())
    left_out.begin(0.0, swarm.genesis, STATE)
    body = Certificate(tuple(envelope.encode() for envelope in certificate)).encode()
    (stopped,) = left_out.on_message(1.0, PEERS[0], message(0, MessageKind.CERTIFICATE, body))
    assert (stopped.kind, stopped.step) == (OutcomeKind.SUSPENDED, 0)  # type: ignore[union-attr]
    assert left_out.deadline == float("inf")


def test_a_certificate_for_another_result_does_not_finish_a_step() -> None:
    swarm = Swarm(5, steps=1).run()
    body = Certificate(tuple(e.encode() for e in swarm.peers[0].finished()[0].certificate)).encode()
    begun = committed()
    assert begun.on_message(1.0, PEERS[1], message(1, MessageKind.CERTIFICATE, body)) == []
    assert begun.machine is not None and not begun.machine.over


def test_a_goodbye_is_for_the_steps_that_others_may_be_in() -> None:
    def goodbye(of: Session) -> list[int]:
        steps = []
        for send in of.leave(LeaveReason.SHUTDOWN):
            assert isinstance(send, Send) and send.peers == PEERS[1:]
            envelope = Envelope.decode(send.data)
            assert (envelope.kind, envelope.body) == (MessageKind.LEAVE, Leave(LeaveReason.SHUTDOWN).encode())
            steps.append(envelope.step)
        return steps

    assert goodbye(committed()) == [0, 1]
    assert goodbye(Swarm(5, steps=1).run().peers[0].session) == [0, 1]


def test_a_goodbye_before_the_commitment_is_settled_at_once() -> None:
    swarm = Swarm(5, steps=2)
    swarm.network.at(0.05, lambda: swarm.peers[2].leave(LeaveReason.SHUTDOWN))
    swarm.run()
    swarm.check_agreement()
    for peer in swarm.honest:
        assert len(peer.finished()) == 2
        assert peer.finished()[0].roster.members == tuple(p for p in PEERS if p != PEERS[2])
        (void,) = voids(peer)
        assert (void.left, void.suspended, void.verdicts) == ((PEERS[2],), (), ())
    assert swarm.network.now < 1.0


def test_whatever_comes_after_the_end_of_a_step_is_ignored() -> None:
    swarm = Swarm(3, steps=1).run()
    over = swarm.peers[0].session
    assert over.deadline == float("inf")
    assert over.tick(1e9) == over.answer(1.0, COMPUTED) == over.answer(1.0, encoded(3)) == []
    assert over.answer(1.0, AGGREGATED) == []
    header = message(1, MessageKind.PART, PartHeader(0, STATE).encode(), run=swarm.rules.run)
    assert over.accept_part(PEERS[1], header, Partition(RULES.dimension, 3, RULES.wire).length(0)) is None


def test_no_part_leaves_before_every_commitment_is_here() -> None:
    swarm = Swarm(4, steps=1)
    begun = Session(RULES, KEYS[0], Behaviour())
    begun.begin(0.0, swarm.genesis, STATE)
    begun.answer(0.0, COMPUTED)
    own = begun.answer(0.0, encoded(4))
    (send,) = own
    assert isinstance(send, Send)
    mine = Commit.decode(Envelope.decode(send.data).body)
    sent = []
    for i in (1, 2, 3):
        assert begun.on_message(0.0, PEERS[i], message(i, MessageKind.COMMIT, mine.encode())) == []
        sent.append(begun.tick(0.0))
    assert [len(actions) for actions in sent] == [0, 0, 3]
    assert all(isinstance(action, SendPart) for action in sent[-1])
    assert {action.peer for action in sent[-1] if isinstance(action, SendPart)} == set(PEERS[1:4])


def test_a_commitment_on_another_state_is_not_waited_for() -> None:
    begun = committed()
    other = dataclasses.replace(Commit.decode(Envelope.decode(commit(1)).body), parameters=digest(b"other"))
    for i in (1, 2, 3):
        begun.on_message(0.0, PEERS[i], message(i, MessageKind.COMMIT, other.encode()))
    assert begun.tick(0.0) == []
    begun.on_message(0.0, PEERS[4], message(4, MessageKind.COMMIT, other.encode()))
    (stopped,) = begun.tick(0.0)
    assert stopped.kind is OutcomeKind.OUT_OF_SYNC  # type: ignore[union-attr]
