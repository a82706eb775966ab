"""Settling a failed attempt: every rule, their order, the court, and that lies of a minority do not pay."""

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
from btard.round.accusations import Ballot, Charge, ChargeKind, Fault, Opinion, Relay, Report, Vote
from btard.round.attachments import RELAY_BYTES, relays, valid_attachments
from btard.round.attempt import Attempt
from btard.round.draw import Audit
from btard.round.evidence import Offence
from btard.round.messages import Aggregate, Commit, Digest, Leave, PartHeader, Phase, Reveal, Scalars
from btard.round.randomness import share_commitment
from btard.round.roster import Roster, first_randomness
from btard.round.rules import Eliminate, VerificationRules
from btard.round.settle import OFFENCES, Resolution, Testimony, admissible, convict, resolve
from tests.btard.round.swarm import RULES, keys

KEYS = keys(9)
PEERS = tuple(key.peer_id for key in KEYS)
FIVE = PEERS[:5]
D, E = digest(b"d"), digest(b"e")
FILL = (D,) * 5


def attempt_of(
    members: Sequence[PeerId], *, newcomers: Sequence[int] = (), audits: tuple[Audit, ...] = (), voters: int = 0
) -> Attempt:
    """Return attempt 1 of step 3, without anything received; the last `newcomers` have no vote."""
    probation = tuple((PEERS[i], 9) for i in sorted(newcomers))
    roster = Roster(3, tuple(members), frozenset(), first_randomness(0, 3), audits, probation)
    return Attempt(RULES, roster, 1, tuple(members), members[0], D)


ATTEMPT = attempt_of(FIVE)


def report(
    complaints: Mapping[int, Fault] = {},
    *,
    reaction: bool = False,
    members: Sequence[PeerId] = FIVE,
    late: Sequence[int] = (),
) -> Report:
    accused = tuple(sorted((PEERS[i], fault) for i, fault in complaints.items()))
    return Report(Phase.COMMIT, reaction, tuple(members), accused, None, (), tuple(PEERS[i] for i in sorted(late)))


REACTION = report(reaction=True)


def signed(author: int, kind: MessageKind, body: bytes, *, step: int = 3, attempt: int = 1) -> Envelope:
    return Envelope.sign(KEYS[author], run=RULES.run, step=step, attempt=attempt, kind=kind, body=body)


def commit(author: int, *parts: bytes) -> Envelope:
    return signed(author, MessageKind.COMMIT, Commit(ATTEMPT.context, D, D, (*parts, *FILL)[:5], D, b"", ()).encode())


def part(author: int, number: int, part_digest: bytes) -> Envelope:
    return signed(author, MessageKind.PART, PartHeader(number, part_digest).encode())


def leave(author: int, reason: LeaveReason = LeaveReason.SHUTDOWN, attempt: int = 0) -> Envelope:
    return signed(author, MessageKind.LEAVE, Leave(reason).encode(), attempt=attempt)


def settled(
    reports: Mapping[int, Report],
    attached: Mapping[int, Sequence[Envelope]] = {},
    *,
    attempt: Attempt = ATTEMPT,
    charges: Mapping[int, Charge] = {},
    votes: Mapping[int, Vote] = {},
) -> Resolution:
    testimony = Testimony(
        reports={PEERS[i]: r for i, r in reports.items()},
        signed={PEERS[i]: signed(i, MessageKind.REPORT, r.encode()) for i, r in reports.items()},
        attached={PEERS[i]: tuple(found) for i, found in attached.items()},
        charges={PEERS[i]: charge for i, charge in charges.items()},
        votes={PEERS[i]: (signed(i, MessageKind.VOTE, vote.encode()), vote) for i, vote in votes.items()},
    )
    return resolve(attempt, testimony)


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
    assert settled(reports, attempt=attempt_of(PEERS[:4])).members == (PEERS[2], PEERS[3])


def test_of_whom_more_than_half_have_got_something_late_or_not_is_out_alone() -> None:
    late = report(reaction=True, late=[3])
    reports = dict.fromkeys((0, 2), late) | {1: report({3: Fault.NO_PART}), 3: REACTION, 4: REACTION}
    assert who(settled(reports)) == ([0, 1, 2, 4], {3: "no part, say 3 of 5"})
    assert who(settled(dict.fromkeys((0, 1, 2), late) | {3: REACTION, 4: REACTION})) == (
        [0, 1, 2, 4],
        {3: "late, say 3 of 5"},
    )


def test_who_complains_of_somebody_whom_most_do_not_miss_is_out_alone() -> None:
    reports = dict.fromkeys((0, 4), REACTION) | {1: report({3: Fault.NO_PART}), 3: REACTION}
    members, suspended = who(settled(reports | {2: report(reaction=True, late=[3])}))
    assert members == [0, 2, 3, 4], "testimony costs nothing"
    assert suspended == {1: f"most do not say that of {PEERS[3].short} (no part)"}
    accuser_of_many = dict.fromkeys((0, 1, 2, 3), REACTION) | {4: report(dict.fromkeys(range(4), Fault.NO_PART))}
    assert who(settled(accuser_of_many))[0] == [0, 1, 2, 3]


def test_nobody_testifies_twice_or_about_itself() -> None:
    twice = report({3: Fault.NO_PART}, late=[3])
    reports = dict.fromkeys((0, 1), twice) | {2: REACTION, 3: report(reaction=True, late=[3]), 4: REACTION}
    assert who(settled(reports))[0] == [2, 3, 4]


MUTUAL = attempt_of(FIVE)
MUTUAL.rules = dataclasses.replace(RULES, verification=VerificationRules(eliminate=Eliminate.MUTUAL))


def test_in_the_papers_mode_both_are_banned_unless_most_complain() -> None:
    reports = dict.fromkeys((0, 2, 4), REACTION) | {1: report({3: Fault.NO_PART}), 3: REACTION}
    resolution = settled(reports, attempt=MUTUAL)
    assert who(resolution)[0] == [0, 2, 4]
    assert [(ban.peer, ban.offence) for ban in resolution.bans] == [(PEERS[i], Offence.ELIMINATED) for i in (1, 3)]
    late = dict.fromkeys((0, 2), report(reaction=True, late=[3]))
    assert settled(reports | late, attempt=MUTUAL).members == resolution.members
    decided = settled(reports | dict.fromkeys((0, 2), reports[1]), attempt=MUTUAL)
    assert (who(decided)[0], decided.bans) == ([0, 1, 2, 4], ())


def test_in_the_papers_mode_a_peer_is_paired_with_one_other_only() -> None:
    reports = dict.fromkeys((3, 4), REACTION) | {0: report({2: Fault.NO_PART}), 1: report({2: Fault.NO_PART})}
    assert who(settled(reports | {2: REACTION}, attempt=MUTUAL))[0] == [1, 3, 4]
    accuser_of_many = dict.fromkeys((0, 1, 2, 3), REACTION) | {4: report(dict.fromkeys(range(4), Fault.NO_PART))}
    assert who(settled(accuser_of_many, attempt=MUTUAL))[0] == [1, 2, 3]


def test_a_report_without_a_reason_costs_its_author_the_place() -> None:
    reports = dict.fromkeys((0, 1, 2, 3), REACTION) | {4: report()}
    assert who(settled(reports)) == ([0, 1, 2, 3], {4: "gave up without a reason"})


def test_a_proof_and_a_goodbye_are_reasons() -> None:
    reports = dict.fromkeys((0, 1, 2), REACTION) | {3: report(), 4: report()}
    attached = {3: [leave(2)], 4: [commit(1), commit(1, E)]}
    resolution = settled(reports, attached)
    assert who(resolution) == ([0, 3, 4], {})
    assert resolution.left == (PEERS[2],)
    assert [ban.peer for ban in resolution.bans] == [PEERS[1]]


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
    assert [(ban.peer, ban.offence) for ban in resolution.bans] == [(PEERS[4], Offence.EQUIVOCATION)]


def test_who_has_left_is_not_suspended_and_drags_nobody_along() -> None:
    reports = dict.fromkeys((0, 1, 2), REACTION) | {3: report({4: Fault.NO_PART})}
    resolution = settled(reports, {0: [leave(4)]})
    assert who(resolution) == ([0, 1, 2, 3], {})
    assert resolution.left == (PEERS[4],)


def test_who_leaves_by_the_lottery_is_banned_and_not_among_those_that_left() -> None:
    resolution = settled(dict.fromkeys(range(4), REACTION), {0: [leave(4, LeaveReason.LOTTERY)]})
    assert (resolution.left, resolution.suspended) == ((), ())
    assert [(ban.peer, ban.offence) for ban in resolution.bans] == [(PEERS[4], Offence.LOTTERY)]


def test_differing_digests_are_explained_by_a_proof_and_by_nothing_else() -> None:
    reports = dict.fromkeys((2, 3, 4), REACTION) | {0: report({1: Fault.OTHER_DIGEST}), 1: REACTION}
    assert who(settled(reports))[0] == [1, 2, 3, 4]
    assert who(settled(reports, {2: [commit(4), commit(4, E)]}))[0] == [0, 1, 2, 3]
    other_fault = reports | {0: report({1: Fault.NO_PART})}
    assert who(settled(other_fault, {2: [commit(4), commit(4, E)]}))[0] == [1, 2, 3]


@pytest.mark.parametrize("fault", [Fault.OTHER_DIGEST, Fault.OTHER_STATE])
def test_of_two_that_have_signed_different_things_most_signatures_decide(fault: Fault) -> None:
    def said(author: int, value: bytes) -> Envelope:
        if fault is Fault.OTHER_STATE:
            return signed(author, MessageKind.COMMIT, Commit(ATTEMPT.context, value, D, FILL, D, b"", ()).encode())
        return signed(author, MessageKind.DIGEST, Digest(ATTEMPT.context, value, D, D).encode())

    reports = dict.fromkeys((2, 3, 4), REACTION) | {0: report({1: fault}), 1: REACTION}
    for odd, members in ((1, [0, 2, 3, 4]), (0, [1, 2, 3, 4])):
        shown = {0: [said(i, E if i == odd else D) for i in range(5)]}
        assert who(settled(reports, shown))[0] == members
    undecided = {0: [said(1, E), said(0, D), said(2, D)]}
    assert who(settled(reports, undecided))[0] == [1, 2, 3, 4]


def test_accusing_oneself_or_a_stranger_costs_nobody_else_a_place() -> None:
    reports = dict.fromkeys((0, 1, 2), REACTION) | {3: report({3: Fault.NO_PART}), 4: report({8: Fault.NO_PART})}
    assert {0, 1, 2} <= set(who(settled(reports))[0])


def scalars(*products: float) -> bytes:
    return Scalars(ATTEMPT.context, products or (0.0,) * 5, (1.0,) * 5, ()).encode()


@pytest.mark.parametrize(
    "kind, one, other",
    [
        (MessageKind.COMMIT, commit(2).body, commit(2, E, D, D, D, D).body),
        (MessageKind.PART, PartHeader(1, D).encode(), PartHeader(1, E).encode()),
        (MessageKind.AGGREGATE, Aggregate(D).encode(), Aggregate(E).encode()),
        (MessageKind.REVEAL, Reveal(D, D).encode(), Reveal(D, E).encode()),
        (MessageKind.SCALARS, scalars(), scalars(0.5, 0.0, 0.0, 0.0, 0.0)),
        (MessageKind.DIGEST, Digest(D, D, D, D).encode(), Digest(D, D, D, E).encode()),
        (MessageKind.REPORT, report().encode(), REACTION.encode()),
        (MessageKind.VOTE, Vote(D, ()).encode(), Vote(E, ()).encode()),
    ],
)
def test_two_messages_of_one_kind_convict(kind: MessageKind, one: bytes, other: bytes) -> None:
    pair = [signed(2, kind, one), signed(2, kind, other)]
    (ban,) = convict(ATTEMPT, pair)
    assert (ban.peer, ban.offence) == (PEERS[2], Offence.EQUIVOCATION)
    assert set(ban.envelopes) == set(pair)
    assert convict(ATTEMPT, [pair[0], pair[0]]) == convict(ATTEMPT, pair[:1]) == ()


@pytest.mark.parametrize(
    "kind, body",
    [
        (MessageKind.COMMIT, Commit(ATTEMPT.context, D, D, (D, D), D, b"", ()).encode()),
        (MessageKind.COMMIT, Commit(ATTEMPT.context, D, D, FILL, D, D, ()).encode()),
        (MessageKind.COMMIT, b"no commit"),
        (MessageKind.AGGREGATE, b"no aggregate"),
        (MessageKind.REVEAL, b"no reveal"),
        (MessageKind.SCALARS, b"no scalars"),
        (MessageKind.SCALARS, scalars(0.0)),
        (MessageKind.SCALARS, scalars(float("nan"), 0.0, 0.0, 0.0, 0.0)),
        (MessageKind.DIGEST, b"no digest"),
    ],
)
def test_a_signed_message_of_a_wrong_form_convicts(kind: MessageKind, body: bytes) -> None:
    (ban,) = convict(ATTEMPT, [signed(2, kind, body), commit(3)])
    assert (ban.peer, ban.offence) == (PEERS[2], Offence.MALFORMED)


def test_a_share_that_is_not_the_one_committed_to_convicts() -> None:
    sealed = share_commitment(PEERS[2], ATTEMPT.context, D, E)
    promise = signed(2, MessageKind.COMMIT, Commit(ATTEMPT.context, D, D, (D,) * 5, sealed, b"", ()).encode())
    true, false = (signed(2, MessageKind.REVEAL, Reveal(share, E).encode()) for share in (D, E))
    assert convict(ATTEMPT, [promise, true]) == ()
    (ban,) = convict(ATTEMPT, [promise, false])
    assert (ban.peer, ban.offence, ban.envelopes) == (PEERS[2], Offence.FALSE_REVEAL, (promise, false))


def test_parts_for_two_owners_do_not_contradict_each_other() -> None:
    assert convict(ATTEMPT, [part(2, 0, D), part(2, 1, E), commit(2, D, E, D, D, D)]) == ()


def test_a_part_header_that_breaks_its_commitment_convicts() -> None:
    evidence = [commit(2, D, E, D, D, D), part(2, 1, D)]
    (ban,) = convict(ATTEMPT, [*evidence, commit(3), part(3, 0, D)])
    assert (ban.peer, ban.offence) == (PEERS[2], Offence.PART_MISMATCH)
    assert ban.envelopes == tuple(evidence)


def test_the_part_of_one_author_is_not_held_against_the_commitment_of_another() -> None:
    assert convict(ATTEMPT, [commit(2), part(3, 0, E)]) == ()


def test_a_part_beyond_the_commitment_convicts_nobody() -> None:
    assert convict(ATTEMPT, [commit(2), part(2, 5, E)]) == ()


def test_one_verdict_a_peer_in_roster_order_whatever_the_order_of_the_proofs() -> None:
    proofs = [commit(4), commit(4, E), leave(1, LeaveReason.LOTTERY), commit(2), part(2, 0, E), part(2, 0, D)]
    verdicts = convict(ATTEMPT, proofs)
    assert [ban.peer for ban in verdicts] == [PEERS[1], PEERS[2], PEERS[4]]
    for seed in range(5):
        random.Random(seed).shuffle(proofs)
        assert convict(ATTEMPT, proofs) == verdicts


def test_attachments_of_the_same_attempt_count_and_no_others() -> None:
    outer = signed(0, MessageKind.REPORT, b"")
    good = [commit(1), part(2, 0, D), signed(3, MessageKind.AGGREGATE, b""), signed(3, MessageKind.VOTE, b""), leave(4)]
    forged = dataclasses.replace(commit(1), body=Commit(E, E, E, (), E, b"", ()).encode())
    bad = [
        signed(1, MessageKind.COMMIT, commit(1).body, attempt=0),
        signed(1, MessageKind.COMMIT, commit(1).body, step=2),
        Envelope.sign(KEYS[1], run=b"another-run-0000", step=3, attempt=1, kind=MessageKind.DIGEST, body=b""),
        signed(1, MessageKind.PART, b"no header"),
        signed(1, MessageKind.LEAVE, b"no goodbye"),
        signed(7, MessageKind.DIGEST, b"of no member"),
        signed(1, MessageKind.RELAY, b""),
        signed(1, MessageKind.CERTIFICATE, b""),
        signed(1, MessageKind.JOIN, b""),
        forged,
    ]
    data = [b"garbage", *(envelope.encode() for envelope in [*bad, *good]), b""]
    found = valid_attachments(outer, dataclasses.replace(report(), attached=tuple(data)), frozenset(FIVE))
    assert found == good


def test_relays_are_bounded_and_carry_every_report() -> None:
    reports = [signed(i % 5, MessageKind.REPORT, bytes(RELAY_BYTES // 3)) for i in range(10)]
    messages = relays(reports, votes=False)
    assert [(message.index, message.total) for message in messages] == [(i, len(messages)) for i in range(5)]
    assert [data for message in messages for data in message.envelopes] == [envelope.encode() for envelope in reports]
    assert all(sum(map(len, message.envelopes)) <= RELAY_BYTES for message in messages)
    assert relays([], votes=True) == [Relay(True, 0, 1, ())]


def test_a_report_longer_than_a_relay_travels_alone() -> None:
    reports = [signed(i, MessageKind.REPORT, bytes(size)) for i, size in enumerate((10, RELAY_BYTES + 1, 10))]
    assert [len(message.envelopes) for message in relays(reports, votes=False)] == [1, 1, 1]


faults = st.sampled_from([fault for fault in Fault if fault is not Fault.OTHER_VIEW])


@st.composite
def failed_attempts(draw: st.DrawFn) -> tuple[tuple[PeerId, ...], frozenset[PeerId], dict[PeerId, Report]]:
    """Draw members, less than half of them liars, and reports: liars say anything, honest peers complain of liars only,
    and only if all of them have missed something of that liar, or got it late."""
    members = PEERS[: draw(st.integers(3, 9))]
    most = (len(members) - 1) // 2
    liars = draw(st.sets(st.sampled_from(members), min_size=1, max_size=most))
    refusers = draw(st.sets(st.sampled_from(sorted(liars))))
    reports = {}
    for peer in members:
        possible = members if peer in liars else sorted(refusers)
        accused = draw(st.dictionaries(st.sampled_from(possible), faults)) if possible else {}
        complaints = tuple(sorted(accused.items()))
        if peer not in liars:
            testimony = refusers | draw(st.sets(st.sampled_from(sorted(liars))))
            late = tuple(sorted(testimony))
            reports[peer] = Report(Phase.COMMIT, not complaints, members, complaints, None, (), late)
        elif draw(st.booleans()):
            counted, late = (tuple(sorted(draw(st.sets(st.sampled_from(members))))) for _ in range(2))
            reports[peer] = Report(
                draw(st.sampled_from(Phase)), draw(st.booleans()), counted, complaints, None, (), late
            )
    return members, frozenset(liars), reports


def told(
    members: Sequence[PeerId],
    reports: Mapping[PeerId, Report],
    attached: Mapping[PeerId, Sequence[Envelope]] = {},
    newcomers: Sequence[int] = (),
) -> Resolution:
    return resolve(attempt_of(members, newcomers=newcomers), Testimony(reports, {}, attached))


@given(failed_attempts())
def test_a_minority_of_liars_takes_no_honest_peer_along(
    drawn: tuple[tuple[PeerId, ...], frozenset[PeerId], dict[PeerId, Report]],
) -> None:
    members, liars, reports = drawn
    resolution = told(members, reports)
    removed = set(members) - set(resolution.members)
    assert removed == {peer for peer, _ in resolution.suspended}
    assert not resolution.bans
    assert removed <= liars


@given(failed_attempts())
def test_a_complaint_or_a_missing_report_always_removes_a_liar(
    drawn: tuple[tuple[PeerId, ...], frozenset[PeerId], dict[PeerId, Report]],
) -> None:
    members, liars, reports = drawn
    removed = set(members) - set(told(members, reports).members)
    accused = {accused for peer, report in reports.items() if peer not in liars for accused, _ in report.complaints}
    assert accused <= removed
    assert liars - reports.keys() <= removed
    complained = any(peer != accused for peer, report in reports.items() for accused, _ in report.complaints)
    assert removed or not complained, "or attempts could fail for ever"


@given(failed_attempts(), st.randoms())
def test_the_order_in_which_reports_came_changes_nothing(
    drawn: tuple[tuple[PeerId, ...], frozenset[PeerId], dict[PeerId, Report]], shuffler: random.Random
) -> None:
    members, liars, reports = drawn
    liar = KEYS[PEERS.index(min(liars))]
    proofs = [
        Envelope.sign(
            liar,
            run=RULES.run,
            step=3,
            attempt=1,
            kind=MessageKind.DIGEST,
            body=Digest(D, D, D, digest(bytes([i]))).encode(),
        )
        for i in range(shuffler.randint(0, 3))
    ]
    attached = {peer: shuffler.sample(proofs, len(proofs)) for peer in reports}
    expected = told(members, reports, attached)
    items = list(reports.items())
    shuffler.shuffle(items)
    reattached = {peer: shuffler.sample(found, len(found)) for peer, found in reversed(attached.items())}
    assert told(members, dict(items), reattached) == expected


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
            other = Commit(E, E, E, (E,) * len(members), D, b"", ()).encode()
            spoken.append(Envelope.sign(key, run=RULES.run, step=3, attempt=1, kind=MessageKind.COMMIT, body=other))
    forged = [dataclasses.replace(envelope, body=b"\x91\xa8shutdown") for envelope in spoken]
    shown = data.draw(st.lists(st.sampled_from(spoken + forged), max_size=20))
    outer = Envelope.sign(signers[min(liars)], run=RULES.run, step=3, attempt=1, kind=MessageKind.REPORT, body=b"")
    body = Report(Phase.COMMIT, False, members, (), None, tuple(envelope.encode() for envelope in shown))
    attached = {min(liars): valid_attachments(outer, body, frozenset(members))}
    assert {ban.peer for ban in told(members, reports, attached).bans} <= liars


def _honest_messages(key: IdentityKey, members: int) -> list[Envelope]:
    parts = tuple(digest(bytes(key.peer_id) + bytes([i])) for i in range(members))
    sealed = share_commitment(key.peer_id, D, D, E)
    said = [
        (MessageKind.COMMIT, Commit(D, D, D, parts, sealed, b"", ()).encode()),
        (MessageKind.AGGREGATE, Aggregate(D).encode()),
        (MessageKind.REVEAL, Reveal(D, E).encode()),
    ]
    said += [(MessageKind.PART, PartHeader(i, part_digest).encode()) for i, part_digest in enumerate(parts)]
    return [Envelope.sign(key, run=RULES.run, step=3, attempt=1, kind=kind, body=body) for kind, body in said]


CROWD = attempt_of(PEERS[:7], newcomers=(5, 6))


@pytest.mark.parametrize("accuser, accused", [(5, 1), (1, 5), (6, 5)])
def test_a_newcomer_takes_nobody_along_and_goes_for_nobody(accuser: int, accused: int) -> None:
    some = dict.fromkeys(range(7), report(reaction=True, members=PEERS[:7]))
    some[accuser] = report({accused: Fault.NO_PART}, members=PEERS[:7])
    members, suspended = who(settled(some, attempt=CROWD))
    assert set(members) == set(range(7)) - {accuser} and set(suspended) == {accuser}


@pytest.mark.parametrize("accuser, accused", [(5, 1), (1, 5)])
def test_in_the_papers_mode_a_newcomer_takes_no_voter_along(accuser: int, accused: int) -> None:
    crowd = attempt_of(PEERS[:7], newcomers=(5, 6))
    crowd.rules = MUTUAL.rules
    some = dict.fromkeys(range(7), report(reaction=True, members=PEERS[:7]))
    some[accuser] = report({accused: Fault.NO_PART}, members=PEERS[:7])
    resolution = settled(some, attempt=crowd)
    assert (who(resolution)[0], resolution.bans) == ([0, 1, 2, 3, 4, 6], ())


@given(failed_attempts(), st.data())
def test_a_crowd_of_newcomers_cannot_take_the_majority_from_the_honest_voters(
    drawn: tuple[tuple[PeerId, ...], frozenset[PeerId], dict[PeerId, Report]], data: st.DataObject
) -> None:
    """Some members have no vote, and all of those lie; of the voters less than half lie."""
    members, liars, reports = drawn
    newcomers = data.draw(st.sets(st.sampled_from(sorted(liars))))
    numbers = [PEERS.index(peer) for peer in newcomers]
    resolution = told(members, reports, newcomers=numbers)
    assert set(members) - liars <= set(resolution.members)


def test_complaints_of_newcomers_make_no_majority() -> None:
    some = dict.fromkeys(range(7), report(reaction=True, members=PEERS[:7]))
    some |= dict.fromkeys((0, 5), report({4: Fault.NO_PART}, members=PEERS[:7]))
    some[6] = report(reaction=True, members=PEERS[:7], late=[4])
    assert who(settled(some, attempt=CROWD))[0] == [1, 2, 3, 4, 6]


SHOWN = Charge(ChargeKind.FALSE_SCALARS, PEERS[1], 0)
SUM = Charge(ChargeKind.WRONG_SUM, PEERS[1], 2)
LIE = Charge(ChargeKind.GRADIENT, PEERS[1], 0)


def ballots(*cast: tuple[int, Charge, Opinion], accomplices: Sequence[int] = ()) -> Vote:
    covering = tuple(PEERS[i] for i in accomplices)
    return Vote(ATTEMPT.context, tuple(Ballot(PEERS[by], charge, found, covering) for by, charge, found in cast))


def judged(
    votes: Mapping[int, Vote], charges: Mapping[int, Charge], attached: Mapping[int, Sequence[Envelope]] = {}
) -> Resolution:
    said = {
        i: dataclasses.replace(report(reaction=i not in charges), phase=Phase.AGREE, charge=charges.get(i))
        for i in range(5)
    }
    return settled(said, attached, charges=charges, votes=votes)


def verdicts(resolution: Resolution) -> dict[int, Offence]:
    return {PEERS.index(ban.peer): ban.offence for ban in resolution.bans}


@pytest.mark.parametrize("kind", [kind for kind in ChargeKind if kind is not ChargeKind.WITHHELD])
def test_more_than_half_must_find_guilty(kind: ChargeKind) -> None:
    charge = Charge(kind, PEERS[1], 0)
    guilty = ballots((0, charge, Opinion.GUILTY))
    resolution = judged(dict.fromkeys((0, 2, 3), guilty), {0: charge})
    assert verdicts(resolution) == {1: OFFENCES[kind]}
    assert who(resolution)[0] == [0, 2, 3, 4]
    assert resolution.judged == {(PEERS[0], charge)}
    (ban,) = resolution.bans
    assert (ban.charge, ban.accuser) == (charge, PEERS[0])
    assert {envelope.kind for envelope in ban.envelopes} == {MessageKind.REPORT, MessageKind.VOTE}


def test_half_of_the_votes_convict_nobody() -> None:
    four = attempt_of(PEERS[:4])
    vote = Vote(four.context, ballots((0, LIE, Opinion.GUILTY)).ballots)
    said = dict.fromkeys(range(4), report(reaction=True, members=PEERS[:4]))
    said[0] = dataclasses.replace(report(members=PEERS[:4]), charge=LIE)
    resolution = settled(said, attempt=four, charges={0: LIE}, votes=dict.fromkeys((0, 2), vote))
    assert verdicts(resolution) == {}
    assert who(resolution)[0] == [0, 1, 2, 3]


def test_an_accuser_of_the_innocent_is_banned() -> None:
    innocent = ballots((0, LIE, Opinion.INNOCENT))
    assert verdicts(judged(dict.fromkeys((1, 2, 3), innocent), {0: LIE})) == {0: Offence.FALSE_ACCUSATION}
    assert verdicts(judged(dict.fromkeys((1, 2), innocent), {0: LIE})) == {}


def test_where_most_are_unsure_nobody_is_banned() -> None:
    unsure = ballots((0, LIE, Opinion.UNSURE))
    resolution = judged(dict.fromkeys(range(5), unsure), {0: LIE})
    assert (verdicts(resolution), who(resolution)[0]) == ({}, [0, 1, 2, 3, 4])
    assert resolution.judged == {(PEERS[0], LIE)}


@pytest.mark.parametrize("kind", [ChargeKind.FALSE_SCALARS, ChargeKind.NOT_FINITE, ChargeKind.TOO_LONG])
def test_who_had_to_show_a_row_and_convinced_nobody_is_suspended(kind: ChargeKind) -> None:
    charge = Charge(kind, PEERS[1], 0)
    unsure = ballots((0, charge, Opinion.UNSURE))
    members, suspended = who(judged(dict.fromkeys(range(5), unsure), {0: charge}))
    assert (members, suspended) == ([1, 2, 3, 4], {0: "could not prove its accusation"})


def test_votes_of_those_who_have_none_do_not_count() -> None:
    said = dict.fromkeys(range(7), report(reaction=True, members=PEERS[:7]))
    said[0] = dataclasses.replace(report(members=PEERS[:7]), charge=LIE)
    guilty = Vote(CROWD.context, ballots((0, LIE, Opinion.GUILTY)).ballots)
    for voters in ((0, 2, 5, 6), (0, 2, 7, 8)):
        assert verdicts(settled(said, attempt=CROWD, charges={0: LIE}, votes=dict.fromkeys(voters, guilty))) == {}
    convicted = settled(said, attempt=CROWD, charges={0: LIE}, votes=dict.fromkeys((0, 2, 3), guilty))
    assert verdicts(convicted) == {1: Offence.GRADIENT}


def test_a_vote_is_about_one_charge_of_one_accuser() -> None:
    for by, charge in ((2, LIE), (0, SUM), (0, Charge(ChargeKind.GRADIENT, PEERS[3], 0))):
        assert verdicts(judged(dict.fromkeys(range(5), ballots((by, charge, Opinion.GUILTY))), {0: LIE})) == {}


def test_accomplices_go_with_whom_they_covered_if_most_say_so() -> None:
    covered = ballots((0, LIE, Opinion.GUILTY), accomplices=(3,))
    plain = ballots((0, LIE, Opinion.GUILTY))
    assert verdicts(judged(dict.fromkeys((0, 2, 4), covered), {0: LIE})) == {1: Offence.GRADIENT, 3: Offence.COVER_UP}
    assert verdicts(judged({0: covered, 2: covered, 4: plain}, {0: LIE})) == {1: Offence.GRADIENT}


def test_accomplices_of_the_innocent_are_innocent() -> None:
    vote = ballots((0, LIE, Opinion.INNOCENT), accomplices=(3,))
    assert verdicts(judged(dict.fromkeys((1, 2, 4), vote), {0: LIE})) == {0: Offence.FALSE_ACCUSATION}


def test_an_owner_that_had_no_say_is_not_banned_for_a_sum() -> None:
    vote = ballots((0, SUM, Opinion.GUILTY))
    charged = {i: dataclasses.replace(report(), charge=SUM) if i == 0 else REACTION for i in (0, 2, 3, 4)}
    resolution = settled(charged, charges={0: SUM}, votes=dict.fromkeys((0, 2, 3), vote))
    assert verdicts(resolution) == {}, "silence is no proof"
    assert dict(resolution.suspended)[PEERS[1]] == "did not answer"
    charged[1] = dataclasses.replace(REACTION, phase=Phase.MEASURE)
    resolution = settled(charged, charges={0: SUM}, votes=dict.fromkeys((0, 2, 3), vote))
    assert verdicts(resolution) == {}, "it may not have heard the number that spoilt its column"
    assert "has not said why" in dict(resolution.suspended)[PEERS[1]]


def test_who_tells_two_stories_cannot_hide_it_behind_another_offence() -> None:
    vote = ballots((0, SUM, Opinion.GUILTY))
    stories = [
        signed(4, MessageKind.SCALARS, Scalars(ATTEMPT.context, (x,) * 5, (1.0,) * 5, ()).encode()) for x in (0.0, 0.1)
    ]
    goodbye = signed(4, MessageKind.LEAVE, Leave(LeaveReason.LOTTERY).encode())
    charged = {i: dataclasses.replace(report(), charge=SUM) if i == 0 else REACTION for i in range(5)}
    attached = {0: [stories[0]], 2: [stories[1], goodbye]}
    resolution = settled(charged, attached, charges={0: SUM}, votes=dict.fromkeys((0, 2, 3), vote))
    assert set(verdicts(resolution)) == {4}, "the owner is excused, whatever the liar is banned for"


def test_an_owner_whose_column_a_liar_spoiled_is_excused_by_its_own_upheld_accusation() -> None:
    spoiled = Charge(ChargeKind.FALSE_SCALARS, PEERS[4], SUM.part)
    vote = ballots((0, SUM, Opinion.GUILTY), (1, spoiled, Opinion.GUILTY))
    assert verdicts(judged(dict.fromkeys((0, 2, 3), vote), {0: SUM, 1: spoiled})) == {4: Offence.FALSE_SCALARS}


@pytest.mark.parametrize(
    "excuse, found",
    [
        (Charge(ChargeKind.FALSE_SCALARS, PEERS[4], SUM.part + 1), Opinion.GUILTY),
        (Charge(ChargeKind.NOT_FINITE, PEERS[4], SUM.part), Opinion.GUILTY),
        (Charge(ChargeKind.FALSE_SCALARS, PEERS[4], SUM.part), Opinion.UNSURE),
    ],
    ids=["about another part", "of another kind", "not upheld"],
)
def test_no_other_accusation_excuses_an_owner(excuse: Charge, found: Opinion) -> None:
    vote = ballots((0, SUM, Opinion.GUILTY), (1, excuse, found))
    resolution = judged(dict.fromkeys((0, 2, 3), vote), {0: SUM, 1: excuse})
    assert verdicts(resolution)[1] is Offence.WRONG_SUM


def test_who_was_told_two_things_neither_convicts_nor_is_convicted() -> None:
    shown = {
        0: [signed(4, MessageKind.SCALARS, scalars()), signed(4, MessageKind.SCALARS, scalars(0.5, 0.0, 0.0, 0.0, 0.0))]
    }
    for opinion in (Opinion.GUILTY, Opinion.INNOCENT, Opinion.UNSURE):
        votes = dict.fromkeys((0, 2, 3), ballots((0, SHOWN, opinion)))
        resolution = judged(votes, {0: SHOWN}, shown)
        assert verdicts(resolution) == {4: Offence.EQUIVOCATION}
        assert (who(resolution), resolution.judged) == (([0, 1, 2, 3], {}), frozenset())


def test_two_reports_do_not_spare_whom_the_court_convicts() -> None:
    twice = {0: [signed(4, MessageKind.REPORT, report().encode()), signed(4, MessageKind.REPORT, REACTION.encode())]}
    votes = dict.fromkeys((0, 2, 3), ballots((0, SHOWN, Opinion.GUILTY)))
    assert verdicts(judged(votes, {0: SHOWN}, twice)) == {1: Offence.FALSE_SCALARS, 4: Offence.EQUIVOCATION}


def test_a_draw_that_somebody_has_seen_is_repeated_with_one_validator_more() -> None:
    early, late = REACTION, dataclasses.replace(REACTION, phase=Phase.REVEAL)
    assert not settled(dict.fromkeys(range(5), early)).redraw
    assert not settled({**dict.fromkeys(range(3), early), 3: late, 4: late}).redraw, "a minority may be lying"
    assert settled({**dict.fromkeys(range(2), early), **dict.fromkeys(range(2, 5), late)}).redraw


def charging(*charges: tuple[int, Charge]) -> dict[PeerId, Report]:
    return {PEERS[i]: dataclasses.replace(report(), charge=charge) for i, charge in charges}


def test_the_court_hears_each_accuser_once() -> None:
    reports = charging((0, LIE), (2, SUM), (3, LIE))
    assert admissible(ATTEMPT, reports, ()) == {PEERS[0]: LIE, PEERS[2]: SUM, PEERS[3]: LIE}
    assert admissible(ATTEMPT, reports, {(PEERS[0], LIE), (PEERS[2], LIE)}) == {PEERS[2]: SUM, PEERS[3]: LIE}


@pytest.mark.parametrize(
    "author, charge",
    [
        pytest.param(1, LIE, id="against oneself"),
        pytest.param(0, Charge(ChargeKind.GRADIENT, PEERS[8], 0), id="against a stranger"),
        pytest.param(0, Charge(ChargeKind.WRONG_SUM, PEERS[1], 5), id="about no part"),
        pytest.param(8, LIE, id="of a stranger"),
        pytest.param(0, Charge(ChargeKind.WITHHELD, PEERS[1], 0), id="momentum, of no validator"),
    ],
)
def test_what_no_court_hears(author: int, charge: Charge) -> None:
    assert admissible(ATTEMPT, charging((author, charge)), ()) == {}


def test_newcomers_accuse_nobody() -> None:
    assert admissible(CROWD, charging((5, LIE), (4, LIE)), ()) == {PEERS[4]: LIE}


def test_only_the_drawn_validator_may_say_that_a_momentum_is_withheld() -> None:
    withheld = Charge(ChargeKind.WITHHELD, PEERS[1], 0)
    drawn = attempt_of(FIVE, audits=(Audit(PEERS[3], PEERS[1]),))
    assert admissible(drawn, charging((3, withheld)), ()) == {}, "this run has no momentum"
    drawn.rules = dataclasses.replace(RULES, verification=VerificationRules(momentum=0.5))
    assert admissible(drawn, charging((0, withheld), (3, withheld)), ()) == {PEERS[3]: withheld}
    again = dataclasses.replace(withheld, part=1)
    assert admissible(drawn, charging((3, again)), ()) == {}, "the same charge in another form"
