"""What a report attaches: all that there is room for, and never what would be an offence."""

from __future__ import annotations

import dataclasses

from btard.agreement.messages import Package, Statement
from btard.agreement.wire import pack
from btard.identity import MessageKind
from btard.identity.envelope import STEP_KINDS
from btard.round.failure.told import fitting
from btard.round.messages.accusations import Relay, Report
from btard.round.messages.bodies import Phase, Reveal
from btard.round.messages.form import MOST_OF_AUTHOR
from btard.round.messages.requests import Forward
from tests.btard.round.settlement import ATTEMPT, FIVE, D, E, commit, leave, part, signed


def test_an_honest_report_attaches_nothing_twice_and_no_offence() -> None:
    good = [commit(1), part(2, 0, D), leave(4), signed(3, MessageKind.VOTE, b"junk"), commit(1, E)]
    good.append(signed(2, MessageKind.PULL, b"junk", attempt=0))
    bad = [
        commit(1),
        commit(1, D, E),  # two contradict each other, a third adds nothing
        commit(7),
        dataclasses.replace(commit(3), body=E),
        signed(1, MessageKind.COMMIT, commit(2).body, attempt=0),
        signed(2, MessageKind.COMMIT, commit(2).body, step=2),
        signed(2, MessageKind.ASK, b""),
        signed(2, MessageKind.JOIN, b"junk"),
    ]
    found = fitting(ATTEMPT, [*good, *bad])
    assert found == tuple(envelope.encode() for envelope in good)
    report = Report(Phase.COMMIT, False, FIVE, (), None, found)
    assert ATTEMPT.said.malformation(signed(0, MessageKind.REPORT, report.encode())) is None


def test_too_many_attachments_of_one_author_are_malformed() -> None:
    kinds = sorted(STEP_KINDS - {MessageKind.REVEAL})
    junk = [signed(1, kind, body) for kind in kinds for body in (b"junk", b"more junk")]
    for most, fault in ((MOST_OF_AUTHOR, False), (MOST_OF_AUTHOR + 1, True)):
        attached = tuple(envelope.encode() for envelope in junk[:most])
        report = signed(0, MessageKind.REPORT, Report(Phase.COMMIT, False, FIVE, (), None, attached).encode())
        assert (ATTEMPT.said.malformation(report) is not None) is fault
    three = [signed(1, MessageKind.REVEAL, Reveal(D, share).encode()).encode() for share in (D, E, bytes(32))]
    report = signed(0, MessageKind.REPORT, Report(Phase.COMMIT, False, FIVE, (), None, tuple(three)).encode())
    assert ATTEMPT.said.malformation(report) is not None


def test_what_there_is_no_room_for_is_left_out() -> None:
    """The room is the roster's, whatever liars have sent."""
    large = [signed(i, MessageKind.RELAY, bytes(ATTEMPT.seats.caps.evidence)) for i in range(1, 5)]
    found = fitting(ATTEMPT, [*large, commit(1)])
    assert 0 < len(found) - 1 < len(large) and found[-1] == commit(1).encode()
    assert sum(map(len, found)) <= ATTEMPT.seats.caps.carrier


def test_the_longest_report_can_be_relayed_and_forwarded() -> None:
    caps = ATTEMPT.seats.caps
    longest = signed(1, MessageKind.REPORT, bytes(caps.body[MessageKind.REPORT]))
    statement = Statement(longest.author, longest.content_digest(), longest.encode())
    relay = Relay(False, pack(Package((statement,)), FIVE))
    assert len(relay.encode()) <= caps.body[MessageKind.RELAY]
    assert len(Forward((longest.encode(),)).encode()) <= caps.body[MessageKind.FORWARD]
