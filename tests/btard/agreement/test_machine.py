"""All honest members decide the same, whatever liars say to whom and when; and soon, if few lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from btard.agreement.messages import (
    NOTHING,
    TWO_THINGS,
    Package,
    Spoken,
    Statement,
    Vector,
    VectorCertificate,
    vector_digest,
)
from btard.agreement.terms import Terms
from btard.identity import PeerId
from tests.btard.agreement.model import BOUND, TOPIC, World, endorsement, peers, statement, vote

PROMPT = 0.01


def world(count: int, liars: int = 0, delay: Callable[[PeerId, PeerId], float] = lambda a, b: PROMPT) -> World:
    """Return members of which the last ones lie; the others begin at once."""
    everyone = peers(count)
    made = World(Terms(TOPIC, everyone, frozenset(everyone), BOUND), everyone[: count - liars], delay)
    for peer in made.honest:
        made.start(peer, 0.0, b"said by " + peer[:1])
    return made


def agreed(made: World) -> Vector:
    """Run, and return what all honest members have decided alike, with what each of them has said."""
    decisions = list(made.run().values())
    assert len(decisions) == len(made.honest)
    assert all(decision == decisions[0] for decision in decisions)
    for peer in made.honest:
        assert decisions[0][peer] == statement(peer, b"said by " + peer[:1]).digest
    return decisions[0]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 8, 16])
def test_the_honest_need_three_messages_in_a_row(count: int) -> None:
    made = world(count)
    agreed(made)
    assert max(made.decided_at.values()) == pytest.approx((3 if count > 1 else 0) * PROMPT)


@pytest.mark.parametrize("count, messages", [(4, 3), (5, 4), (7, 4), (8, 3), (16, 3)])
def test_a_member_that_may_be_silent_costs_a_message(count: int, messages: int) -> None:
    """At the most: of an even number of voters all but one are as certain as all."""
    made = world(count, liars=1)
    made.settle(lambda statements: without_last(made, statements))
    assert agreed(made)[made.terms.members[-1]] == NOTHING
    assert max(made.decided_at.values()) == pytest.approx(messages * PROMPT)


def without_last(made: World, statements: Mapping[PeerId, Statement]) -> frozenset[PeerId]:
    """Return the last member, once all others have spoken."""
    last = made.terms.members[-1]
    return frozenset({last}) if set(made.terms.members) - {last} <= statements.keys() else frozenset()


@pytest.mark.parametrize("moment", [0.5, 1.0, 1.5, 2.0, 2.5])
@pytest.mark.parametrize("count", [4, 5, 8, 16])
def test_one_that_is_left_out_divides_nobody_by_speaking(count: int, moment: float) -> None:
    """It speaks to half of the voters while they vote; the others hear of it from these."""
    made = world(count, liars=1)
    made.settle(lambda statements: without_last(made, statements))
    *others, last = made.terms.members
    for peer in others[: count // 2]:
        made.lie(moment * PROMPT, peer, Package((statement(last, b"late"),)))
    assert agreed(made)[last] == NOTHING
    assert max(made.decided_at.values()) < 5 * PROMPT


@pytest.mark.parametrize("count", [4, 5, 8, 16])
def test_a_silent_member_is_waited_for_one_window(count: int) -> None:
    made = world(count, liars=1)
    assert agreed(made)[made.terms.members[-1]] == NOTHING
    assert max(made.decided_at.values()) < made.terms.window_seconds + 5 * PROMPT


@pytest.mark.parametrize("voters", [10, 16])
def test_a_silent_member_has_little_said_twice(voters: int) -> None:
    """Each statement goes from its author to all, and from each member to the voter that has not endorsed it."""
    everyone = peers(16)
    made = World(Terms(TOPIC, everyone, frozenset(everyone[:voters]), BOUND), everyone[1:], lambda a, b: PROMPT)
    for peer in made.honest:
        made.start(peer, 0.0, b"said by " + peer[:1])
    agreed(made)
    assert made.bodies == 15 * 15 + 15 * 15


@pytest.mark.parametrize("count", [4, 5, 8])
def test_two_stories_of_one_are_known_to_all(count: int) -> None:
    made = world(count, liars=1)
    liar = made.terms.members[-1]
    for number, peer in enumerate(made.honest):
        made.lie(PROMPT, peer, Package((statement(liar, b"xy"[number % 2 :][:1]),)))
    assert agreed(made)[liar] == TWO_THINGS
    assert max(made.decided_at.values()) < BOUND


def test_what_is_shown_at_the_last_moment_reaches_all() -> None:
    for late in (-0.01, 0.0, 0.01):
        made = world(4, liars=1, delay=lambda a, b: BOUND)
        liar = made.terms.members[-1]
        made.lie(made.terms.window_seconds + late, made.honest[0], Package((statement(liar, b"hidden"),)))
        assert (agreed(made)[liar] != NOTHING) == (late <= 0)


def test_endorsements_of_liars_alone_carry_nothing() -> None:
    made = world(5, liars=2)
    first, second = made.terms.members[-2:]
    hidden = statement(first, b"hidden")
    chain = (endorsement(second, [hidden.item]), endorsement(first, [hidden.item]))
    made.lie(3 * made.terms.window_seconds + 0.01, made.honest[0], Package((hidden,), None, chain))
    assert agreed(made)[first] == NOTHING


def test_liars_cannot_certify_another_vector() -> None:
    made = world(5, liars=2)
    nothing = dict.fromkeys(made.terms.members, NOTHING)
    votes = tuple(vote(liar, vector_digest(nothing)) for liar in made.terms.members[-2:])
    for peer in made.honest:
        made.lie(0.0, peer, Package(certificate=VectorCertificate(tuple(nothing.items()), votes)))
        for one in votes:
            made.lie(0.0, peer, Package(votes=(one,)))
    agreed(made)


def test_an_endorsed_thing_that_nobody_holds_is_nothing() -> None:
    made = world(4, liars=1)
    liar = made.terms.members[-1]
    nothing = endorsement(liar, [Spoken(liar, bytes(32)), Spoken(None, bytes(32))])
    for peer in made.honest:
        made.lie(PROMPT, peer, Package(endorsements=(nothing,)))
    assert agreed(made)[liar] == NOTHING
