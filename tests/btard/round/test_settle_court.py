"""Settling a failed attempt: which charges are heard, and what the votes about them decide."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import pytest

from btard.behaviour import LeaveReason
from btard.identity import Envelope, MessageKind, PeerId
from btard.round.draw import Audit
from btard.round.evidence.evidence import Offence
from btard.round.failure.resolve import OFFENCES, Resolution
from btard.round.failure.standing import Standing, admissible
from btard.round.messages.accusations import Ballot, Charge, ChargeKind, Opinion, Report, Vote
from btard.round.messages.bodies import Leave, Phase, Scalars
from btard.round.rules import VerificationRules
from btard.vocabulary import Validation
from tests.btard.round.settlement import (
    ATTEMPT,
    CROWD,
    FIVE,
    PEERS,
    REACTION,
    attempt_of,
    report,
    scalars,
    settled,
    signed,
    who,
)

SHOWN = Charge(ChargeKind.FALSE_SCALARS, PEERS[1], 0)
SUM = Charge(ChargeKind.WRONG_SUM, PEERS[1], 2)
LIE = Charge(ChargeKind.GRADIENT, PEERS[1], 0)
FRESH = Standing(FIVE)


def ballots(*cast: tuple[int, Charge, Opinion], accomplices: Sequence[int] = ()) -> Vote:
    covering = tuple(PEERS[i] for i in accomplices)
    return Vote(
        ATTEMPT.seats.attempt_id, tuple(Ballot(PEERS[by], charge, found, covering) for by, charge, found in cast)
    )


def judged(
    votes: Mapping[int, Vote], charges: Mapping[int, Charge], attached: Mapping[int, Sequence[Envelope]] = {}
) -> Resolution:
    said = {
        i: dataclasses.replace(report(reaction=i not in charges), phase=Phase.AGREE, charge=charges.get(i))
        for i in range(5)
    }
    return settled(said, attached, charges=charges, votes={**unsure(charges), **votes})


def unsure(charges: Mapping[int, Charge]) -> dict[int, Vote]:
    """Return votes of all that find nothing."""
    return dict.fromkeys(range(5), ballots(*((by, charge, Opinion.UNSURE) for by, charge in sorted(charges.items()))))


def verdicts(resolution: Resolution) -> dict[int, Offence]:
    return {PEERS.index(ban.peer): ban.offence for ban in resolution.bans}


@pytest.mark.parametrize("kind", [kind for kind in OFFENCES if kind is not ChargeKind.WITHHELD])
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


@pytest.mark.parametrize("guilty, out", [(3, {1}), (2, {0})])
def test_what_is_not_opened_suspends_by_more_than_half(guilty: int, out: set[int]) -> None:
    charge = Charge(ChargeKind.NO_OPENING, PEERS[1], 0)
    votes = dict.fromkeys(range(2, 2 + guilty), ballots((0, charge, Opinion.GUILTY)))
    resolution = judged(votes, {0: charge})
    assert verdicts(resolution) == {} and who(resolution)[1].keys() == out
    innocent = dict.fromkeys((2, 3, 4), ballots((0, charge, Opinion.INNOCENT)))
    assert verdicts(judged(innocent, {0: charge})) == {0: Offence.FALSE_ACCUSATION}


@pytest.mark.parametrize("kind", [ChargeKind.FALSE_OPENING, ChargeKind.NO_OPENING])
def test_a_charge_about_an_opening_names_no_part(kind: ChargeKind) -> None:
    said = {PEERS[0]: dataclasses.replace(report(), charge=Charge(kind, PEERS[1], 1))}
    assert admissible(ATTEMPT, said, Standing(PEERS)) == {}


def test_half_of_the_votes_convict_nobody() -> None:
    four = attempt_of(PEERS[:4])
    vote = Vote(four.seats.attempt_id, ballots((0, LIE, Opinion.GUILTY)).ballots)
    said = dict.fromkeys(range(4), report(reaction=True, members=PEERS[:4]))
    said[0] = dataclasses.replace(report(members=PEERS[:4]), charge=LIE)
    rest = Vote(four.seats.attempt_id, ballots((0, LIE, Opinion.UNSURE)).ballots)
    resolution = settled(said, attempt=four, charges={0: LIE}, votes={0: vote, 1: rest, 2: vote, 3: rest})
    assert verdicts(resolution) == {}
    assert who(resolution)[0] == [1, 2, 3]


def test_an_accuser_of_the_innocent_is_banned() -> None:
    innocent = ballots((0, LIE, Opinion.INNOCENT))
    assert verdicts(judged(dict.fromkeys((1, 2, 3), innocent), {0: LIE})) == {0: Offence.FALSE_ACCUSATION}
    assert verdicts(judged(dict.fromkeys((1, 2), innocent), {0: LIE})) == {}


def test_where_most_are_unsure_nobody_is_banned() -> None:
    resolution = judged({}, {0: LIE})
    assert (verdicts(resolution), who(resolution)[0]) == ({}, [1, 2, 3, 4])
    assert resolution.judged == {(PEERS[0], LIE)}


@pytest.mark.parametrize("kind", [ChargeKind.FALSE_SCALARS, ChargeKind.NOT_FINITE, ChargeKind.TOO_LONG])
def test_an_accuser_whose_row_convinces_nobody_is_suspended(kind: ChargeKind) -> None:
    charge = Charge(kind, PEERS[1], 0)
    assert who(judged({}, {0: charge})) == ([1, 2, 3, 4], {0: "convinced too few of its accusation"})


@pytest.mark.parametrize("guilty, innocent, stays", [(3, 0, True), (2, 0, False), (2, 2, False), (0, 2, False)])
def test_an_accuser_has_to_convince_a_majority(guilty: int, innocent: int, stays: bool) -> None:
    opinions = [Opinion.GUILTY] * guilty + [Opinion.INNOCENT] * innocent
    votes = {judge: ballots((0, LIE, opinion)) for judge, opinion in enumerate(opinions, start=1)}
    resolution = judged(votes, {0: LIE})
    assert verdicts(resolution) == ({1: Offence.GRADIENT} if stays else {}) and (0 in who(resolution)[0]) is stays


def test_a_judge_that_does_not_vote_loses_its_place() -> None:
    said = {i: dataclasses.replace(REACTION, charge=LIE if i == 0 else None, reaction=i > 0) for i in range(5)}
    votes = dict.fromkeys(range(4), ballots((0, LIE, Opinion.GUILTY)))
    resolution = settled(said, charges={0: LIE}, votes=votes)
    assert who(resolution) == ([0, 2, 3], {4: "did not judge"})


def test_votes_of_peers_without_a_vote_do_not_count() -> None:
    said = dict.fromkeys(range(7), report(reaction=True, members=PEERS[:7]))
    said[0] = dataclasses.replace(report(members=PEERS[:7]), charge=LIE)
    guilty = Vote(CROWD.seats.attempt_id, ballots((0, LIE, Opinion.GUILTY)).ballots)
    for voters in ((0, 2, 5, 6), (0, 2, 7, 8)):
        assert verdicts(settled(said, attempt=CROWD, charges={0: LIE}, votes=dict.fromkeys(voters, guilty))) == {}
    convicted = settled(said, attempt=CROWD, charges={0: LIE}, votes=dict.fromkeys((0, 2, 3), guilty))
    assert verdicts(convicted) == {1: Offence.GRADIENT}


def test_a_vote_is_about_one_charge_of_one_accuser() -> None:
    for by, charge in ((2, LIE), (0, SUM), (0, Charge(ChargeKind.GRADIENT, PEERS[3], 0))):
        assert verdicts(judged(dict.fromkeys(range(5), ballots((by, charge, Opinion.GUILTY))), {0: LIE})) == {}


def test_accomplices_named_by_a_majority_are_banned_too() -> None:
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
    resolution = settled(charged, charges={0: SUM}, votes=dict.fromkeys((0, 2, 3, 4), vote))
    assert verdicts(resolution) == {}, "silence is no proof"
    assert dict(resolution.suspended)[PEERS[1]] == "did not answer"
    charged[1] = dataclasses.replace(REACTION, phase=Phase.MEASURE)
    resolution = settled(charged, charges={0: SUM}, votes=dict.fromkeys(range(5), vote))
    assert verdicts(resolution) == {}, "it may not have heard the number that spoilt its column"
    assert "has not said why" in dict(resolution.suspended)[PEERS[1]]


def test_equivocation_cannot_hide_behind_another_offence() -> None:
    vote = ballots((0, SUM, Opinion.GUILTY))
    stories = [
        signed(4, MessageKind.SCALARS, Scalars(ATTEMPT.seats.attempt_id, (x,) * 5, (1.0,) * 5, ()).encode())
        for x in (0.0, 0.1)
    ]
    goodbye = signed(4, MessageKind.LEAVE, Leave(LeaveReason.LOTTERY).encode())
    charged = {i: dataclasses.replace(report(), charge=SUM) if i == 0 else REACTION for i in range(5)}
    attached = {0: [stories[0]], 2: [stories[1], goodbye]}
    resolution = settled(charged, attached, charges={0: SUM}, votes=dict.fromkeys((0, 2, 3), vote))
    assert set(verdicts(resolution)) == {4}, "the owner is excused, whatever the liar is banned for"


def test_an_upheld_accusation_excuses_the_owner_of_the_column() -> None:
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


def test_a_peer_told_two_stories_convicts_nobody_and_goes_free() -> None:
    shown = {
        0: [signed(4, MessageKind.SCALARS, scalars()), signed(4, MessageKind.SCALARS, scalars(0.5, 0.0, 0.0, 0.0, 0.0))]
    }
    for opinion in (Opinion.GUILTY, Opinion.INNOCENT, Opinion.UNSURE):
        votes = dict.fromkeys((0, 2, 3), ballots((0, SHOWN, opinion)))
        resolution = judged(votes, {0: SHOWN}, shown)
        assert verdicts(resolution) == {4: Offence.EQUIVOCATION}
        assert (who(resolution), resolution.judged) == (([0, 1, 2, 3], {}), frozenset())


def test_two_reports_do_not_spare_a_convicted_peer() -> None:
    twice = {0: [signed(4, MessageKind.REPORT, report().encode()), signed(4, MessageKind.REPORT, REACTION.encode())]}
    votes = dict.fromkeys((0, 2, 3), ballots((0, SHOWN, Opinion.GUILTY)))
    assert verdicts(judged(votes, {0: SHOWN}, twice)) == {1: Offence.FALSE_SCALARS, 4: Offence.EQUIVOCATION}


def charging(*charges: tuple[int, Charge]) -> dict[PeerId, Report]:
    return {PEERS[i]: dataclasses.replace(report(), charge=charge) for i, charge in charges}


def test_the_court_hears_each_accuser_once() -> None:
    reports = charging((0, LIE), (2, SUM), (3, LIE))
    assert admissible(ATTEMPT, reports, FRESH) == {PEERS[0]: LIE, PEERS[2]: SUM, PEERS[3]: LIE}
    heard = Standing(FIVE, judged=frozenset({(PEERS[0], LIE), (PEERS[2], LIE)}))
    assert admissible(ATTEMPT, reports, heard) == {PEERS[2]: SUM, PEERS[3]: LIE}


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
    assert admissible(ATTEMPT, charging((author, charge)), FRESH) == {}


def test_newcomers_accuse_nobody() -> None:
    assert admissible(CROWD, charging((5, LIE), (4, LIE)), FRESH) == {PEERS[4]: LIE}


_WITHHELD = Charge(ChargeKind.WITHHELD, PEERS[1], 0)
_DRAWN = (Audit(PEERS[3], PEERS[1]),)


@pytest.mark.parametrize(
    "verification",
    [VerificationRules(momentum=0.5, validation=Validation.EXACT), VerificationRules(validation=Validation.TOLERANT)],
    ids=["momentum", "the vector of a failed attempt"],
)
def test_only_the_drawn_validator_may_charge_what_is_withheld(verification: VerificationRules) -> None:
    drawn = attempt_of(FIVE, audits=_DRAWN, verification=verification)
    assert admissible(drawn, charging((0, _WITHHELD), (3, _WITHHELD)), FRESH) == {PEERS[3]: _WITHHELD}
    again = dataclasses.replace(_WITHHELD, part=1)
    assert admissible(drawn, charging((3, again)), FRESH) == {}, "the same charge in another form"


def test_where_nothing_has_to_be_shown_nothing_is_withheld() -> None:
    drawn = attempt_of(FIVE, audits=_DRAWN, verification=VerificationRules(validation=Validation.EXACT))
    assert admissible(drawn, charging((3, _WITHHELD)), FRESH) == {}


def test_a_drawn_target_is_charged_wherever_it_has_gone() -> None:
    """By its own validator, and of a vector alone."""
    left = attempt_of(FIVE[2:], audits=_DRAWN, gone=FIVE[:2])
    assert admissible(left, charging((2, LIE), (3, LIE)), FRESH) == {PEERS[3]: LIE}
    assert admissible(left, charging((3, dataclasses.replace(LIE, accused=PEERS[0]))), FRESH) == {}
    for kind in ChargeKind:
        heard = admissible(left, charging((3, Charge(kind, PEERS[1], 0))), FRESH)
        assert bool(heard) is (kind is ChargeKind.GRADIENT), "it can show nothing, and does nothing in this step"


def test_nobody_is_charged_that_is_banned_already() -> None:
    banned = Standing(FIVE, banned=frozenset({PEERS[1]}))
    for attempt in (attempt_of(FIVE[2:], audits=_DRAWN, gone=FIVE[:2]), attempt_of(FIVE, audits=_DRAWN)):
        assert admissible(attempt, charging((3, LIE)), FRESH) == {PEERS[3]: LIE}
        assert admissible(attempt, charging((3, LIE)), banned) == {}


def test_those_that_have_left_pay_for_the_step_before() -> None:
    left = attempt_of(FIVE[1:4], audits=(Audit(PEERS[3], PEERS[0]),), gone=(PEERS[0], PEERS[4]))
    charge = dataclasses.replace(LIE, accused=PEERS[0])
    said = dict.fromkeys((1, 2), report(reaction=True, members=FIVE[1:4]))
    said[3] = dataclasses.replace(report(members=FIVE[1:4]), charge=charge)
    vote = Vote(left.seats.attempt_id, (Ballot(PEERS[3], charge, Opinion.GUILTY, (PEERS[2], PEERS[4])),))
    votes = dict.fromkeys((1, 2, 3), vote)
    paid = {0: Offence.GRADIENT, 2: Offence.COVER_UP, 4: Offence.COVER_UP}
    resolution = settled(said, attempt=left, charges={3: charge}, votes=votes)
    assert (verdicts(resolution), who(resolution)) == (paid, ([1, 3], {}))
    again = settled(said, attempt=left, charges={3: charge}, votes=votes, banned=frozenset({PEERS[4]}))
    assert verdicts(again) == {0: Offence.GRADIENT, 2: Offence.COVER_UP}, "once is enough"
