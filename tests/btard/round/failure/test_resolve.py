"""Resolving a failed attempt: which peers go on and which do not, by every rule and in their order."""

from __future__ import annotations

import dataclasses

import pytest

from btard.behaviour import LeaveReason
from btard.identity import Envelope, MessageKind
from btard.round.evidence.evidence import Offence
from btard.round.messages.accusations import Fault
from btard.round.messages.bodies import Commit, Digest, Phase
from tests.btard.round.settlement import (
    ATTEMPT,
    CROWD,
    FILL,
    MUTUAL,
    PEERS,
    REACTION,
    D,
    E,
    attempt_of,
    commit,
    leave,
    part,
    report,
    settled,
    signed,
    who,
)


def test_all_go_on_when_nobody_is_accused() -> None:
    assert who(settled(dict.fromkeys(range(5), REACTION))) == ([0, 1, 2, 3, 4], {})


def test_a_peer_that_does_not_report_is_out() -> None:
    reports = dict.fromkeys((0, 1, 3, 4), report({2: Fault.NO_COMMIT}))
    assert who(settled(reports)) == ([0, 1, 3, 4], {2: "did not answer"})


def test_a_majority_of_complaints_suspends_only_their_subject() -> None:
    reports = {i: report({4: Fault.NO_PART}) for i in (0, 1, 2)} | {3: REACTION, 4: report({0: Fault.NO_PART})}
    assert who(settled(reports)) == ([0, 1, 2, 3], {4: "no part, say 3 of 5"})


def test_half_of_the_members_is_not_more_than_half() -> None:
    reports = {i: report({3: Fault.NO_PART}, members=PEERS[:4]) for i in (0, 1)}
    reports |= {i: report(reaction=True, members=PEERS[:4]) for i in (2, 3)}
    assert settled(reports, attempt=attempt_of(PEERS[:4])).members == (PEERS[2], PEERS[3])


def test_a_peer_late_for_a_majority_is_out_alone() -> None:
    late = report(reaction=True, late=[3])
    reports = dict.fromkeys((0, 2), late) | {1: report({3: Fault.NO_PART}), 3: REACTION, 4: REACTION}
    assert who(settled(reports)) == ([0, 1, 2, 4], {3: "no part, say 3 of 5"})
    assert who(settled(dict.fromkeys((0, 1, 2), late) | {3: REACTION, 4: REACTION})) == (
        [0, 1, 2, 4],
        {3: "late, say 3 of 5"},
    )


def test_a_complainer_that_no_majority_joins_is_out_alone() -> None:
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


def test_proof_comes_first_so_the_guilty_drags_nobody_along() -> None:
    reports = dict.fromkeys((0, 1, 2, 3), REACTION) | {4: report({0: Fault.NO_PART})}
    resolution = settled(reports, {0: [commit(4), commit(4, E)]})
    assert who(resolution) == ([0, 1, 2, 3], {})
    assert [(ban.peer, ban.offence) for ban in resolution.bans] == [(PEERS[4], Offence.EQUIVOCATION)]


def test_a_peer_that_left_is_not_suspended_and_harms_nobody() -> None:
    reports = dict.fromkeys((0, 1, 2), REACTION) | {3: report({4: Fault.NO_PART})}
    resolution = settled(reports, {0: [leave(4)]})
    assert who(resolution) == ([0, 1, 2, 3], {})
    assert resolution.left == (PEERS[4],)


def test_a_peer_that_leaves_by_lottery_is_banned() -> None:
    resolution = settled(dict.fromkeys(range(4), REACTION), {0: [leave(4, LeaveReason.LOTTERY)]})
    assert (resolution.left, resolution.suspended) == ((), ())
    assert [(ban.peer, ban.offence) for ban in resolution.bans] == [(PEERS[4], Offence.LOTTERY)]


def test_only_a_proof_explains_differing_digests() -> None:
    reports = dict.fromkeys((2, 3, 4), REACTION) | {0: report({1: Fault.OTHER_DIGEST}), 1: REACTION}
    assert who(settled(reports))[0] == [1, 2, 3, 4]
    assert who(settled(reports, {2: [commit(4), commit(4, E)]}))[0] == [0, 1, 2, 3]
    other_fault = reports | {0: report({1: Fault.NO_PART})}
    assert who(settled(other_fault, {2: [commit(4), commit(4, E)]}))[0] == [1, 2, 3]


@pytest.mark.parametrize("fault", [Fault.OTHER_DIGEST, Fault.OTHER_STATE])
def test_the_majority_of_signatures_decides_between_two_digests(fault: Fault) -> None:
    def said(author: int, value: bytes) -> Envelope:
        if fault is Fault.OTHER_STATE:
            return signed(
                author, MessageKind.COMMIT, Commit(ATTEMPT.seats.attempt_id, value, D, FILL, D, b"", ()).encode()
            )
        return signed(author, MessageKind.DIGEST, Digest(ATTEMPT.seats.attempt_id, value, D, D).encode())

    reports = dict.fromkeys((2, 3, 4), REACTION) | {0: report({1: fault}), 1: REACTION}
    for odd, members in ((1, [0, 2, 3, 4]), (0, [1, 2, 3, 4])):
        shown = {0: [said(i, E if i == odd else D) for i in range(5)]}
        assert who(settled(reports, shown))[0] == members
    undecided = {0: [said(1, E), said(0, D), said(2, D)]}
    assert who(settled(reports, undecided))[0] == [1, 2, 3, 4]


def test_charging_oneself_or_a_stranger_harms_nobody_else() -> None:
    reports = dict.fromkeys((0, 1, 2), REACTION) | {3: report({3: Fault.NO_PART}), 4: report({8: Fault.NO_PART})}
    assert {0, 1, 2} <= set(who(settled(reports))[0])


@pytest.mark.parametrize("accuser, accused", [(5, 1), (1, 5), (6, 5)])
def test_a_newcomer_takes_nobody_along_and_goes_for_nobody(accuser: int, accused: int) -> None:
    some = dict.fromkeys(range(7), report(reaction=True, members=PEERS[:7]))
    some[accuser] = report({accused: Fault.NO_PART}, members=PEERS[:7])
    members, suspended = who(settled(some, attempt=CROWD))
    assert set(members) == set(range(7)) - {accuser} and set(suspended) == {accuser}


@pytest.mark.parametrize("accuser, accused", [(5, 1), (1, 5)])
def test_in_the_papers_mode_a_newcomer_takes_no_voter_along(accuser: int, accused: int) -> None:
    crowd = attempt_of(PEERS[:7], newcomers=(5, 6), verification=MUTUAL.seats.rules.verification)
    some = dict.fromkeys(range(7), report(reaction=True, members=PEERS[:7]))
    some[accuser] = report({accused: Fault.NO_PART}, members=PEERS[:7])
    resolution = settled(some, attempt=crowd)
    assert (who(resolution)[0], resolution.bans) == ([0, 1, 2, 3, 4, 6], ())


def test_complaints_of_newcomers_make_no_majority() -> None:
    some = dict.fromkeys(range(7), report(reaction=True, members=PEERS[:7]))
    some |= dict.fromkeys((0, 5), report({4: Fault.NO_PART}, members=PEERS[:7]))
    some[6] = report(reaction=True, members=PEERS[:7], late=[4])
    assert who(settled(some, attempt=CROWD))[0] == [1, 2, 3, 4, 6]


def test_repeating_a_draw_that_was_seen_adds_one_validator() -> None:
    early, late = REACTION, dataclasses.replace(REACTION, phase=Phase.REVEAL)
    assert not settled(dict.fromkeys(range(5), early)).redraw
    assert not settled({**dict.fromkeys(range(3), early), 3: late, 4: late}).redraw, "a minority may be lying"
    assert settled({**dict.fromkeys(range(2), early), **dict.fromkeys(range(2, 5), late)}).redraw
