"""Two rounds of votes: no two vectors are certified, and votes that are kept back cost little."""

from __future__ import annotations

import pytest

from btard.agreement.machine import Agreement
from btard.agreement.messages import NOTHING, Package, Signatures, VectorVote, VoteRound
from btard.agreement.poll import Poll
from btard.agreement.terms import Terms
from btard.identity import Malformed
from tests.btard.agreement.model import BOUND, TOPIC, World, peers, read, signer, statement, verify, vote
from tests.btard.agreement.story import said

FIVE = peers(5)
TERMS = Terms(TOPIC, FIVE, frozenset(FIVE), BOUND)
ONE, OTHER = bytes([1]) * 32, bytes([2]) * 32


def poll() -> Poll:
    def has_signed(cast: VectorVote) -> bool:
        return cast == vote(cast.voter, cast.vector, cast.round)

    return Poll(TERMS, has_signed)


@pytest.mark.parametrize("count", range(1, 65))
def test_two_sets_of_votes_never_certify_two_vectors(count: int) -> None:
    """Of v voters f may vote twice. A second vote of one that does not needs a majority of first votes."""
    everyone = peers(count)
    terms = Terms(TOPIC, everyone, frozenset(everyone), BOUND)
    least = next(k for k in range(count + 1) if terms.certifies(VoteRound.FIRST, everyone[:k]))
    assert 2 * least > count + terms.faults, "no two of first votes"
    assert count - least + terms.faults < terms.majority, "no majority beside one of first votes"
    second = next(k for k in range(count + 1) if terms.certifies(VoteRound.SECOND, everyone[:k]))
    assert second > terms.faults, "none by liars alone"
    assert terms.certifies(VoteRound.FIRST, everyone)
    assert terms.certifies(VoteRound.SECOND, everyone[terms.faults :]), "those that do not lie are enough"


def test_what_voters_said_before_hides_no_majority() -> None:
    counted = poll()
    for voter in FIVE[:2]:
        counted.hear(0.0, (vote(voter, OTHER),))
    counted.hear(1.0, tuple(vote(voter, ONE) for voter in FIVE[:3]))
    assert counted.majority is not None
    assert (counted.majority.vector, counted.majority.seen_at) == (ONE, 1.0)
    assert counted.voted_for(VoteRound.FIRST, ONE).keys() == set(FIVE[:3])


def test_a_false_majority_is_refused() -> None:
    counted = poll()
    true = [vote(voter, ONE) for voter in FIVE[:3]]
    counted.hear(0.0, (vote(FIVE[2], OTHER),))
    false = VectorVote(FIVE[2], VoteRound.FIRST, ONE, true[0].signature)
    with pytest.raises(Malformed, match="has not signed"):
        counted.hear(0.0, (*true[:2], false))
    assert counted.majority is None


def test_votes_of_others_make_no_majority() -> None:
    terms = Terms(TOPIC, FIVE, frozenset(FIVE[:3]), BOUND)
    counted = Poll(terms, lambda cast: True)
    counted.hear(0.0, tuple(vote(voter, ONE) for voter in FIVE[2:]))
    assert counted.majority is None
    counted.hear(0.0, (vote(FIVE[0], ONE),))
    assert counted.majority is not None


def begun() -> Agreement:
    """Return the machine of the first of five, which has begun."""
    signatures = Signatures(signer(FIVE[0]), verify, read)
    machine = Agreement(TERMS, FIVE[0], signatures, lambda statements: frozenset())
    machine.start(0.0, statement(FIVE[0], said(FIVE[0])))
    return machine


def majority(vector: bytes, first: int) -> Package:
    return Package(votes=tuple(vote(voter, vector) for voter in FIVE[first : first + 3]))


def again(machine: Agreement, now: float) -> list[bytes]:
    """Return what it votes for in the second round at this time."""
    votes = [cast for out in machine.tick(now) for cast in out.message.votes if cast.voter == FIVE[0]]
    return [cast.vector for cast in votes if cast.round is VoteRound.SECOND]


def test_a_majority_is_shown_after_a_moment() -> None:
    """Or as soon as those have voted that take part: as a rule first votes are enough."""
    machine = begun()
    assert machine.hear(0.5, FIVE[1], majority(ONE, 1)) == []
    assert machine.deadline == pytest.approx(0.6)
    (out,) = machine.tick(machine.deadline)
    assert out.receivers == FIVE[1:] and set(out.message.votes) == set(majority(ONE, 1).votes)


def test_a_mere_majority_is_followed_after_a_window() -> None:
    """Others hear of it, and within a window whatever they have seen before has come."""
    machine = begun()
    machine.hear(0.5, FIVE[1], majority(ONE, 1))
    (out,) = machine.tick(machine.deadline)
    shown_at = 0.6
    assert len(out.message.votes) == TERMS.majority
    assert again(machine, shown_at + TERMS.window_seconds - 0.01) == []
    assert again(machine, shown_at + TERMS.window_seconds + 0.01) == [ONE]


def test_one_that_knows_of_two_majorities_votes_for_neither() -> None:
    machine = begun()
    machine.hear(0.5, FIVE[1], majority(ONE, 1))
    machine.tick(0.6)
    machine.hear(1.5, FIVE[1], majority(OTHER, 2))
    assert again(machine, 0.7 + TERMS.window_seconds) == []


@pytest.mark.parametrize("count, silent", [(5, 2), (7, 2), (7, 3), (16, 7)])
def test_votes_that_are_kept_back_cost_one_window(count: int, silent: int) -> None:
    """The last ones speak, and neither echo nor vote."""
    everyone = peers(count)
    honest = everyone[: count - silent]
    made = World(Terms(TOPIC, everyone, frozenset(everyone), BOUND), honest, lambda a, b: 0.01)
    for peer in honest:
        made.start(peer, 0.0, said(peer))
        for liar in everyone[count - silent :]:
            made.lie(0.01, peer, Package((statement(liar, b"said"),)))
    decisions = list(made.run().values())
    assert all(decision == decisions[0] and NOTHING not in decision.values() for decision in decisions)
    assert max(made.decided_at.values()) < made.terms.window_seconds + 0.4
