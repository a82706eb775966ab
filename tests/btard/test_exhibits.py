"""What a peer asks a target for on behalf of its validator, and what it says of that before the court."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest
import torch

from btard.behaviour import Behaviour
from btard.exhibits import Exhibit, Fits, GoBetween, Relaying
from btard.hashing import digest
from btard.identity import PeerId
from btard.round.actions import Examine, Recall
from btard.round.attempt.attempt import Attempt
from btard.round.messages.accusations import Opinion
from btard.round.work.rows import encode_parts
from btard.tensors import bytes_of
from btard.transport.memory import at_once
from btard.vectors.momentum import Link
from tests.btard.round.swarm import RULES, Swarm
from tests.btard.test_executor import (
    EXAMINE,
    LIE,
    ME,
    RECORD,
    ROSTER,
    TARGET,
    TRUE,
    Showing,
    executor,
    here,
    pledges,
    promising,
)

VALIDATOR, OTHER = ROSTER.members[2:4]
BASE = torch.arange(float(RULES.dimension))
SHOWN = bytes(bytes_of(BASE))
WITH_MOMENTUM = dataclasses.replace(RULES, verification=dataclasses.replace(RULES.verification, momentum=0.5))


def go_between(showing: Showing, *asked: Exhibit, momentum: bool = True, asker: PeerId = VALIDATOR) -> GoBetween:
    """Return what has asked the target for these on behalf of its validator, and was shown this."""
    made = GoBetween(WITH_MOMENTUM if momentum else RULES, showing, here)
    for what in asked:
        at_once(made.ask(asker, what, TARGET, 0))
    return made


def said(made: GoBetween, record: Attempt, **known: object) -> Opinion:
    task = Recall(dataclasses.replace(EXAMINE, record=record, **known), VALIDATOR)  # type: ignore[arg-type]
    return at_once(made.recall(task))


@pytest.mark.parametrize("shown", [SHOWN, None, b"", bytes(len(SHOWN))], ids=["it", "nothing", "empty", "another"])
def test_what_was_asked_for_and_not_shown_is_withheld(shown: bytes | None) -> None:
    made = go_between(Showing(shown), Exhibit.BASE)
    link = Link(3, encode_parts(BASE, 3, RULES.wire, RULES.aggregation)[1])
    assert said(made, promising(digest(SHOWN)), link=link) is (Opinion.INNOCENT if shown == SHOWN else Opinion.GUILTY)


def test_what_a_validator_lets_nobody_ask_for_is_not_withheld() -> None:
    assert said(go_between(Showing(None)), promising(digest(SHOWN))) is Opinion.INNOCENT
    by_another = go_between(Showing(None), Exhibit.BASE, asker=OTHER)
    assert said(by_another, promising(digest(SHOWN))) is Opinion.INNOCENT


@pytest.mark.parametrize("submitted, opinion", [(-BASE, Opinion.GUILTY), (None, Opinion.UNSURE)])
@pytest.mark.parametrize("asked", [(), (Exhibit.BASE,)], ids=["by itself", "for its validator"])
def test_a_momentum_that_continues_nothing_is_no_momentum(
    submitted: torch.Tensor | None, opinion: Opinion, asked: tuple[Exhibit, ...]
) -> None:
    link = None if submitted is None else Link(3, encode_parts(submitted, 3, RULES.wire, RULES.aggregation)[1])
    assert said(go_between(Showing(SHOWN), *asked), promising(digest(SHOWN)), link=link) is opinion


def test_a_momentum_with_infinity_in_it_is_no_momentum() -> None:
    shown = bytes(bytes_of(BASE / 0))
    assert said(go_between(Showing(shown), Exhibit.BASE), promising(digest(shown))) is Opinion.GUILTY


@pytest.mark.parametrize("shown, opinion", [(LIE, Opinion.INNOCENT), (TRUE, Opinion.GUILTY), (None, Opinion.GUILTY)])
def test_a_vector_has_to_be_that_of_all_failed_attempts(shown: torch.Tensor | None, opinion: Opinion) -> None:
    """Whether it is a lie is another question, on which machines may differ."""
    told = pledges(LIE)
    vector = None if shown is None else bytes(bytes_of(shown))
    made = go_between(Showing(vectors=vector, commitments=(told.encode(),)), Exhibit.VECTOR, momentum=False)
    assert said(made, RECORD, pledges=dataclasses.replace(told, commits=())) is opinion


def test_one_that_was_not_there_is_unsure() -> None:
    made = go_between(Showing(None), Exhibit.BASE)
    assert at_once(made.recall(Recall(Examine(1, TARGET, None, None), VALIDATOR))) is Opinion.UNSURE


class Counting(Showing):
    """Notes for how long it may take."""

    within: tuple[float, ...] = ()

    async def exhibit(
        self, what: Exhibit, target: PeerId, step: int, fits: Fits, accusers: Sequence[PeerId], within_seconds: float
    ) -> bytes | None:
        assert not accusers, "of nobody else"
        self.within += (within_seconds,)
        return await super().exhibit(what, target, step, fits, accusers, within_seconds)


def test_a_target_is_asked_once_and_has_its_time() -> None:
    showing = Counting(SHOWN)
    made = go_between(showing, *[Exhibit.BASE] * 3)
    assert showing.within == (RULES.showing_seconds,)
    assert at_once(made.ask(VALIDATOR, Exhibit.BASE, TARGET, 0)) == SHOWN
    assert at_once(made.ask(VALIDATOR, Exhibit.BASE, TARGET, 1)) == SHOWN and len(showing.within) == 2


class Asked(Relaying):
    """Lets the validator alone ask, and notes when the asking is over."""

    def __init__(self) -> None:
        self.__dict__["over"] = 0

    def begin(self, asker: PeerId, target: PeerId, step: int) -> bool:
        return asker == VALIDATOR

    def end(self, asker: PeerId, target: PeerId) -> None:
        self.__dict__["over"] += 1


def test_a_target_is_asked_for_its_own_validator_alone() -> None:
    """And its time is counted until it answers."""
    swarm = Swarm(8, steps=2)
    for peer in swarm.peers:
        peer.begin(swarm.genesis)
    swarm.network.run(done=lambda: all(peer.finished() for peer in swarm.peers))
    for peer in swarm.peers:
        peer.session.begin(0.0, peer.finished()[-1].roster, bytes(32))
    roster = swarm.peers[0].finished()[-1].roster
    (audit,) = roster.audits
    relay = next(peer for peer in swarm.peers if peer.peer_id not in (audit.validator, audit.target))
    relaying = Relaying(relay.session, lambda: 1.0)
    strangers = [peer for peer in roster.members if peer != audit.validator]
    assert not any(relaying.begin(peer, audit.target, 0) for peer in strangers)
    assert not relaying.begin(audit.validator, relay.peer_id, 0), "of nobody else"
    assert not relaying.begin(audit.validator, audit.target, 1), "and about no other step"
    assert relaying.begin(audit.validator, audit.target, 0)
    relaying.end(audit.validator, audit.target)


class KeepsIt(Behaviour):
    def passed_on(self, step: int, asker: PeerId, target: PeerId, shown: bytes | None) -> bytes | None:
        return None


def test_what_is_shown_for_a_validator_is_passed_on() -> None:
    asking, relaying = executor(shown=SHOWN), Asked()
    place = (Exhibit.BASE, TARGET, 0)
    assert at_once(asking.shows(relaying, OTHER, *place)) is None
    assert at_once(asking.shows(relaying, VALIDATOR, *place)) == SHOWN
    assert relaying.__dict__["over"] == 1 and ME not in (OTHER, VALIDATOR)
    assert at_once(executor(KeepsIt(), shown=SHOWN).shows(relaying, VALIDATOR, *place)) is None
