"""Single parts: through third peers when they do not come directly, and never more of them than anyone needs."""

from __future__ import annotations

import contextlib
import dataclasses

import pytest

from btard.behaviour import Behaviour
from btard.hashing import Payload, digest
from btard.identity import Envelope, Malformed, MessageKind, PeerId
from btard.round.actions import Send, SendPart
from btard.round.attempt.attempt import Attempt
from btard.round.attempt.seats import Seats
from btard.round.delivery.exchange import MOST_PULLS, Exchange
from btard.round.draw import Audit, relays_between
from btard.round.messages.bodies import PartHeader
from btard.round.messages.requests import Forward, Pull
from btard.transport.memory import SimulatedPeer
from tests.btard.round.delivery.scene import COUNT, KEYS, PEERS, ROSTER, asked, exchange, hold, reveal, signed
from tests.btard.round.swarm import RULES, Swarm, keys, voids


def test_an_item_that_is_held_is_sent_to_each_asker() -> None:
    made, attempt = exchange()
    (sent,) = made.on_pull(0.0, asked(1, MessageKind.PART, 0, 3))
    assert isinstance(sent, SendPart) and sent.peer == PEERS[1]
    header = Envelope.decode(sent.header)
    assert header.author == PEERS[0]
    assert PartHeader.decode(header.body) == PartHeader(3, digest(sent.payload))
    assert bytes(sent.payload) == bytes(attempt.carried.rows[PEERS[0], 3])


def test_the_same_request_is_answered_once() -> None:
    made, _ = exchange()
    assert made.on_pull(0.0, asked(1, MessageKind.PART, 0, 3))
    assert made.on_pull(0.0, asked(1, MessageKind.PART, 0, 3)) == []
    assert made.on_pull(0.0, asked(2, MessageKind.PART, 0, 3))


def test_nobody_is_sent_more_than_a_few_parts() -> None:
    made, attempt = exchange()
    others = [part for part, owner in enumerate(attempt.seats.owners) if owner not in (PEERS[1], PEERS[2])]
    hold(attempt, 3, range(COUNT))
    answers = [made.on_pull(0.0, asked(1, MessageKind.PART, 3, part)) for part in others]
    assert sum(map(len, answers)) == MOST_PULLS < len(others)
    assert made.on_pull(0.0, asked(2, MessageKind.PART, 3, others[-1])), "others still are"


def test_what_an_asker_needs_in_a_step_is_not_counted() -> None:
    made, attempt = exchange()
    column = attempt.seats.part_of[PEERS[1]]
    for author in range(2, COUNT):
        hold(attempt, author, [column])
        assert made.on_pull(0.0, asked(1, MessageKind.PART, author, column))
    own = [made.on_pull(0.0, asked(1, MessageKind.PART, 0, part)) for part in range(COUNT)]
    assert sum(map(len, own)) == COUNT
    assert made._count[PEERS[1]] == 0


def test_parts_that_everyone_collects_again_are_not_counted() -> None:
    made, _ = exchange()
    for part in range(COUNT):
        made.collects(part, PEERS)
    hold(made.attempt, 3, range(COUNT))
    answers = [made.on_pull(0.0, asked(1, MessageKind.PART, 3, part)) for part in range(COUNT)]
    assert sum(map(len, answers)) == COUNT


def test_an_auditor_may_ask_anybody_for_all_rows_of_its_parts() -> None:
    made, attempt = exchange()
    mine, other = [part for part, owner in enumerate(attempt.seats.owners) if owner not in (PEERS[1], PEERS[2])][:2]
    made.collects(mine, [PEERS[1]])
    for author in range(3, COUNT):
        hold(attempt, author, [mine, other])
        assert made.on_pull(0.0, asked(1, MessageKind.PART, author, mine))
    assert made._count[PEERS[1]] == 0
    assert made.on_pull(0.0, asked(2, MessageKind.PART, 3, mine)) and made._count[PEERS[2]] == 1, "nobody else may"


def test_several_rows_are_asked_of_their_author_in_one_message() -> None:
    made, attempt = exchange()
    items = [(MessageKind.PART, PEERS[3], part) for part in range(COUNT)]
    (sent,) = made.pull_from(PEERS[3], items)
    assert isinstance(sent, Send) and sent.peers == (PEERS[3],)
    assert Pull.decode(Envelope.decode(sent.data).body).items == tuple(items)
    assert made.pull_from(PEERS[3], items) == [], "once"
    assert {(PEERS[3], item) for item in items} <= attempt.carried.pulled


@pytest.mark.parametrize("part", [COUNT, 1023])
def test_a_part_that_is_none_is_not_waited_for(part: int) -> None:
    made, _ = exchange()
    assert made.on_pull(0.0, asked(1, MessageKind.PART, 0, part)) == []
    assert not made._waiting and not made._seen


def test_unreadable_and_strangers_requests_do_nothing() -> None:
    made, _ = exchange()
    with pytest.raises(Malformed):
        made.on_pull(0.0, Envelope.sign(KEYS[1], run=RULES.run, step=0, kind=MessageKind.PULL, body=b"junk"))
    stranger = Pull(((MessageKind.PART, PeerId.from_public_key(bytes(32)), 0),)).encode()
    assert made.on_pull(0.0, Envelope.sign(KEYS[1], run=RULES.run, step=0, kind=MessageKind.PULL, body=stranger)) == []


def test_what_is_not_there_is_sent_once_it_comes() -> None:
    made, attempt = exchange()
    made.on_pull(0.0, asked(1, MessageKind.PART, 2, 5))
    assert made.serve(0.0) == [], "not there yet"
    made.on_pull(0.0, asked(3, MessageKind.PART, 2, 5))
    hold(attempt, 2, [5])
    sent = [SendPart(PEERS[i], attempt.said.headers[PEERS[2], 5], attempt.carried.rows[PEERS[2], 5]) for i in (1, 3)]
    assert made.serve(0.0) == sent
    assert made.serve(0.0) == []


def test_a_peer_that_lacks_a_part_asks_its_author_once() -> None:
    made, _ = exchange()
    (fetch,) = made.on_pull(0.0, asked(1, MessageKind.PART, 2, 5))
    assert isinstance(fetch, Send) and fetch.peers == (PEERS[2],)
    assert Pull.decode(Envelope.decode(fetch.data).body) == Pull(((MessageKind.PART, PEERS[2], 5),))
    assert made.on_pull(0.0, asked(3, MessageKind.PART, 2, 5)) == []


def test_nobody_is_asked_for_what_it_does_not_owe() -> None:
    """Otherwise the majority testifies against a peer that was never to send it."""
    made, attempt = exchange()
    wrong = [(MessageKind.AGGREGATE, 2, (attempt.seats.part_of[PEERS[2]] + 1) % COUNT), (MessageKind.PART, 2, COUNT)]
    audits = (Audit(PEERS[2], PEERS[3]),)
    roster = dataclasses.replace(ROSTER, audits=audits)
    idle = Exchange(made._context, Attempt(Seats(RULES, roster, 0, PEERS, PEERS[0])))
    for item in wrong:
        assert made.on_pull(0.0, asked(1, item[0], item[1], item[2])) == []
    for kind in (MessageKind.PART, MessageKind.AGGREGATE, MessageKind.SCALARS):
        assert idle.on_pull(0.0, asked(1, kind, 2, 0)) == [], "a validator submits nothing"
    assert idle.on_pull(0.0, asked(1, MessageKind.REVEAL, 2, 0))
    assert not made.account.is_waiting and set(idle.account._asked) == {(MessageKind.REVEAL, PEERS[2], 0)}


def test_an_aggregate_that_is_not_ready_is_not_sent_twice() -> None:
    made, attempt = exchange()
    item = (MessageKind.AGGREGATE, 0, attempt.seats.my_part or 0)
    assert made.on_pull(0.0, asked(1, item[0], item[1], item[2])) == [] and not made._waiting


def test_a_message_is_passed_on_as_its_author_signed_it() -> None:
    made, attempt = exchange()
    attempt.file(reveal(2))
    (sent,) = made.on_pull(0.0, asked(1, MessageKind.REVEAL, 2, 0))
    assert isinstance(sent, Send) and sent.peers == (PEERS[1],)
    forward = Envelope.decode(sent.data)
    assert forward.author == PEERS[0] and Forward.decode(forward.body).envelopes == (reveal(2).encode(),)
    asker, _ = exchange(1)
    assert asker.on_forward(forward) == [], "not asked for"
    asker.urge(0.0, [(MessageKind.REVEAL, PEERS[2], 0)], everyone=True)
    assert asker.on_forward(forward) == [reveal(2)]
    assert asker.on_forward(forward) == [], "each member answers once"


@pytest.mark.parametrize("change", ["author", "step", "attempt", "kind", "signature", "junk"])
def test_a_forward_must_be_genuine_and_asked_for(change: str) -> None:
    made, _ = exchange(1)
    made.urge(0.0, [(MessageKind.REVEAL, PEERS[2], 0)], everyone=True)
    changed = {
        "author": {"author": PEERS[3]},
        "step": {"step": 1},
        "attempt": {"attempt": 1},
        "kind": {"kind": MessageKind.DIGEST},
        "signature": {"signature": bytes(64)},
    }
    inner = dataclasses.replace(reveal(2), **changed.get(change, {})).encode()
    body = Forward((b"junk" if change == "junk" else inner,)).encode()
    with contextlib.suppress(Malformed):
        assert made.on_forward(signed(0, MessageKind.FORWARD, body)) == []


def test_a_part_is_asked_for_once_and_never_of_oneself() -> None:
    made, attempt = exchange()
    item = (MessageKind.PART, PEERS[2], 5)
    (sent,) = made.pull(item, [PEERS[0], PEERS[2], PEERS[3]])
    assert isinstance(sent, Send) and sent.peers == (PEERS[2], PEERS[3])
    assert made.pull(item, [PEERS[0], PEERS[2]]) == []
    assert attempt.carried.pulled == {(PEERS[2], item), (PEERS[3], item)}


def test_late_parts_are_urged_once() -> None:
    made, attempt = exchange()
    item = (MessageKind.PART, PEERS[2], attempt.seats.my_part or 0)
    (sent,) = made.urge(0.0, [item], everyone=False)
    assert isinstance(sent, Send)
    assert set(sent.peers) == set(relays_between(attempt.seats.attempt_id, PEERS[2], PEERS[0], PEERS))
    assert made.urge(0.0, [item], everyone=False) == [] and not made.account.is_waiting
    (sent,) = made.urge(0.0, [item], everyone=True)
    assert isinstance(sent, Send) and set(sent.peers) == set(attempt.seats.others)
    assert made.urge(0.0, [item], everyone=True) == [] and set(made.account._asked) == {item}


class Spoils(Behaviour):
    """Sends something else, or nothing, to its victim."""

    def __init__(self, victim: PeerId, instead: bytes | None) -> None:
        self.victim = victim
        self.instead = instead

    def part(self, step: int, receiver: PeerId, payload: Payload) -> Payload | None:
        if receiver != self.victim:
            return payload
        return None if self.instead is None else (self.instead * len(payload))[: len(payload)]


@pytest.mark.parametrize("instead", [None, b"x"], ids=["withheld", "broken"])
def test_a_part_comes_through_third_peers_and_costs_no_attempt(instead: bytes | None) -> None:
    class Counts(SimulatedPeer):
        relayed = 0

        def send_part(self, receiver: PeerId, header: Envelope, payload: Payload) -> None:
            self.relayed += header.author != self.peer_id
            super().send_part(receiver, header, payload)

    swarm = Swarm(8, steps=2, behaviours={1: Spoils(keys(8)[5].peer_id, instead)}, peer_type=Counts).run()
    swarm.check_agreement()
    for peer in swarm.peers:
        assert len(peer.finished()) == 2
        assert not voids(peer)
    assert sum(peer.relayed for peer in swarm.peers if isinstance(peer, Counts)) >= 1
