"""What colluders do with the messages that they send, by what becomes of them."""

from __future__ import annotations

import pytest

from btard.behaviour import LeaveReason
from btard.identity import MessageKind
from btard.lab.adversary.colluder import Colluder
from btard.lab.adversary.colluding_peer import ColludingPeer
from btard.lab.adversary.conditions import Condition, Fact
from btard.lab.adversary.knowledge import Ring
from btard.lab.adversary.lies import (
    Accuse,
    CallLate,
    Complain,
    Contradict,
    Delay,
    FallSilent,
    Garble,
    Goodbye,
    LetterLie,
    Opine,
    WhichPart,
    Whom,
    Withhold,
)
from btard.lab.adversary.play import Arena
from btard.lab.adversary.strategy import Clause, Strategy
from btard.lab.simulation.simulation import Simulation
from btard.round.evidence.evidence import Offence
from btard.round.messages.accusations import ChargeKind, Fault, Opinion
from btard.round.messages.bodies import Phase

ARENA = Arena(peers=5, byzantine=1, steps=3, validators=0.0)
TO_ONE = Condition(Fact.TO_FIRST, number=1)
FIRST_STEP = Condition(Fact.STEP_FROM, holds=False, number=1)
FIRST_ATTEMPT = Condition(Fact.ATTEMPT_FROM, holds=False, number=1)
CHARGE = Clause(Accuse(ChargeKind.WRONG_AGGREGATE, Whom.HONEST, WhichPart.THEIRS), (FIRST_STEP,))
NO_ANSWERS = Clause(Withhold(MessageKind.FORWARD))


def run(*clauses: Clause, arena: Arena = ARENA) -> Simulation:
    """Run a swarm with a strategy to its end."""
    ring = Ring(1)
    simulation = Simulation(
        arena.settings(1),
        make_attacker=lambda *_: Colluder(Strategy(clauses), ring),
        attacker_type=ColludingPeer,
    )
    simulation.run()
    assert simulation.chronicle.finished == arena.steps - 1, "the honest peers finish"
    assert all(not ban.peer.honest for ban in simulation.chronicle.bans)
    return simulation


def offences(simulation: Simulation) -> list[Offence]:
    return [ban.offence for ban in simulation.chronicle.bans]


def members(simulation: Simulation) -> int:
    assert simulation.chronicle.roster is not None
    return len(simulation.chronicle.roster.members)


@pytest.mark.parametrize(
    ("word", "offence"),
    [
        (MessageKind.COMMIT, Offence.EQUIVOCATION),
        (MessageKind.PART, Offence.PART_MISMATCH),
        (MessageKind.REVEAL, Offence.EQUIVOCATION),
    ],
)
def test_other_words_for_one_peer_are_a_proof(word: MessageKind, offence: Offence) -> None:
    assert offences(run(Clause(Garble(word), (TO_ONE,)))) == [offence]


@pytest.mark.parametrize(
    ("word", "offence"),
    [(MessageKind.SCALARS, Offence.FALSE_SCALARS), (MessageKind.REVEAL, Offence.FALSE_REVEAL)],
)
def test_a_lie_for_all_is_never_contradicted(word: MessageKind, offence: Offence) -> None:
    """What its author shows and passes on later is the lie, too; so nobody sees two stories."""
    assert offences(run(Clause(Garble(word)))) == [offence]


def test_another_digest_for_all_is_outvoted() -> None:
    """Its author's report attaches the same, since its session takes it for what it has said."""
    simulation = run(Clause(Garble(MessageKind.DIGEST)))
    (suspension,) = simulation.chronicle.suspensions
    assert not suspension.peer.honest and offences(simulation) == []


def test_another_aggregate_for_one_peer_costs_the_place() -> None:
    """Its author charges the one with scalars that do not fit, and stands behind one of two versions."""
    simulation = run(Clause(Garble(MessageKind.AGGREGATE), (TO_ONE,)))
    (suspension,) = simulation.chronicle.suspensions
    assert not suspension.peer.honest and suspension.reason.startswith("stands behind another version")


@pytest.mark.parametrize("word", [MessageKind.REPORT, MessageKind.VOTE])
def test_other_words_about_a_failure_are_a_proof(word: MessageKind) -> None:
    held_up = (Clause(Withhold(MessageKind.SCALARS)), NO_ANSWERS)
    assert offences(run(CHARGE, Clause(Garble(word), (TO_ONE,)), *held_up)) == [Offence.EQUIVOCATION]


def test_what_is_contradicted_later_is_said_first() -> None:
    """Each receiver holds both versions; with one alone nothing would be proven."""
    held_up = (Clause(Withhold(MessageKind.SCALARS)), NO_ANSWERS)
    contradicted = Clause(Contradict(MessageKind.REPORT, 0.001))
    assert offences(run(CHARGE, contradicted, *held_up)) == [Offence.EQUIVOCATION]


@pytest.mark.parametrize("word", [MessageKind.REPORT, MessageKind.VOTE])
def test_other_words_about_a_failure_harm_nobody_else(word: MessageKind) -> None:
    """One that is told of no reason first follows the others all the same, and is not taken for silent."""
    simulation = run(CHARGE, Clause(Garble(word), (TO_ONE,)))
    assert members(simulation) == 4
    assert all(not suspension.peer.honest for suspension in simulation.chronicle.suspensions)


def test_requests_and_goodbyes_cannot_be_garbled() -> None:
    lies = (Clause(Garble(MessageKind.PULL)), Clause(Garble(MessageKind.LEAVE)))
    goodbye = Clause(Goodbye(MessageKind.COMMIT, LeaveReason.SHUTDOWN), (Condition(Fact.STEP_FROM, number=1),))
    assert offences(run(*lies, goodbye)) == []


def test_a_message_that_is_withheld_is_asked_for() -> None:
    """The others pass on what one of them has got, or ask its author."""
    withheld = Clause(Withhold(MessageKind.REVEAL))
    assert members(run(withheld)) == 5 and members(run(withheld, NO_ANSWERS)) == 4


def test_a_decision_can_wait_for_what_others_say() -> None:
    """r^t is not known when a share is due, but once all others have revealed theirs."""
    withheld = Withhold(MessageKind.REVEAL)
    known = (Condition(Fact.DRAWN),)
    assert members(run(Clause(withheld, known), NO_ANSWERS)) == 5
    assert members(run(Clause(withheld, known, wait=0.05), NO_ANSWERS)) == 4


@pytest.mark.parametrize("word", [MessageKind.COMMIT, MessageKind.PART, MessageKind.AGGREGATE, MessageKind.SCALARS])
def test_a_late_message_costs_time_until_it_is_asked_for(word: MessageKind) -> None:
    slow, quick = run(Clause(Delay(word, 0.7))), run()
    answered_late = word in (MessageKind.PART, MessageKind.AGGREGATE)  # those that ask get it as late
    most = 0.75 if answered_late else 0.35
    assert 0.1 < slow.network.now - quick.network.now < ARENA.steps * most
    assert not slow.chronicle.voided


def test_a_complaint_is_said_once() -> None:
    """A second report would be a proof; so the one that the session makes when the attempt fails never leaves."""
    complaint = Complain(MessageKind.COMMIT, Fault.NO_PART, Whom.HONEST, Phase.SCATTER)
    simulation = run(Clause(complaint), Clause(Withhold(MessageKind.SCALARS)), NO_ANSWERS)
    assert offences(simulation) == [] and len(simulation.chronicle.voided) == 1
    (suspension,) = simulation.chronicle.suspensions
    assert not suspension.peer.honest and suspension.reason.startswith("most do not say that of")


def test_testimony_of_one_costs_nobody_else_a_place() -> None:
    simulation = run(CHARGE, Clause(CallLate(Whom.HONEST)))
    assert simulation.chronicle.voided and offences(simulation) == [Offence.FALSE_ACCUSATION], "it is said to all"
    assert simulation.chronicle.suspensions == []


@pytest.mark.parametrize(
    "lie",
    [Goodbye(MessageKind.REVEAL, LeaveReason.SHUTDOWN), FallSilent(MessageKind.REVEAL)],
    ids=["goodbye", "silence"],
)
def test_a_peer_that_goes_is_out(lie: LetterLie) -> None:
    simulation = run(Clause(lie, (Condition(Fact.STEP_FROM, number=1),)))
    assert members(simulation) == 4 and offences(simulation) == []
    assert {step for step, _ in simulation.chronicle.voided} == {1}


def test_an_opinion_can_be_forced() -> None:
    """Two of five judges call an innocent guilty, which is no majority."""
    arena = Arena(peers=5, byzantine=2, steps=3, validators=0.0)
    charge = Clause(
        Accuse(ChargeKind.WRONG_SUM, Whom.HONEST, WhichPart.THEIRS), (Condition(Fact.FIRST_MATE), FIRST_ATTEMPT)
    )
    simulation = run(charge, Clause(Opine(Opinion.GUILTY)), arena=arena)
    assert Offence.FALSE_ACCUSATION in offences(simulation)
    (evidence, *_) = [ban.evidence for ban in simulation.chronicle.bans]
    assert len([e for e in evidence.envelopes if e.kind is MessageKind.VOTE]) == 3
