"""What colluders know at a occasion, and what they do not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from btard.hashing import digest
from btard.identity import Heading, MessageKind, PeerId
from btard.lab.adversary.conditions import NUMBERED_FACTS, Condition, Fact
from btard.lab.adversary.knowledge import Occasion, Ring
from btard.round.attempt.seats import Seats
from btard.round.draw import draw_audits
from btard.round.messages.accusations import Charge, ChargeKind
from btard.round.messages.bodies import Phase
from btard.round.roster import Roster, first_randomness
from tests.btard.round.swarm import RULES, keys

PEERS = tuple(sorted(key.peer_id for key in keys(7)))
MATES = PEERS[1:4]
HONEST = tuple(peer for peer in PEERS if peer not in MATES)
ROSTER = Roster(3, PEERS, frozenset(), first_randomness(0, 3))


class Scene:
    """Three colluders among seven; the first of them holds some r^t, or none."""

    def __init__(self, randomness: bytes = b"", attempt: int = 0) -> None:
        self.seats = Seats(RULES, ROSTER, attempt, PEERS, MATES[0])
        self.ring = Ring(1)
        held: Any = SimpleNamespace(seats=self.seats, results=SimpleNamespace(randomness=randomness))
        session = SimpleNamespace(machine=SimpleNamespace(attempt=held))
        for mate in MATES:
            self.ring.join(SimpleNamespace(peer_id=mate, session=session))  # type: ignore[arg-type]

    def knows(self, fact: Fact, number: int = 0, **about: Any) -> bool:
        return Condition(fact, number=number).met(Occasion(self.ring, self.seats, **about))


def test_nobody_is_doomed_before_the_draw_is_known() -> None:
    assert not Scene().knows(Fact.DRAWN) and not Scene().knows(Fact.DOOMED)


def test_a_colluder_is_doomed_by_an_honest_validator() -> None:
    rate = RULES.verification.validators
    found = set()
    for number in range(200):
        r = digest(number.to_bytes(4, "big"))
        audits = draw_audits(r, PEERS, PEERS, rate, 0)
        expected = any(a.target in MATES and a.validator in HONEST for a in audits)
        shielded = any(a.target in MATES and a.validator in MATES for a in audits)
        assert Scene(r).knows(Fact.DOOMED) is expected
        found.add((expected, shielded))
    assert {(True, False), (False, True), (False, False)} <= found


def test_a_repeated_draw_has_more_validators() -> None:
    draws = [digest(number.to_bytes(4, "big")) for number in range(60)]
    first, third = (sum(Scene(r, attempt).knows(Fact.DOOMED) for r in draws) for attempt in (0, 2))
    assert third > first


def test_what_one_hears_all_know() -> None:
    scene = Scene()
    for author in (*HONEST[:2], MATES[1]):
        scene.ring.hear(Heading(b"", 3, 0, MessageKind.REPORT, author, 0))
    about: dict[str, Any] = {"word": MessageKind.REPORT, "receiver": HONEST[0]}
    assert scene.knows(Fact.REPORTED)
    assert scene.knows(Fact.SAID_BY, 2, **about) and not scene.knows(Fact.SAID_BY, 3, **about)
    assert not Scene().knows(Fact.REPORTED) and not Scene(attempt=1).knows(Fact.REPORTED)


@pytest.mark.parametrize(
    ("fact", "number", "about", "holds"),
    [
        (Fact.STEP_FROM, 3, {}, True),
        (Fact.STEP_FROM, 4, {}, False),
        (Fact.EVEN_STEP, 0, {}, False),
        (Fact.ATTEMPT_FROM, 1, {}, False),
        (Fact.FIRST_MATE, 0, {}, True),
        (Fact.MY_TURN, 0, {}, True),
        (Fact.OWNER, 0, {}, True),
        (Fact.VALIDATOR, 0, {}, False),
        (Fact.TARGET, 0, {}, False),
        (Fact.JUDGED, 0, {}, False),
        (Fact.PHASE, 6, {"phase": Phase.CHECK}, True),
        (Fact.PHASE, 5, {"phase": Phase.CHECK}, False),
        (Fact.TO_HONEST, 0, {"receiver": HONEST[0]}, True),
        (Fact.TO_HONEST, 0, {"receiver": MATES[1]}, False),
        (Fact.TO_FIRST, 2, {"receiver": HONEST[1]}, True),
        (Fact.TO_FIRST, 1, {"receiver": HONEST[1]}, False),
        (Fact.TO_OWNER, 0, {"receiver": HONEST[1]}, True),
        (Fact.TO_VALIDATOR, 0, {"receiver": HONEST[1]}, False),
        (Fact.ABOUT_HONEST, 0, {"charge": Charge(ChargeKind.GRADIENT, HONEST[0], 0)}, True),
        (Fact.ABOUT_HONEST, 0, {"charge": Charge(ChargeKind.GRADIENT, MATES[1], 0)}, False),
    ],
)
def test_a_fact_is_what_it_says(fact: Fact, number: int, about: dict[str, Any], holds: bool) -> None:
    assert Scene().knows(fact, number, **about) is holds
    opposite = Condition(fact, holds=False, number=number)
    assert opposite.met(Occasion(Scene().ring, Scene().seats, **about)) is not holds


def test_turns_go_round_by_attempts() -> None:
    assert [Scene(attempt=attempt).knows(Fact.MY_TURN) for attempt in range(4)] == [True, False, False, True]


@pytest.mark.parametrize("fact", Fact)
def test_every_fact_can_be_asked_of_every_moment(fact: Fact) -> None:
    assert Scene().knows(fact, 1) in (True, False)
    assert str(Condition(fact, number=1)) == (f"{fact.name} 1" if fact in NUMBERED_FACTS else fact.name)


def test_draws_differ_by_step_and_purpose() -> None:
    ring = Ring(1)
    orders: set[tuple[PeerId, ...]] = {tuple(ring.drawn(p, step, PEERS)) for p in ("a", "b") for step in range(3)}
    assert len(orders) == 6 and all(sorted(order) == list(PEERS) for order in orders)
    assert {ring.coin(1, attempt) for attempt in range(20)} == {True, False}
