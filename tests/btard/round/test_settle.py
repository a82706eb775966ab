"""Settling a failed attempt: each rule, their order, and that lies of a minority cost the liars at least as much."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btard.behaviour import LeaveReason
from btard.hashing import digest
from btard.identity import Envelope, IdentityKey, MessageKind, PeerId
from btard.round.actions import BanReason
from btard.round.messages import Aggregate, Commit, Fault, Leave, PartHeader, Phase, Relay, Report
from btard.round.settle import RELAY_BYTES, Resolution, convict, relays, resolve, valid_attachments
from tests.btard.round.swarm import RULES, keys

KEYS = keys(9)
PEERS = tuple(key.peer_id for key in KEYS)
FIVE = PEERS[:5]
D, E = digest(b"d"), digest(b"e")


def report(complaints: Mapping[int, Fault] = {}, *, reaction: bool = False, members: Sequence[PeerId] = FIVE) -> Report:
    accused = tuple(sorted((PEERS[i], fault) for i, fault in complaints.items()))
    return Report(Phase.COMMIT, reaction, tuple(members), accused, ())


REACTION = report(reaction=True)


def signed(author: int, kind: MessageKind, body: bytes, *, step: int = 3, attempt: int = 1) -> Envelope:
    return Envelope.sign(KEYS[author], run=RULES.run, step=step, attempt=attempt, kind=kind, body=body)


def commit(author: int, *parts: bytes) -> Envelope:
    return signed(author, MessageKind.COMMIT, Commit(D, D, parts or (D,) * 5, ()).encode())


def part(author: int, number: int, part_digest: bytes) -> Envelope:
    return signed(author, MessageKind.PART, PartHeader(number, part_digest).encode())


def leave(author: int, reason: LeaveReason = LeaveReason.SHUTDOWN, attempt: int = 0) -> Envelope:
    return signed(author, MessageKind.LEAVE, Leave(reason).encode(), attempt=attempt)


def settled(reports: Mapping[int, Report], attached: Mapping[int, Sequence[Envelope]] = {}) -> Resolution:
    return resolve(
        FIVE, {PEERS[i]: r for i, r in reports.items()}, {PEERS[i]: tuple(found) for i, found in attached.items()}
    )


def who(resolution: Resolution) -> tuple[list[int], dict[int, str]]:
    """Return the members that go on and the suspended ones, by number."""
    return (
        [PEERS.index(peer) for peer in resolution.members],
        {PEERS.index(peer): reason for peer, reason in resolution.suspended},
    )


def test_all_go_on_when_nobody_is_accused() -> None:
    assert who(settled(dict.fromkeys(range(5), REACTION))) == ([0, 1, 2, 3, 4], {})


def test_who_does_not_answer_is_out() -> None:
    reports = dict.fromkeys((0, 1, 3, 4), report({2: Fault.NO_COMMIT}))
    assert who(settled(reports)) == ([0, 1, 3, 4], {2: "did not answer"})


def test_who_is_accused_by_more_than_half_is_out_and_its_accusers_stay() -> None:
    reports = {i: report({4: Fault.NO_PART}) for i in (0, 1, 2)} | {3: REACTION, 4: report({0: Fault.NO_PART})}
    assert who(settled(reports)) == ([0, 1, 2, 3], {4: "no part, say 3 of 5"})


def test_half_of_the_members_is_not_more_than_half() -> None:
    reports = {i: report({3: Fault.NO_PART}, members=PEERS[:4]) for i in (0, 1)}
    reports |= {i: report(reaction=True, members=PEERS[:4]) for i in (2, 3)}
    resolution = resolve(PEERS[:4], {PEERS[i]: r for i, r in reports.items()}, {})
    assert resolution.members == (PEERS[1], PEERS[2])


def test_of_a_dispute_both_are_out() -> None:
    reports = dict.fromkeys((0, 2, 4), REACTION) | {1: report({3: Fault.NO_PART}), 3: REACTION}
    members, suspended = who(settled(reports))
    assert members == [0, 2, 4]
    assert suspended == {
        1: f"in dispute with {PEERS[3].short} (no part)",
        3: f"in dispute with {PEERS[1].short} (no part)",
    }


def test_a_peer_is_paired_with_one_other_only() -> None:
    reports = dict.fromkeys((3, 4), REACTION) | {0: report({2: Fault.NO_PART}), 1: report({2: Fault.NO_PART})}
    assert who(settled(reports | {2: REACTION}))[0] == [1, 3, 4]
    accuser_of_many = dict.fromkeys((0, 1, 2, 3), REACTION) | {4: report(dict.fromkeys(range(4), Fault.NO_PART))}
    assert who(settled(accuser_of_many))[0] == [1, 2, 3]


def test_a_report_without_a_reason_costs_its_author_the_place() -> None:
    reports = dict.fromkeys((0, 1, 2, 3), REACTION) | {4: report()}
    assert who(settled(reports)) == ([0, 1, 2, 3], {4: "gave up without a reason"})


def test_a_proof_and_a_goodbye_are_reasons() -> None:
    reports = dict.fromkeys((0, 1, 2), REACTION) | {3: report(), 4: report()}
    attached = {3: [leave(2)], 4: [commit(1), commit(1, E)]}
    resolution = settled(reports, attached)
    assert who(resolution) == ([0, 3, 4], {})
    assert resolution.left == (PEERS[2],)
    assert [verdict.peer for verdict in resolution.verdicts] == [PEERS[1]]


def test_a_message_that_proves_nothing_is_no_reason() -> None:
    reports = dict.fromkeys((0, 1, 2, 3), REACTION) | {4: report()}
    assert who(settled(reports, {4: [commit(1), part(1, 0, D)]}))[1] == {4: "gave up without a reason"}


def test_whom_most_do_not_count_in_is_out() -> None:
    few = report(reaction=True, members=PEERS[:4])
    reports = dict.fromkeys((0, 1, 2), few) | dict.fromkeys((3, 4), REACTION)
    assert who(settled(reports)) == ([0, 1, 2, 3], {4: "most members did not count it in"})


def test_proof_comes_first_so_the_guilty_drags_nobody_along() -> None:
    reports = dict.fromkeys((0, 1, 2, 3), REACTION) | {4: report({0: Fault.NO_PART})}
    resolution = settled(reports, {0: [commit(4), commit(4, E)]})
    assert who(resolution) == ([0, 1, 2, 3], {})
    assert [(verdict.peer, verdict.reason) for verdict in resolution.verdicts] == [(PEERS[4], BanReason.EQUIVOCATION)]


def test_who_has_left_is_not_suspended_and_drags_nobody_along() -> None:
    reports = dict.fromkeys((0, 1, 2), REACTION) | {3: report({4: Fault.NO_PART})}
    resolution = settled(reports, {0: [leave(4)]})
    assert who(resolution) == ([0, 1, 2, 3], {})
    assert resolution.left == (PEERS[4],)


def test_who_leaves_by_the_lottery_is_banned_and_not_among_those_that_left() -> None:
    resolution = settled(dict.fromkeys(range(4), REACTION), {0: [leave(4, LeaveReason.LOTTERY)]})
    assert (resolution.left, resolution.suspended) == ((), ())
    assert [(verdict.peer, verdict.reason) for verdict in resolution.verdicts] == [(PEERS[4], BanReason.LOTTERY)]


def test_differing_digests_are_explained_by_a_proof_and_by_nothing_else() -> None:
    reports = dict.fromkeys((2, 3, 4), REACTION) | {0: report({1: Fault.OTHER_DIGEST}), 1: REACTION}
    assert who(settled(reports))[0] == [2, 3, 4]
    assert who(settled(reports, {2: [commit(4), commit(4, E)]}))[0] == [0, 1, 2, 3]
    other_fault = reports | {0: report({1: Fault.NO_PART})}
    assert who(settled(other_fault, {2: [commit(4), commit(4, E)]}))[0] == [2, 3]


def test_accusing_oneself_or_a_stranger_costs_nobody_else_a_place() -> None:
    reports = dict.fromkeys((0, 1, 2), REACTION) | {3: report({3: Fault.NO_PART}), 4: report({8: Fault.NO_PART})}
    assert {0, 1, 2} <= set(who(settled(reports))[0])


@pytest.mark.parametrize(
    "kind, one, other",
    [
        (MessageKind.COMMIT, Commit(D, D, (D,), ()).encode(), Commit(D, D, (E,), ()).encode()),
        (MessageKind.PART, PartHeader(1, D).encode(), PartHeader(1, E).encode()),
        (MessageKind.AGGREGATE, Aggregate(D, ()).encode(), Aggregate(E, ()).encode()),
        (MessageKind.AGGREGATE, Aggregate(D, ()).encode(), Aggregate(D, (1,)).encode()),
        (MessageKind.DIGEST, b"one", b"other"),
        (MessageKind.REPORT, report().encode(), REACTION.encode()),
    ],
)
def test_two_messages_of_one_kind_convict(kind: MessageKind, one: bytes, other: bytes) -> None:
    pair = [signed(2, kind, one), signed(2, kind, other)]
    (verdict,) = convict(FIVE, pair)
    assert (verdict.peer, verdict.reason) == (PEERS[2], BanReason.EQUIVOCATION)
    assert set(verdict.evidence) == set(pair)
    assert convict(FIVE, [pair[0], pair[0]]) == convict(FIVE, pair[:1]) == ()


def test_parts_for_two_owners_do_not_contradict_each_other() -> None:
    assert convict(FIVE, [part(2, 0, D), part(2, 1, E), commit(2, D, E, D, D, D)]) == ()


def test_a_part_header_that_breaks_its_commitment_convicts() -> None:
    evidence = [commit(2, D, E, D, D, D), part(2, 1, D)]
    (verdict,) = convict(FIVE, [*evidence, commit(3), part(3, 0, D)])
    assert (verdict.peer, verdict.reason) == (PEERS[2], BanReason.PART_MISMATCH)
    assert verdict.evidence == tuple(evidence)


def test_the_part_of_one_author_is_not_held_against_the_commitment_of_another() -> None:
    assert convict(FIVE, [commit(2), part(3, 0, E)]) == ()


def test_a_part_beyond_the_commitment_convicts_nobody() -> None:
    assert convict(FIVE, [commit(2), part(2, 5, E)]) == ()


def test_one_verdict_a_peer_in_roster_order_whatever_the_order_of_the_proofs() -> None:
    proofs = [commit(4), commit(4, E), leave(1, LeaveReason.LOTTERY), commit(2), part(2, 0, E), part(2, 0, D)]
    verdicts = convict(FIVE, proofs)
    assert [verdict.peer for verdict in verdicts] == [PEERS[1], PEERS[2], PEERS[4]]
    for seed in range(5):
        random.Random(seed).shuffle(proofs)
        assert convict(FIVE, proofs) == verdicts


def test_attachments_of_the_same_attempt_count_and_no_others() -> None:
    outer = signed(0, MessageKind.REPORT, b"")
    good = [commit(1), part(2, 0, D), signed(3, MessageKind.AGGREGATE, b""), leave(4)]
    forged = dataclasses.replace(commit(1), body=Commit(E, E, (), ()).encode())
    bad = [
        signed(1, MessageKind.COMMIT, Commit(D, D, (D,), ()).encode(), attempt=0),
        signed(1, MessageKind.COMMIT, Commit(D, D, (D,), ()).encode(), step=2),
        Envelope.sign(KEYS[1], run=b"another-run-0000", step=3, attempt=1, kind=MessageKind.DIGEST, body=b""),
        signed(1, MessageKind.COMMIT, b"no commit"),
        signed(1, MessageKind.PART, b"no header"),
        signed(1, MessageKind.LEAVE, b"no goodbye"),
        signed(7, MessageKind.DIGEST, b"of no member"),
        signed(1, MessageKind.RELAY, b""),
        signed(1, MessageKind.CERTIFICATE, b""),
        signed(1, MessageKind.JOIN, b""),
        forged,
    ]
    data = [b"garbage", *(envelope.encode() for envelope in [*bad, *good]), b""]
    found = valid_attachments(outer, dataclasses.replace(report(), attached=tuple(data)), FIVE)
    assert found == good


def test_relays_are_bounded_and_carry_every_report() -> None:
    reports = [signed(i % 5, MessageKind.REPORT, bytes(RELAY_BYTES // 3)) for i in range(10)]
    messages = relays(reports)
    assert [(message.index, message.total) for message in messages] == [(i, len(messages)) for i in range(5)]
    assert [data for message in messages for data in message.reports] == [envelope.encode() for envelope in reports]
    assert all(sum(map(len, message.reports)) <= RELAY_BYTES for message in messages)
    assert relays([]) == [Relay(0, 1, ())]


def test_a_report_longer_than_a_relay_travels_alone() -> None:
    reports = [signed(i, MessageKind.REPORT, bytes(size)) for i, size in enumerate((10, RELAY_BYTES + 1, 10))]
    assert [len(message.reports) for message in relays(reports)] == [1, 1, 1]


faults = st.sampled_from(Fault)


@st.composite
def failed_attempts(draw: st.DrawFn) -> tuple[tuple[PeerId, ...], frozenset[PeerId], dict[PeerId, Report]]:
    """Draw members, less than half of them liars, and reports: honest ones accuse liars only, liars say anything."""
    members = PEERS[: draw(st.integers(3, 9))]
    most = (len(members) - 1) // 2
    liars = draw(st.sets(st.sampled_from(members), min_size=1, max_size=most))
    reports = {}
    for peer in members:
        accused = draw(st.dictionaries(st.sampled_from(sorted(liars) if peer not in liars else members), faults))
        complaints = tuple(sorted(accused.items()))
        if peer not in liars:
            reports[peer] = Report(Phase.COMMIT, not complaints, members, complaints, ())
        elif draw(st.booleans()):
            counted = tuple(sorted(draw(st.sets(st.sampled_from(members)))))
            reports[peer] = Report(draw(st.sampled_from(Phase)), draw(st.booleans()), counted, complaints, ())
    return members, frozenset(liars), reports


@given(failed_attempts())
def test_a_minority_of_liars_loses_at_least_as_many_as_it_takes_along(
    drawn: tuple[tuple[PeerId, ...], frozenset[PeerId], dict[PeerId, Report]],
) -> None:
    members, liars, reports = drawn
    resolution = resolve(members, reports, {})
    removed = set(members) - set(resolution.members)
    assert removed == {peer for peer, _ in resolution.suspended}
    assert not resolution.verdicts
    assert len(removed - liars) <= len(removed & liars)
    honest_left, liars_left = set(resolution.members) - liars, set(resolution.members) & liars
    assert len(honest_left) > len(liars_left), "the honest keep their majority"


@given(failed_attempts())
def test_an_honest_complaint_or_a_missing_report_always_removes_a_liar(
    drawn: tuple[tuple[PeerId, ...], frozenset[PeerId], dict[PeerId, Report]],
) -> None:
    members, liars, reports = drawn
    complained = any(report.complaints for peer, report in reports.items() if peer not in liars)
    removed = set(members) - set(resolve(members, reports, {}).members)
    if complained or not liars <= reports.keys():
        assert removed & liars
    assert bool(removed & liars) or not removed


@given(failed_attempts(), st.randoms())
def test_the_order_in_which_reports_came_changes_nothing(
    drawn: tuple[tuple[PeerId, ...], frozenset[PeerId], dict[PeerId, Report]], shuffler: random.Random
) -> None:
    members, liars, reports = drawn
    liar = KEYS[PEERS.index(min(liars))]
    proofs = [
        Envelope.sign(liar, run=RULES.run, step=3, attempt=1, kind=MessageKind.DIGEST, body=bytes([i]))
        for i in range(shuffler.randint(0, 3))
    ]
    attached = {peer: shuffler.sample(proofs, len(proofs)) for peer in reports}
    expected = resolve(members, reports, attached)
    items = list(reports.items())
    shuffler.shuffle(items)
    reattached = {peer: shuffler.sample(found, len(found)) for peer, found in reversed(attached.items())}
    assert resolve(members, dict(items), reattached) == expected


@given(failed_attempts(), st.data())
def test_liars_cannot_have_an_honest_peer_banned(
    drawn: tuple[tuple[PeerId, ...], frozenset[PeerId], dict[PeerId, Report]], data: st.DataObject
) -> None:
    """They may attach what honest peers did sign, what liars sign, and forgeries."""
    members, liars, reports = drawn
    signers = {peer: KEYS[PEERS.index(peer)] for peer in members}
    spoken: list[Envelope] = []
    for peer, key in signers.items():
        spoken += _honest_messages(key, len(members))
        if peer in liars:
            other = Commit(E, E, (E,) * len(members), ()).encode()
            spoken.append(Envelope.sign(key, run=RULES.run, step=3, attempt=1, kind=MessageKind.COMMIT, body=other))
    forged = [dataclasses.replace(envelope, body=b"\x91\xa8shutdown") for envelope in spoken]
    shown = data.draw(st.lists(st.sampled_from(spoken + forged), max_size=20))
    outer = Envelope.sign(signers[min(liars)], run=RULES.run, step=3, attempt=1, kind=MessageKind.REPORT, body=b"")
    body = Report(Phase.COMMIT, False, members, (), tuple(envelope.encode() for envelope in shown))
    attached = {min(liars): valid_attachments(outer, body, members)}
    assert {verdict.peer for verdict in resolve(members, reports, attached).verdicts} <= liars


def _honest_messages(key: IdentityKey, members: int) -> list[Envelope]:
    parts = tuple(digest(bytes(key.peer_id) + bytes([i])) for i in range(members))
    said = [(MessageKind.COMMIT, Commit(D, D, parts, ()).encode()), (MessageKind.AGGREGATE, Aggregate(D, ()).encode())]
    said += [(MessageKind.PART, PartHeader(i, part_digest).encode()) for i, part_digest in enumerate(parts)]
    return [Envelope.sign(key, run=RULES.run, step=3, attempt=1, kind=kind, body=body) for kind, body in said]
