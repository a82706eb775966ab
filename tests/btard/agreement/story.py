"""A story: who takes part, when each begins, which messages are slow, what liars say; and what must hold in it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from btard.agreement.machine import Dispensable
from btard.agreement.messages import NOTHING, TWO_THINGS, Package, Statement
from btard.agreement.terms import Terms
from btard.identity import PeerId
from tests.btard.agreement.lies import Knowledge, Lie, Said
from tests.btard.agreement.model import BOUND, TOPIC, Delay, World, peers, statement


@dataclass(frozen=True)
class Story:
    """One course of events, which its `repr` replays.

    Attributes:
        count: members; the first `voters` of them vote.
        liars, silent, mortal: members by place. Silent ones are honest and say nothing of their own. Mortal ones die
            instead of sending that message of theirs, each message to one receiver counted.
        leaving: members by place, and how many messages each sends before it says goodbye.
        tardy: how much longer than other messages goodbyes take at most, seconds.
        starts: when each member begins, seconds.
        clock: when windows begin to count: at each member so much later than the earliest start, and than its own
            start by its place in `starts`. None: at its start.
        slow: links, from place to place, whose messages take a bound; others take no time.
        drawn: a seed from which delays are drawn instead.
        out: members that may be done without.
        doubts: whether a member may find for a while that they may not.
        prompted: whether a member begins when it first hears of the agreement.
    """

    count: int
    voters: int
    liars: tuple[int, ...]
    starts: tuple[float, ...]
    lies: tuple[Lie, ...] = ()
    slow: frozenset[tuple[int, int]] = frozenset()
    drawn: int | None = None
    slowest: float = BOUND
    clock: float | None = None
    silent: tuple[int, ...] = ()
    mortal: tuple[tuple[int, int], ...] = ()
    out: tuple[int, ...] = ()
    doubts: bool = False
    prompted: bool = False
    leaving: tuple[tuple[int, int], ...] = ()
    tardy: float = 0.0


def said(peer: PeerId) -> bytes:
    """Return what an honest member says."""
    return b"said by " + peer[:1]


def played(story: Story) -> World:
    """Let it happen."""
    everyone = peers(story.count)
    terms = Terms(TOPIC, everyone, frozenset(everyone[: story.voters]), BOUND)
    honest = tuple(peer for place, peer in enumerate(everyone) if place not in story.liars)
    made = World(terms, honest, _delay(story), prompted=story.prompted)
    made.mortal |= {everyone[place]: messages for place, messages in story.mortal}
    made.leaving |= {everyone[place]: messages for place, messages in story.leaving}
    late = random.Random(story.drawn or 0)
    made.tardy = lambda sender, receiver: late.choice((0.0, 0.0, story.tardy / 3, story.tardy))
    if story.out:
        made.settle(_dispensable(story, made))
    for place, peer in enumerate(everyone):
        if place not in story.liars:
            if story.clock is not None:
                made.clocks[peer] = story.clock + story.starts[place]
            made.start(peer, story.starts[place], None if place in story.silent else said(peer))
    known = Knowledge(made, tuple(everyone[place] for place in story.liars))

    def think(said: Said, receiver: int) -> Package:
        known.told = receiver
        known.listen()
        return said.package(known)

    for lie in story.lies:
        for place in lie.receivers:
            begins = story.starts[place] + (story.clock or 0.0)
            made.lie_then(max(0.0, begins + lie.seconds), everyone[place], partial(think, lie.said, place))
    made.run()
    return made


def _delay(story: Story) -> Delay:
    if story.drawn is not None:
        chance = random.Random(story.drawn)
        choices = (0.0, 0.01 * story.slowest, story.slowest / 2, story.slowest)
        return lambda sender, receiver: chance.choice(choices)
    slow = {(peers(story.count)[a], peers(story.count)[b]) for a, b in story.slow}
    return lambda sender, receiver: story.slowest if (sender, receiver) in slow else 0.0


def _dispensable(story: Story, made: World) -> Dispensable:
    members = made.terms.members
    needed = frozenset(peer for place, peer in enumerate(members) if place not in story.out)
    chance = random.Random(story.drawn or 0)

    def dispensable(statements: Mapping[PeerId, Statement]) -> frozenset[PeerId]:
        doubtful = story.doubts and chance.random() < 0.5
        return frozenset(members) - needed if needed <= statements.keys() and not doubtful else frozenset()

    return dispensable


def check(story: Story, made: World) -> None:
    """Assert all that is promised; see the `tests/btard/agreement/test_stories.py` for the list."""
    members = made.terms.members
    alive = [peer for peer in made.honest if made.alive(peer)]
    decisions = {peer: made.machines[peer].decision for peer in alive}
    assert all(decision is not None for decision in decisions.values()), "one decides nothing"
    first = next(iter(decisions.values()), None)
    assert first is not None and all(decision == first for decision in decisions.values()), "two decide differently"
    for place, peer in enumerate(members):
        if peer in alive and place not in story.out:
            own = NOTHING if place in story.silent else statement(peer, said(peer)).digest
            assert first[peer] == own, "what an honest member has said is not decided"
    for peer in alive:
        machine = made.machines[peer]
        assert made.decided_at[peer] <= machine._clock + made.terms.most_seconds, "one decides too late"
        for author, digest in first.items():
            held = [one.digest for one in machine.decided.get(author, ())]
            if digest == TWO_THINGS:
                assert len(set(held)) == 2, "two things are decided, and not both are held"
            elif digest != NOTHING:
                assert held == [digest], "what is decided is not held"
    if not (story.liars or story.mortal or story.silent or story.out or story.leaving) and story.slowest <= BOUND / 2:
        last = max(made.machines[peer]._begun for peer in alive)
        assert max(made.decided_at.values()) <= last + 3 * story.slowest + 1e-9, (
            "the prompt need more than three messages"
        )


def tell(story: Story) -> None:
    """Play and check a story; what is wrong names it."""
    try:
        check(story, played(story))
    except AssertionError as wrong:
        raise AssertionError(f"{wrong}: {story}") from None
