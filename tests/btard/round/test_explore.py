"""The round under every order of messages that is near the usual one: one end of each step, nobody honest banned."""

from __future__ import annotations

import itertools

import pytest

from btard.identity import MessageKind
from tests.btard.round.explore import ENDS, Case, Lateness, Story, drawn, main, near, play, stories
from tests.quick import quick, stride

ALL = frozenset(MessageKind)
COUNTS = (3, 4, 5)

EVERY = stride(64)
"""Of the stories among four and five, each 64th is told in the slow tests; all of them take hours."""


def hold(cases: list[Case], depth: int, kinds: frozenset[MessageKind] = ALL) -> int:
    """Play cases and all that are near; return how many there were."""
    runs = 0
    for case in cases:
        for one, outcome in near(case, depth, kinds):
            assert not outcome.wrong, f"python -m tests.btard.round.explore --replay {one}: {outcome.wrong}"
            runs += 1
    return runs


@pytest.mark.parametrize("peers", quick(2, COUNTS))
def test_a_goodbye_at_any_event_or_a_twin_ends_a_step_once(peers: int) -> None:
    hold(list(stories(peers, [Story.GOODBYE], [2])), 0)
    hold(list(stories(peers, [Story.TWIN, Story.UNLIKE]))[:: 2 * (peers - 2)], 0)


def test_one_late_delivery_ends_a_step_once() -> None:
    assert hold([Case(3)], 1) > 2 * 36


@pytest.mark.parametrize("story", quick(1, [Story.GOODBYE, Story.TWIN, Story.UNLIKE]))
def test_so_does_one_beside_a_goodbye_or_a_twin(story: Story) -> None:
    hold(list(stories(3, [story], [1]))[:: 12 if story is Story.GOODBYE else 3], 1, ENDS)


@pytest.mark.parametrize("peers", COUNTS)
def test_so_do_two_late_deliveries_at_random(peers: int) -> None:
    for case, outcome in drawn(peers, 2, 6, seed=peers):
        assert not outcome.wrong, f"--replay {case}: {outcome.wrong}"


@pytest.mark.slow
@pytest.mark.parametrize("story, actor", [(Story.HONEST, 0), *itertools.product(list(Story)[1:], range(3))])
def test_late_deliveries_among_three(story: Story, actor: int) -> None:
    hold(list(stories(3, [story], [actor]))[:: stride(6 if story is Story.GOODBYE else 2)], 1)


@pytest.mark.slow
@pytest.mark.parametrize("story, actor", [(Story.HONEST, 0), *itertools.product(list(Story)[1:], range(4))])
def test_a_late_delivery_among_four(story: Story, actor: int) -> None:
    hold(list(stories(4, [story], [actor]))[::EVERY], 1)


@pytest.mark.slow
@pytest.mark.parametrize("story, actor", [(Story.HONEST, 0), *itertools.product(list(Story)[1:], range(5))])
def test_a_late_end_among_five(story: Story, actor: int) -> None:
    hold(list(stories(5, [story], [actor]))[::EVERY], 1, ALL if story is Story.HONEST else ENDS)


@pytest.mark.slow
def test_two_late_deliveries_among_three() -> None:
    """The second is any; of the first ones each fourth is taken, or with TEST_EVERY=1 each."""
    firsts = [Case(3, late=((place, by),)) for place in range(len(play(Case(3)).sent)) for by in Lateness]
    hold(firsts[:: stride(4)], 1)


def test_a_case_is_read_from_its_own_words(capsys: pytest.CaptureFixture[str]) -> None:
    case = Case(4, Story.UNLIKE, 2, 5, ((3, Lateness.MOMENT), (17, Lateness.BOUND)))
    assert Case.parse(str(case)) == case
    assert play(case) == play(case)
    assert main(["--replay", str(case)]) == 0
    assert "1 runs (1 unlike), 0 failed" in capsys.readouterr().out


@pytest.mark.parametrize("late", Lateness)
def test_a_late_delivery_changes_what_is_sent(late: Lateness) -> None:
    usual = play(Case(3)).sent
    last = len(usual) - 1 - usual[::-1].index(MessageKind.SCALARS)
    assert play(Case(3, late=((last, late),))).sent != usual
