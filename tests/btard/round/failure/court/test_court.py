"""The court of one peer: what it looks at for each charge, and what it finds."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from btard.behaviour import Behaviour
from btard.identity import Envelope, MessageKind, PeerId
from btard.round.actions import Action, CheckOpening, Examine, InspectRow, Recall, Send
from btard.round.attempt.attempt import Attempt
from btard.round.attempt.debts import NO_DEBTS, Debt, Debts
from btard.round.attempt.pace import Pace
from btard.round.context import StepContext
from btard.round.delivery.exchange import Exchange
from btard.round.failure.court.court import Court
from btard.round.messages.accusations import Ballot, Charge, ChargeKind, Opinion, Vote
from btard.round.messages.bodies import Phase
from btard.round.messages.opening import Opening
from btard.round.messages.requests import Pull
from btard.round.rules import StepRules
from btard.round.work.answers import OpeningChecked, Recalled
from btard.round.work.examination import Finding
from btard.round.work.rows import inspect_row
from btard.vectors.partition import to_wire
from btard.verification.openings import BLOCKS
from tests.btard.round.scene import PEERS, Scene
from tests.btard.round.swarm import RULES, keys

KEYS = keys(5)
ME = PEERS[0]


class Turncoat(Behaviour):
    """Votes the opposite."""

    def opinion(self, step: int, charge: Charge, opinion: Opinion) -> Opinion:
        return Opinion.INNOCENT if opinion is Opinion.GUILTY else Opinion.GUILTY


class Hall:
    """The court of the first peer in an attempt that has come as far as its numbers."""

    def __init__(
        self,
        *charges: tuple[PeerId, Charge],
        scene: Scene | None = None,
        record: Attempt | None = None,
        behaviour: Behaviour | None = None,
        debts: Debts = NO_DEBTS,
    ) -> None:
        self.scene = scene or Scene()
        attempt = self.attempt = self.scene.attempt
        attempt.results.aggregate_norms = self.scene.measured(ME).aggregate_norms
        self.step = StepContext(
            attempt.seats.rules,
            attempt.seats.roster,
            KEYS[0],
            behaviour or Behaviour(),
            bytes(32),
            (),
            record,
            Pace(RULES.delay_bound_seconds),
            debts=debts,
        )
        phases = dict.fromkeys(dict(charges), Phase.CHECK)
        self.court = Court(self.step, attempt, Exchange(self.step, attempt), dict(charges), phases, {})

    def hold(self, peer: PeerId, part: int, vector: torch.Tensor | None = None) -> None:
        """Let a row be here: the true one, or another."""
        row = self.scene.parts[peer][part] if vector is None else to_wire(vector, RULES.wire)
        self.attempt.carried.rows[peer, part] = row

    def look(self, actions: list[Action]) -> None:
        """Measure the rows that the court wants measured."""
        for action in actions:
            assert isinstance(action, InspectRow)
            self.court.inspected(action.author, action.part, inspect_row(action, self.attempt.seats.rules.aggregation))

    def ballots(self) -> tuple[Ballot, ...]:
        """Let the court vote."""
        envelope = self.court.vote()
        assert (envelope.kind, envelope.author) == (MessageKind.VOTE, ME)
        vote = Vote.decode(envelope.body)
        assert vote.attempt_id == self.attempt.seats.attempt_id
        return vote.ballots

    def opinion(self) -> Opinion:
        """Return what it finds about its only charge."""
        (ballot,) = self.ballots()
        return ballot.opinion


def sum_of(part: int, scene: Scene, owner: PeerId | None = None) -> Charge:
    return Charge(ChargeKind.WRONG_SUM, owner or scene.attempt.seats.owners[part], part)


def unbalanced(scene: Scene, part: int) -> Scene:
    """Let the products of a part not add up."""
    peer = scene.attempt.seats.workers[1]
    scalars = scene.attempt.said.scalars[peer]
    scene.publish(peer, part, scalars.products[part] + 0.1, scalars.norms[part])
    return scene


def test_sums_are_added_up_at_once() -> None:
    scene = Scene()
    hall = Hall((PEERS[1], sum_of(2, scene)), scene=scene)
    assert hall.court.open(0.0) == [] and hall.court.decided
    assert hall.opinion() is Opinion.INNOCENT
    scene = unbalanced(Scene(), 2)
    hall = Hall((PEERS[1], sum_of(2, scene)), scene=scene)
    hall.court.open(0.0)
    assert hall.opinion() is Opinion.GUILTY


@pytest.mark.parametrize("kind", [ChargeKind.WRONG_SUM, ChargeKind.WRONG_AGGREGATE])
def test_for_a_part_its_owner_answers_and_nobody_else(kind: ChargeKind) -> None:
    scene = unbalanced(Scene(), 2)
    scene.attempt.results.excess[2] = 99.0
    other = scene.attempt.seats.owners[3]
    hall = Hall((PEERS[1], Charge(kind, other, 2)), scene=scene)
    hall.court.open(0.0)
    assert hall.opinion() is Opinion.INNOCENT


def test_a_sum_of_numbers_that_are_not_here_says_nothing() -> None:
    scene = unbalanced(Scene(), 2)
    del scene.attempt.said.scalars[PEERS[3]]
    hall = Hall((PEERS[1], sum_of(2, scene)), scene=scene)
    hall.court.open(0.0)
    assert hall.opinion() is Opinion.UNSURE
    hall = Hall((PEERS[1], sum_of(2, scene)), scene=unbalanced(Scene(), 2))
    hall.attempt.results.aggregate_norms = ()
    hall.court.open(0.0)
    assert hall.opinion() is Opinion.UNSURE


@pytest.mark.parametrize(
    "excess, expected",
    [
        (None, Opinion.UNSURE),
        (0.4, Opinion.INNOCENT),
        (0.7, Opinion.UNSURE),
        (1.5, Opinion.GUILTY),
        (math.inf, Opinion.GUILTY),
    ],
)
def test_an_aggregate_is_judged_by_what_the_collection_showed(excess: float | None, expected: Opinion) -> None:
    scene = Scene()
    if excess is not None:
        scene.attempt.results.excess[1] = excess
    charge = Charge(ChargeKind.WRONG_AGGREGATE, scene.attempt.seats.owners[1], 1)
    hall = Hall((PEERS[1], charge), scene=scene)
    hall.court.open(0.0)
    assert hall.opinion() is expected


SHOWN = (ChargeKind.FALSE_SCALARS, ChargeKind.NOT_FINITE, ChargeKind.TOO_LONG)


@pytest.mark.parametrize("kind", SHOWN)
def test_a_row_has_to_be_shown_by_its_accuser(kind: ChargeKind) -> None:
    hall = Hall((PEERS[1], Charge(kind, PEERS[2], 3)))
    (pull,) = hall.court.open(0.0)
    assert isinstance(pull, Send) and pull.peers == (PEERS[1],)
    assert Pull.decode(Envelope.decode(pull.data).body) == Pull(((MessageKind.PART, PEERS[2], 3),))
    assert not hall.court.decided and hall.court.advance(0.0) == []
    assert hall.opinion() is Opinion.UNSURE, "it was never shown"


@pytest.mark.parametrize("kind", SHOWN)
def test_a_row_that_keeps_to_everything_acquits(kind: ChargeKind) -> None:
    hall = Hall((PEERS[1], Charge(kind, PEERS[2], 3)))
    hall.court.open(0.0)
    hall.hold(PEERS[2], 3)
    hall.look(hall.court.advance(0.0))
    assert hall.court.advance(0.0) == [], "once is enough"
    assert hall.court.decided and hall.opinion() is Opinion.INNOCENT


def limited() -> StepRules:
    return dataclasses.replace(RULES, aggregation=dataclasses.replace(RULES.aggregation, max_norm=100.0))


@pytest.mark.parametrize(
    "kind, number",
    [(ChargeKind.NOT_FINITE, math.nan), (ChargeKind.NOT_FINITE, math.inf), (ChargeKind.TOO_LONG, 1000.0)],
)
def test_a_row_that_breaks_the_rules_convicts(kind: ChargeKind, number: float) -> None:
    hall = Hall((PEERS[1], Charge(kind, PEERS[2], 3)), scene=Scene(limited()))
    hall.hold(PEERS[2], 3, torch.full((8,), number))
    hall.look(hall.court.open(0.0))
    assert hall.opinion() is Opinion.GUILTY


@pytest.mark.parametrize("off", ["product", "norm"])
def test_numbers_that_are_not_those_of_the_row_convict(off: str) -> None:
    hall = Hall((PEERS[1], Charge(ChargeKind.FALSE_SCALARS, PEERS[2], 3)))
    hall.hold(PEERS[2], 3)
    scalars = hall.attempt.said.scalars[PEERS[2]]
    product, norm = scalars.products[3], scalars.norms[3]
    hall.scene.publish(PEERS[2], 3, product + 0.1 * (off == "product"), norm + 0.1 * (off == "norm"))
    hall.look(hall.court.open(0.0))
    assert hall.opinion() is Opinion.GUILTY


def test_two_charges_about_one_part_are_both_judged() -> None:
    scene = Scene()
    owner, part = scene.attempt.seats.owners[2], 2
    scene.attempt.results.excess[part] = 99.0
    charges = [Charge(kind, owner, part) for kind in (ChargeKind.FALSE_SCALARS, ChargeKind.WRONG_AGGREGATE)]
    accusers = [peer for peer in PEERS if peer != owner][:2]
    hall = Hall(*zip(accusers, charges, strict=True), scene=scene)
    hall.hold(owner, part)
    hall.look(hall.court.open(0.0))
    hall.court.advance(1.0)
    assert hall.court.decided
    found = {ballot.accuser: ballot.opinion for ballot in hall.ballots()}
    assert found == dict(zip(accusers, (Opinion.INNOCENT, Opinion.GUILTY), strict=True))


def test_a_row_without_randomness_or_numbers_proves_nothing() -> None:
    for missing in ("randomness", "scalars"):
        hall = Hall((PEERS[1], Charge(ChargeKind.FALSE_SCALARS, PEERS[2], 3)))
        hall.hold(PEERS[2], 3)
        if missing == "randomness":
            hall.attempt.results.randomness = b""
        else:
            del hall.attempt.said.scalars[PEERS[2]]
        hall.look(hall.court.open(0.0))
        assert hall.opinion() is Opinion.UNSURE


def test_a_peer_knows_its_own_rows() -> None:
    hall = Hall((PEERS[1], Charge(ChargeKind.NOT_FINITE, ME, 3)))
    hall.court.open(0.0)
    assert hall.court.decided and hall.opinion() is Opinion.INNOCENT


LIE = Charge(ChargeKind.GRADIENT, PEERS[2], 0)
FOUND = Finding(Opinion.GUILTY, True, 1.0, (PEERS[3],))


def test_a_gradient_is_recomputed_by_everyone() -> None:
    record = Scene().attempt
    hall = Hall((PEERS[1], LIE), (PEERS[4], LIE), record=record)
    asked = Examine(hall.step.number, PEERS[2], record, None, accusers=(PEERS[1], PEERS[4]))
    assert hall.court.open(0.0) == [asked], "once, and what it shows nobody its accusers may"
    assert not hall.court.decided
    assert hall.court.seconds() == RULES.commit_seconds
    hall.court.examined(PEERS[2], FOUND)
    assert hall.court.decided
    expected = (PEERS[3],)
    assert [(b.accuser, b.opinion, b.accomplices) for b in hall.ballots()] == [
        (accuser, Opinion.GUILTY, expected) for accuser in sorted((PEERS[1], PEERS[4]))
    ]


def test_a_judge_asks_the_validator_before_other_accusers() -> None:
    hall = Hall(*((peer, LIE) for peer in (PEERS[1], PEERS[3], PEERS[4])), record=Scene().attempt)
    hall.attempt.seats.validators[PEERS[4]] = PEERS[2]
    (asked,) = hall.court.open(0.0)
    assert isinstance(asked, Examine) and asked.accusers == (PEERS[4], PEERS[1]), "each may send a whole vector"


def test_a_judge_that_missed_the_last_step_is_unsure_about_it() -> None:
    hall = Hall((PEERS[1], LIE))
    assert hall.court.open(0.0) == []
    assert hall.court.decided and hall.opinion() is Opinion.UNSURE


def test_an_unfinished_recomputation_leaves_the_vote_unsure() -> None:
    hall = Hall((PEERS[1], LIE), record=Scene().attempt)
    hall.court.open(0.0)
    assert hall.opinion() is Opinion.UNSURE


def test_a_behaviour_votes_freely_but_innocents_lack_accomplices() -> None:
    hall = Hall((PEERS[1], LIE), record=Scene().attempt, behaviour=Turncoat())
    hall.court.open(0.0)
    hall.court.examined(PEERS[2], FOUND)
    (ballot,) = hall.ballots()
    assert (ballot.opinion, ballot.accomplices) == (Opinion.INNOCENT, ())


def test_a_finding_about_one_is_none_about_another() -> None:
    hall = Hall((PEERS[1], LIE), record=Scene().attempt)
    hall.court.open(0.0)
    hall.court.examined(PEERS[3], FOUND)
    assert not hall.court.decided


UNSHOWN = Charge(ChargeKind.WITHHELD, PEERS[2], 0)


@pytest.mark.parametrize("found", list(Opinion))
def test_a_judge_says_what_it_was_shown_for_a_validator(found: Opinion) -> None:
    record = Scene().attempt
    hall = Hall((PEERS[1], UNSHOWN), record=record)
    asked = Recall(Examine(hall.step.number, PEERS[2], record, None), PEERS[1])
    (action,) = hall.court.open(0.0)
    assert isinstance(action, Recall)
    found_in = dataclasses.replace(action.examine, within_seconds=math.inf)
    assert dataclasses.replace(action, examine=found_in) == asked
    for accuser, target in ((PEERS[3], PEERS[2]), (PEERS[1], PEERS[3])):
        hall.court.answered(Recalled(hall.step.number, accuser, target, Opinion.GUILTY))
    hall.court.examined(PEERS[2], FOUND)
    assert not hall.court.decided, "what it has submitted is another question"
    hall.court.answered(Recalled(hall.step.number, PEERS[1], PEERS[2], found))
    assert hall.court.decided and hall.opinion() is found


def test_the_two_that_differ_need_not_remember() -> None:
    for accuser, target, said in ((ME, PEERS[2], Opinion.GUILTY), (PEERS[1], ME, Opinion.INNOCENT)):
        hall = Hall((accuser, Charge(ChargeKind.WITHHELD, target, 0)), record=Scene().attempt)
        assert hall.court.open(0.0) == [] and hall.opinion() is said
    absent = Hall((PEERS[1], UNSHOWN))
    assert absent.court.open(0.0) == [] and absent.court.decided and absent.opinion() is Opinion.UNSURE


VALIDATOR, TARGET = PEERS[2], PEERS[1]
OPENED = Opening(bytes(32), (1.0,) * BLOCKS)
FALSE, MISSING = (Charge(kind, VALIDATOR, 0) for kind in (ChargeKind.FALSE_OPENING, ChargeKind.NO_OPENING))


def owing(*, seal: bytes = bytes(32), known: bool = True) -> Debts:
    """One validator owes its target an opening."""
    return Debts((Debt(VALIDATOR, TARGET, seal, bytes(32), Scene().attempt),), known)


def opened_in(scene: Scene, opening: Opening | None) -> Scene:
    """Let the validator open this."""
    commits = scene.attempt.said.commits
    commits[VALIDATOR] = dataclasses.replace(commits[VALIDATOR], opening=opening)
    return scene


@pytest.mark.parametrize("found", list(Opinion))
def test_an_opening_is_judged_by_recomputing(found: Opinion) -> None:
    debts = owing()
    hall = Hall((TARGET, FALSE), scene=opened_in(Scene(), OPENED), debts=debts)
    assert hall.court.seconds() == RULES.commit_seconds
    assert hall.court.open(0.0) == [CheckOpening(hall.step.number, debts.owed[0], OPENED)]
    assert hall.court.advance(1.0) == [] and not hall.court.decided, "once"
    hall.court.answered(OpeningChecked(hall.step.number, PEERS[3], Opinion.GUILTY))
    assert not hall.court.decided, "that was another one's"
    hall.court.answered(OpeningChecked(hall.step.number, VALIDATOR, found))
    assert hall.court.decided and hall.opinion() is found
    assert hall.court.furthest is Phase.COMMIT


@pytest.mark.parametrize(
    "seal, opening, said",
    [
        (bytes(32), None, Opinion.GUILTY),
        (b"", OPENED, Opinion.GUILTY),
        (b"", None, Opinion.GUILTY),
        (bytes(32), OPENED, Opinion.INNOCENT),
    ],
)
def test_whether_anything_is_opened_is_seen_at_once(seal: bytes, opening: Opening | None, said: Opinion) -> None:
    hall = Hall((TARGET, MISSING), scene=opened_in(Scene(), opening), debts=owing(seal=seal))
    assert hall.court.open(0.0) == []
    assert hall.court.decided and hall.opinion() is said


def test_what_is_not_opened_is_not_false() -> None:
    hall = Hall((TARGET, FALSE), scene=opened_in(Scene(), None), debts=owing())
    assert hall.court.open(0.0) == [] and hall.opinion() is Opinion.UNSURE


@pytest.mark.parametrize("charge", [FALSE, MISSING], ids=["false", "missing"])
@pytest.mark.parametrize("known", [True, False])
def test_nobody_else_has_a_claim_to_an_opening(charge: Charge, known: bool) -> None:
    debts = dataclasses.replace(owing(), known=known)
    hall = Hall((PEERS[3], charge), scene=opened_in(Scene(), None), debts=debts)
    assert hall.court.open(0.0) == [] and hall.court.decided
    assert hall.opinion() is (Opinion.INNOCENT if known else Opinion.UNSURE)


def test_a_commitment_that_has_not_come_is_waited_for() -> None:
    scene = Scene()
    commit = opened_in(scene, OPENED).attempt.said.commits.pop(VALIDATOR)
    hall = Hall((TARGET, FALSE), (PEERS[3], FALSE), scene=scene, debts=owing())
    assert hall.court.open(0.0) == [] and not hall.court.decided
    scene.attempt.said.commits[VALIDATOR] = commit
    assert len(hall.court.advance(1.0)) == 1
    hall.court.answered(OpeningChecked(hall.step.number, VALIDATOR, Opinion.GUILTY))
    opinions = {ballot.accuser: ballot.opinion for ballot in hall.ballots()}
    assert opinions == {TARGET: Opinion.GUILTY, PEERS[3]: Opinion.INNOCENT}
