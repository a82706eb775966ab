"""Those that have said goodbye are not waited for, and nobody is counted as gone that has not."""

from __future__ import annotations

from itertools import product

import pytest

from btard.agreement.ledger import Ledger
from btard.agreement.messages import Signatures
from btard.agreement.terms import Terms
from btard.identity import PeerId
from tests.btard.agreement.lies import Bye, Certify, Lie, Mark, Said, Show, Vote
from tests.btard.agreement.model import BOUND, TOPIC, endorsement, peers, read, signer, statement, verify
from tests.btard.agreement.story import Story, played, tell
from tests.quick import quick

FIVE = peers(5)


def terms_of(count: int, voters: int | None = None) -> Terms:
    return Terms(TOPIC, peers(count), frozenset(peers(count)[:voters]), BOUND)


@pytest.mark.parametrize(
    "voted, gone, enough",
    [
        pytest.param((0, 1, 2, 3), (), True, id="a quorum"),
        pytest.param((0, 1, 2), (), False, id="most, and nobody has left"),
        pytest.param((0, 1, 2), (3, 4), True, id="all that stay"),
        pytest.param((0, 1, 2), (3,), False, id="one that stays has not voted"),
        pytest.param((0, 1, 2), (2, 3), False, id="one that has voted has left, and one that stays has not voted"),
        pytest.param((0, 1, 2), (2, 3, 4), True, id="one that has voted has left"),
        pytest.param((0, 1), (2, 3, 4), False, id="all that stay are no majority"),
    ],
)
def test_all_that_stay_are_enough_if_they_are_most(voted: tuple[int, ...], gone: tuple[int, ...], enough: bool) -> None:
    assert terms_of(5).suffices([FIVE[i] for i in voted], [FIVE[i] for i in gone]) is enough


def test_half_of_four_are_not_most() -> None:
    assert not terms_of(4).suffices(FIVE[:2], FIVE[2:4])


@pytest.mark.parametrize(
    "endorsed, gone, enough",
    [
        pytest.param((0, 1, 2), (), True, id="more than may lie"),
        pytest.param((0, 1), (), False, id="as many as may lie"),
        pytest.param((0, 1), (3, 4), True, id="two of three that stay"),
        pytest.param((0, 1), (4,), True, id="half of four that stay: one that lies leaves three that do not"),
        pytest.param((0,), (3, 4), False, id="one of three that stay"),
        pytest.param((3, 4), (3, 4), False, id="those that have left"),
    ],
)
def test_an_honest_one_is_among_half_of_those_that_stay(
    endorsed: tuple[int, ...], gone: tuple[int, ...], enough: bool
) -> None:
    assert terms_of(5).vouches([FIVE[i] for i in endorsed], [FIVE[i] for i in gone]) is enough


@pytest.mark.parametrize("count, leaving", [(5, 2), (7, 3), (16, 7)])
def test_just_under_half_may_leave_at_once(count: int, leaving: int) -> None:
    """The others decide four messages after the last goodbye."""
    story = Story(
        count,
        count,
        (),
        (0.0,) * count,
        slow=frozenset((a, b) for a in range(count) for b in range(count)),
        slowest=0.01,
        leaving=tuple((place, 0) for place in range(leaving)),
    )
    tell(story)
    assert max(played(story).decided_at.values()) <= 0.05


@pytest.mark.parametrize("tardy", [0.0, BOUND])
@pytest.mark.parametrize("messages", quick(3, range(20), slow=5))
def test_two_of_five_leave_at_any_message(tardy: float, messages: int) -> None:
    """A third lies, to one that stays or to both: it shows two things, votes, or says goodbye, and goes on."""
    said: list[Said] = [Show(4, b"x"), Show(4, b"y", (4,)), Mark(4, 4, b"x"), Vote(4), Bye(4), Certify((4,))]
    for one, other, second in product(said, said, (0, messages // 2)):
        lies = (Lie(0.0, (2,), one), Lie(1.5 * BOUND, (3, 2), other), Lie(3 * BOUND, (3,), Certify((4,), 1)))
        leaving = ((0, messages), (1, second))
        tell(Story(6, 5, (4,), (0.0,) * 6, lies, frozenset({(0, 2), (1, 3)}), leaving=leaving, tardy=tardy))


def test_a_member_without_a_vote_needs_no_word_of_the_gone() -> None:
    """Two of five voters have left, and one is silent: two endorse what is said, and it decides as they do."""
    tell(Story(6, 5, (4,), (0.0,) * 6, leaving=((0, 0), (1, 0))))


def test_a_goodbye_makes_earlier_endorsements_enough() -> None:
    """The endorsements have come before the goodbyes."""
    kept = Ledger(terms_of(6, 5), Signatures(signer(peers(6)[5]), verify, read), votes=False)
    told = statement(FIVE[0], b"said")
    for voter in FIVE[:2]:
        kept.endorse(endorsement(voter, [told.item]))
    kept.offer(0.0, told)
    assert not kept.accepted
    kept.part(frozenset[PeerId](FIVE[3:]))
    assert list(kept.accepted) == [told.item]
