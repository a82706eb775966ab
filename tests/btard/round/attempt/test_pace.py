"""What a peer measures of the others: how long phases take, and for whom it has waited too long."""

from __future__ import annotations

import pytest

from btard.identity import PeerId
from btard.round.attempt.pace import Pace, beyond_most
from btard.round.delivery.patience import Patience
from btard.round.messages.bodies import Phase
from btard.vocabulary import SLOWEST
from tests.btard.round.swarm import RULES, keys

PEERS = tuple(key.peer_id for key in keys(4))
BOUND = RULES.delay_bound_seconds
SLOW, OTHER = PEERS[:2]


def measured(commit: float = 1.0, travel: float = 0.1, steps: int = 8, slowest: float = SLOWEST) -> Pace:
    """Return the pace of a swarm whose steps take so long."""
    pace = Pace(BOUND, slowest)
    for _ in range(steps):
        pace.measure(Phase.COMMIT, commit)
        for phase in (Phase.SCATTER, Phase.GATHER, Phase.REVEAL, Phase.MEASURE, Phase.AGREE):
            pace.measure(phase, travel)
        pace.step_over(PEERS, {})
    return pace


def slow_steps(pace: Pace, waited: dict[PeerId, float], steps: int = 3) -> None:
    """Let some steps be over in which members were waited for."""
    for _ in range(steps):
        pace.step_over(PEERS, waited)


def test_nothing_is_usual_before_it_has_been_measured() -> None:
    pace = Pace(BOUND)
    assert pace.usual(Phase.COMMIT) is pace.usual_step() is pace.most_wait() is pace.asks_after(Phase.AGREE) is None
    assert pace.laggards() == ()
    pace.measure(Phase.COMMIT, 3.0)
    assert pace.usual(Phase.GATHER) == 3.0, "before it is known, no phase is taken to be shorter than computing"


def test_one_long_step_changes_hardly_anything() -> None:
    pace = measured()
    pace.measure(Phase.COMMIT, 1000.0)
    assert pace.usual(Phase.COMMIT) == 1.0


def test_other_members_are_measured_by_what_was_usual() -> None:
    pace = measured(steps=1)
    for _ in range(7):
        pace.measure(Phase.COMMIT, 2.0)
        pace.step_over(PEERS, {SLOW: 40.0})
    assert pace.laggards() == (SLOW,)
    anew = pace.anew()
    assert anew.usual_step() == pace.usual_step() and anew.asks_after(Phase.AGREE) == pace.asks_after(Phase.AGREE)
    assert anew.laggards() == () and not anew.held_against
    assert anew.usual(Phase.COMMIT) == 2.0, "it is not the shortest of all, as in the first steps"
    anew.measure(Phase.AGREE, 9.0)
    assert pace.usual(Phase.AGREE) == 0.1


def test_in_the_first_steps_the_shortest_time_counts() -> None:
    pace = Pace(BOUND)
    for travel in (0.1, 0.5, 0.9):
        for phase in (Phase.COMMIT, Phase.SCATTER, Phase.REVEAL):
            pace.measure(phase, travel)
        pace.measure(Phase.AGREE, 2.0)
        assert pace.asks_after(Phase.REVEAL) == pytest.approx(0.35)
        pace.step_over(PEERS, {})
    pace.step_over(PEERS, {})
    assert pace.asks_after(Phase.REVEAL) == pytest.approx(7.0)


def test_what_is_late_is_asked_for_after_twice_the_usual_time() -> None:
    pace = measured()
    assert pace.asks_after(Phase.COMMIT) == 2.0
    assert pace.asks_after(Phase.REVEAL) == pytest.approx(0.35), "what travels may take longer"
    assert measured(travel=1e-6).asks_after(Phase.REVEAL) == BOUND / 64, "nothing is asked for at once"


def test_only_the_first_half_of_a_phase_is_measured() -> None:
    pace = Pace(BOUND)
    patience = Patience(RULES, RULES.scatter_seconds, pace)
    patience.begin(10.0, Phase.COMMIT, 20.0)
    assert pace.usual(Phase.COMMIT) is None
    patience.note_halfway(10.5, Phase.COMMIT, 20.0)
    patience.note_halfway(19.0, Phase.COMMIT, 20.0)
    assert pace.usual(Phase.COMMIT) == 0.5


def test_the_first_measure_counts_at_once() -> None:
    patience = Patience(RULES, RULES.scatter_seconds, Pace(BOUND))
    patience.begin(10.0, Phase.COMMIT, 20.0)
    assert patience.deadline == 10.0 + 0.75 * 20.0
    patience.note_halfway(10.5, Phase.COMMIT, 20.0)
    assert patience.deadline == 11.0


def test_signatures_are_asked_for_later_than_other_messages() -> None:
    patience = Patience(RULES, RULES.scatter_seconds, measured())
    patience.begin(0.0, Phase.COMMIT, 20.0)
    patience.begin(1.0, Phase.SCATTER, RULES.scatter_seconds)
    patience.begin(2.0, Phase.REVEAL, RULES.agree_seconds)
    reveals = patience.deadline - 2.0
    patience.begin(3.0, Phase.AGREE, RULES.agree_seconds)
    assert patience.deadline - 3.0 == pytest.approx(2 * reveals)


def test_nobody_is_blamed_while_half_of_the_members_are_late() -> None:
    patience = Patience(RULES, RULES.scatter_seconds, measured())
    patience.begin(0.0, Phase.COMMIT, 20.0)
    assert patience.blames_from(Phase.COMMIT, asked=2.0) == float("inf")
    patience.note_halfway(15.0, Phase.COMMIT, 20.0)
    assert patience.blames_from(Phase.COMMIT, asked=2.0) == 16.0


def test_a_request_ahead_of_time_blames_nobody() -> None:
    """A liar could ask all for what an honest member does not have yet."""
    patience = Patience(RULES, RULES.scatter_seconds, measured())
    patience.begin(0.0, Phase.COMMIT, 20.0)
    patience.note_halfway(1.0, Phase.COMMIT, 20.0)
    assert patience.blames_from(Phase.COMMIT, asked=0.0) == 3.0
    assert patience.blames_from(Phase.REVEAL, asked=0.0) == float("inf")


def test_a_member_that_is_waited_for_is_named_and_forgiven() -> None:
    pace = measured()
    usual = pace.usual_step()
    assert usual is not None
    for _ in range(200):
        pace.step_over(PEERS, {SLOW: 0.49 * usual})
    assert pace.laggards() == (), "a little is forgiven in every step"
    slow_steps(pace, {SLOW: 20.0, OTHER: 1.0})
    assert pace.laggards() == (SLOW,)
    for _ in range(60):
        pace.step_over(PEERS, {})
    assert pace.laggards() == ()


def test_a_step_that_is_long_for_all_is_judged_by_its_own_length() -> None:
    pace = measured()
    usual = pace.most_wait()
    assert usual is not None
    pace.measure(Phase.COMMIT, 20.0)
    assert pace.most_wait() == 60.0
    pace.step_over(PEERS, {SLOW: 20.0, OTHER: 12.0})
    assert pace.laggards() == ()
    assert pace.most_wait() == usual, "the next step is judged by its own length"


def test_one_or_two_slow_steps_cost_no_place() -> None:
    pace = measured()
    slow_steps(pace, {SLOW: 1000.0}, steps=2)
    assert pace.laggards() == ()
    slow_steps(pace, {SLOW: 1000.0}, steps=1)
    assert pace.laggards() == (SLOW,)


def test_what_half_of_the_members_share_is_held_against_nobody() -> None:
    pace = measured()
    slow_steps(pace, {SLOW: 20.5, OTHER: 20.0}, steps=20)
    assert pace.laggards() == ()
    slow_steps(pace, {SLOW: 20.5, OTHER: 0.5})
    assert pace.laggards() == (SLOW,)


def test_a_run_says_how_slow_is_too_slow() -> None:
    usual = measured().usual_step()
    assert usual is not None
    for slowest in (2.0, SLOWEST, 6.0):
        pace = measured(slowest=slowest)
        assert pace.most_wait() == pytest.approx(slowest * usual)
        late = usual * slowest / SLOWEST
        slow_steps(pace, {SLOW: 0.49 * late}, steps=200)
        assert pace.laggards() == (), "what is forgiven in every step grows with it"
        slow_steps(pace, {SLOW: 0.75 * late}, steps=40)
        assert pace.laggards() == (SLOW,)
    assert Pace(100.0, 2.0).most_wait() is None
    short = measured(commit=0.01, travel=0.001, slowest=2.0)
    assert short.most_wait() == BOUND / 2, "for so long a member may keep others waiting in any run"


@pytest.mark.parametrize("count", [3, 4, 7, 8])
def test_fewer_than_half_of_the_members_are_late_at_once(count: int) -> None:
    members = tuple(key.peer_id for key in keys(count))
    few, many = (dict.fromkeys(members[:late], 9.0) for late in ((count - 1) // 2, (count + 1) // 2))
    assert beyond_most(members, few) == few
    assert beyond_most(members, many) == {}
    assert beyond_most(members, many | {members[0]: 12.0}) == {members[0]: 3.0}


def test_nothing_is_held_against_anybody_in_the_first_steps() -> None:
    pace = measured(steps=1)
    slow_steps(pace, {SLOW: 100.0}, steps=3)
    assert pace.laggards() == ()
    slow_steps(pace, {SLOW: 100.0})
    assert pace.laggards() == (SLOW,)


def test_what_a_member_owed_goes_with_it() -> None:
    pace = measured()
    slow_steps(pace, {SLOW: 100.0})
    pace.step_over(PEERS[1:], {})
    pace.step_over(PEERS, {})
    assert pace.laggards() == ()


def test_few_that_are_late_may_be_blamed_before_half_has_come() -> None:
    patience = Patience(RULES, RULES.scatter_seconds, measured())
    patience.begin(0.0, Phase.COMMIT, 20.0)
    patience.note_few_late(4.0, Phase.COMMIT)
    patience.note_few_late(9.0, Phase.COMMIT)
    assert patience.may_blame(Phase.COMMIT) and patience.blames_from(Phase.COMMIT, asked=2.0) == 5.0
    assert not patience.may_blame(Phase.SCATTER)


def test_that_few_are_late_measures_no_phase() -> None:
    pace = measured()
    patience = Patience(RULES, RULES.scatter_seconds, pace)
    patience.begin(0.0, Phase.COMMIT, 20.0)
    patience.note_few_late(0.1, Phase.COMMIT)
    assert pace.usual(Phase.COMMIT) == 1.0
    patience.note_halfway(15.0, Phase.COMMIT, 20.0)
    assert patience.blames_from(Phase.COMMIT, asked=2.0) == 3.0, "the first time counts"


def test_answers_do_not_make_a_validator_late() -> None:
    pace = Pace(BOUND)
    assert pace.answer_within() == float("inf")
    for pace in (measured(), measured(commit=0.01, travel=0.001)):
        most = pace.most_wait()
        assert most is not None and pace.answer_within() == pytest.approx(0.75 * most)
