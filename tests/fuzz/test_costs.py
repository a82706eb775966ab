"""What a message costs its receiver is bounded by its size, for what is known and for what a short search finds."""

from __future__ import annotations

import pytest

from btard.agreement.messages import Package
from btard.agreement.wire import pack
from btard.hashing import digest
from btard.identity import MessageKind
from btard.lab.stress.hostile import IN_A_STEP, Victim, hostile
from btard.round.messages.accusations import Fault, Relay, Report
from btard.round.messages.bodies import Phase, Reveal
from tests.fuzz.costs import counting, forget, found, listener, work

SMALL, LARGE = listener(), Victim(40)
KNOWN = {id(peer): tuple(hostile(peer)) for peer in (SMALL, LARGE)}


@pytest.mark.parametrize("kind", IN_A_STEP)
@pytest.mark.parametrize("peer", [SMALL, LARGE], ids=["few members", "many members"])
def test_known_attacks_cost_no_more_than_their_size_allows(peer: Victim, kind: MessageKind) -> None:
    for said in KNOWN[id(peer)]:
        if said.kind is not kind:
            continue
        done = work(peer, said.data)
        assert done.strain <= 1.0, (said.what, done)
        if done.size > peer.caps.body[kind] + 256:
            assert done.signatures == 0 and done.calls < 60 and done.memory < 4096, "too long: it is not read"


def test_a_search_finds_nothing_that_costs_more() -> None:
    done, kind, body = found(seed=1, tries=300)
    assert done.strain <= 1.0, (done, kind, body.hex())


def test_a_search_is_the_same_each_time() -> None:
    assert found(seed=3, tries=20)[1:] == found(seed=3, tries=20)[1:]


def test_foreign_attachments_are_refused_before_their_signatures() -> None:
    report = next(one for one in KNOWN[id(SMALL)] if one.what == "attachments of another step")
    assert work(SMALL, report.data).signatures == 1


def test_after_a_false_signature_nothing_more_is_verified() -> None:
    relay = next(one for one in KNOWN[id(SMALL)] if one.what == "forged endorsements")
    assert work(SMALL, relay.data).signatures == 2, "its own, and the first inside"
    SMALL.restart()
    SMALL.hear(relay.data)
    again = SMALL.sign(MessageKind.RELAY, Relay(False, pack(Package(), SMALL.members)).encode())
    with counting() as counted:
        SMALL.hear(again)
    assert counted["signatures"] == 0


def test_the_same_attachments_in_many_reports_are_verified_once() -> None:
    SMALL.restart()
    forget()
    members, keys = SMALL.members, SMALL.keys
    reveals = tuple(SMALL.sign(MessageKind.REVEAL, Reveal(bytes(32), bytes(32)).encode(), by=key) for key in keys)
    body = Report(Phase.REVEAL, False, members, ((members[0], Fault.NO_REVEAL),), None, reveals).encode()
    reports = [(key.peer_id, SMALL.sign(MessageKind.REPORT, body, by=key)) for key in keys[1:]]
    with counting() as counted:
        for author, report in reports:
            SMALL.session.on_message(0.0, author, report)
    assert counted["signatures"] == len(reports) + len(reveals)


def test_of_one_author_no_more_is_read_than_an_honest_one_sends() -> None:
    SMALL.restart()
    forget()
    with counting() as counted:
        for number in range(50):
            SMALL.hear(SMALL.sign(MessageKind.REVEAL, Reveal(bytes(32), digest(bytes([number]))).encode()))
    assert counted["signatures"] <= 1 + SMALL.caps.count[MessageKind.REVEAL]
