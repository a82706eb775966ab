"""An attempt that fails is no second try: a target answers for all that it has signed in a step."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from btard.behaviour import Behaviour, Outgoing, View
from btard.byzantine.control.drift import Drift
from btard.byzantine.settings import BehaviourSettings
from btard.hashing import digest
from btard.identity import Envelope, IdentityKey, MessageKind, PeerId
from btard.round.actions import Finished
from btard.round.attempt.attempt import Attempt
from btard.round.attempt.pledges import pledges_of
from btard.round.attempt.seats import Seats
from btard.round.draw import Audit
from btard.round.evidence.evidence import Offence
from btard.round.failure.resolve import Resolution
from btard.round.messages.accusations import Charge, ChargeKind
from btard.round.messages.bodies import Commit, Phase
from btard.round.proof import verify
from btard.round.rules import VerificationRules
from btard.round.work.answers import TargetExamined
from btard.round.work.examination import UNKNOWN
from btard.round.work.own import OwnWork
from btard.tensors import bytes_of
from btard.transport.memory import SimulatedPeer
from btard.vocabulary import Validation
from tests.btard.round.swarm import RULES, Swarm, offences, suspended, verdicts, voids
from tests.quick import quick

LIAR, ACCOMPLICE = 1, 4
SEED = 4
"""With it the liar is a target in step 2."""
PEERS, STEPS = 8, 12


class FirstLies(Behaviour):
    """Sends a lie in the first attempt at step 1, and else the truth."""

    def vector(self, step: int, attempt: int, vector: torch.Tensor) -> torch.Tensor:
        return -1000.0 * vector if (step, attempt) == (1, 0) else vector


class ShowsIt(FirstLies):
    """Shows what it sent in the first attempt."""

    def shown_vector(self, step: int, asker: PeerId, vector: bytes | None) -> bytes | None:
        if vector is None or step != 1:
            return vector
        return bytes(bytes_of(-1000.0 * torch.frombuffer(bytearray(vector), dtype=torch.float32)))


class ShowsNothing(FirstLies):
    def shown_vector(self, step: int, asker: PeerId, vector: bytes | None) -> bytes | None:
        return None


class Charges(Behaviour):
    """Charges an owner in the first attempt at step 1 with what no judge can see, which costs it its place."""

    def charge(self, step: int, phase: Phase, honest: Charge | None, view: View) -> Charge | None:
        if phase is not Phase.MEASURE or (step, view.attempt) != (1, 0):
            return None
        part = next(part for part, owner in enumerate(view.owners) if owner != view.me)
        return Charge(ChargeKind.WRONG_AGGREGATE, view.owners[part], part)


class Falters(Behaviour):
    """Says nothing in one phase of the first attempt at one step, nor when it is asked again."""

    def __init__(self, kind: MessageKind, step: int = 1) -> None:
        self.kind, self.step = kind, step

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> Sequence[Outgoing] | None:
        told = envelope.kind in (self.kind, MessageKind.FORWARD)
        return [] if told and (envelope.step, envelope.attempt) == (self.step, 0) else None


def swarm_of(
    behaviours: dict[int, Behaviour],
    validation: Validation,
    *,
    momentum: float = 0.0,
    clip: float | None = None,
    seed: int = 0,
    steps: int = STEPS,
) -> Swarm:
    """Return a swarm that has run, with two validators a step and one more after each failed attempt."""
    verification = VerificationRules(validators=2.0, momentum=momentum, validation=validation)
    aggregation = dataclasses.replace(RULES.aggregation, max_norm=clip)
    rules = dataclasses.replace(RULES, verification=verification, aggregation=aggregation)
    swarm = Swarm(PEERS, steps=steps, behaviours=behaviours, rules=rules, seed=seed).run()
    swarm.check_agreement()
    assert all(len(peer.finished()) == steps for peer in swarm.honest), [peer.stopped for peer in swarm.honest]
    return swarm


def examined(liar: Behaviour, validation: Validation, **rules: float | None) -> Swarm:
    """Return the first of some swarms in which the liar is examined about the step whose first attempt was voided."""
    for seed in range(40):
        behaviours = {LIAR: liar, ACCOMPLICE: Charges()}
        swarm = swarm_of(behaviours, validation, seed=seed, steps=4, **rules)  # type: ignore[arg-type]
        targets = swarm.honest[0].finished()[1].roster.validators.values()
        if swarm.peers[LIAR].peer_id in targets:
            assert (voids(swarm.honest[0])[0].step, voids(swarm.honest[0])[0].attempt) == (1, 0)
            return swarm
    raise AssertionError("in none of them it is drawn")


def of_liar(swarm: Swarm, peer: SimulatedPeer) -> Offence | None:
    """Return what a peer has banned the liar for."""
    assert offences(peer).get(swarm.peers[ACCOMPLICE].peer_id) is Offence.FALSE_ACCUSATION, "a void costs its author"
    return offences(peer).get(swarm.peers[LIAR].peer_id)


@pytest.mark.parametrize(("momentum", "clip"), quick(1, [(0.9, 1.0), (0.0, 1.0), (0.9, None), (0.0, None)]))
def test_a_lie_in_a_failed_attempt_is_a_ban(momentum: float, clip: float | None) -> None:
    swarm = examined(FirstLies(), Validation.EXACT, momentum=momentum, clip=clip)
    for peer in swarm.honest:
        assert of_liar(swarm, peer) is Offence.GRADIENT
        assert all(verify(verdict.evidence) for verdict in verdicts(peer))
        assert not suspended(peer)


@pytest.mark.parametrize(("momentum", "clip"), quick(1, [(0.9, 1.0), (0.0, 1.0), (0.9, None), (0.0, None)]))
def test_a_lie_that_is_shown_is_measured(momentum: float, clip: float | None) -> None:
    swarm = examined(ShowsIt(), Validation.TOLERANT, momentum=momentum, clip=clip)
    for peer in swarm.honest:
        assert of_liar(swarm, peer) is Offence.GRADIENT
        assert all(verify(verdict.evidence) for verdict in verdicts(peer))
        assert not suspended(peer)


@pytest.mark.parametrize("liar", [ShowsNothing, FirstLies], ids=["nothing", "another vector"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_lie_that_is_not_shown_costs_the_place(liar: type[Behaviour], momentum: float) -> None:
    swarm = examined(liar(), Validation.TOLERANT, momentum=momentum)
    for peer in swarm.honest:
        assert suspended(peer) == {swarm.peers[LIAR].peer_id} and of_liar(swarm, peer) is None


@pytest.mark.parametrize("validation", list(Validation))
@pytest.mark.parametrize(("momentum", "clip"), quick(2, [(0.0, None), (0.0, 1.0), (0.9, None), (0.9, 1.0)]))
def test_honest_targets_of_failed_attempts_are_innocent(
    validation: Validation, momentum: float, clip: float | None
) -> None:
    swarm = examined(Behaviour(), validation, momentum=momentum, clip=clip)
    for peer in swarm.honest:
        assert [void.attempt for void in voids(peer)] == [0]
        assert of_liar(swarm, peer) is None and not suspended(peer)


def test_machines_that_round_otherwise_are_shown_to_be_innocent() -> None:
    drifting: dict[int, Behaviour] = {i: Drift(BehaviourSettings(attack_start=0), bytes([i])) for i in (0, 2, 5)}
    for seed in range(4):
        swarm = swarm_of({**drifting, ACCOMPLICE: Charges()}, Validation.TOLERANT, seed=seed, steps=4)
        for peer in swarm.honest:
            assert [void.attempt for void in voids(peer)] == [0]
            assert of_liar(swarm, peer) is None and not suspended(peer)


def lies_once(kind: MessageKind) -> Swarm:
    """Return a swarm in which the first attempt at step 1 fails by a silence, after a lie in that attempt alone."""

    swarm = swarm_of({LIAR: FirstLies(), ACCOMPLICE: Falters(kind)}, Validation.EXACT, seed=SEED, steps=3)
    witness = swarm.honest[0]
    assert [(void.step, void.attempt, void.verdicts) for void in voids(witness)[:1]] == [(1, 0, ())]
    assert swarm.peers[LIAR].peer_id in witness.finished()[1].roster.validators.values()
    return swarm


@pytest.mark.parametrize("kind", [MessageKind.REVEAL, MessageKind.SCALARS], ids=["share", "scalars"])
def test_however_the_attempt_is_made_to_fail(kind: MessageKind) -> None:
    swarm = lies_once(kind)
    for peer in swarm.honest:
        assert offences(peer) == {swarm.peers[LIAR].peer_id: Offence.GRADIENT}
        assert suspended(peer) == {swarm.peers[ACCOMPLICE].peer_id}


def test_a_failure_before_any_draw_does_not_count() -> None:
    swarm = lies_once(MessageKind.COMMIT)
    for peer in swarm.honest:
        assert not offences(peer) and suspended(peer) == {swarm.peers[ACCOMPLICE].peer_id}


class TellsTwoStories(Behaviour):
    """In the first attempt at step 1 it commits to one vector before the validators of that step, who get no parts, and
    to another before all others."""

    key: IdentityKey

    def attach(self, key: IdentityKey) -> None:
        self.key = key

    def commit(self, step: int, commit: Commit, view: View) -> Commit | None:
        self.fooled = frozenset(view.roster.validators) if (step, view.attempt) == (1, 0) else frozenset()
        return commit

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> Sequence[Outgoing] | None:
        if envelope.kind is not MessageKind.COMMIT or receiver not in self.fooled:
            return None
        commit = Commit.decode(envelope.body)
        lie = dataclasses.replace(commit, parts=tuple(digest(part) for part in commit.parts))
        return [Outgoing(sign(lie.encode()).encode())]


def test_a_lie_told_to_one_validator_turns_against_its_author() -> None:
    """The judges were told the truth in the failed attempt; the validator shows them what it was told."""
    behaviours: dict[int, Behaviour] = {LIAR: TellsTwoStories(), ACCOMPLICE: Falters(MessageKind.REVEAL)}
    swarm = swarm_of(behaviours, Validation.EXACT, seed=SEED, steps=3)
    first, second = (swarm.honest[0].finished()[step].roster for step in (0, 1))
    fooled = {v for v, target in second.validators.items() if target == swarm.peers[LIAR].peer_id}
    assert fooled and fooled <= first.validators.keys(), "a validator that was lied to examines the liar"
    for peer in swarm.honest:
        assert offences(peer) == {swarm.peers[LIAR].peer_id: Offence.GRADIENT}


def test_a_validator_shows_judges_what_it_was_told() -> None:
    """An accomplice may tell a validator of a commitment, and the judges nothing: they would not believe it."""
    session = swarm_of({}, Validation.EXACT, steps=1).peers[0].session
    assert session.previous is not None
    target, step = session.previous.seats.members[LIAR], session._last_step
    told = pledges_of([session.previous], target)
    assert told.commits and session.commits_of(target, step) is None
    unknown = TargetExamined(step + 2, target, UNKNOWN, None, told)
    session.answer(0.0, unknown)
    assert session.commits_of(target, step) is None, "that is about another step"
    session.answer(0.0, dataclasses.replace(unknown, step=step + 1))
    assert session.commits_of(target, step) == told.encode()


def test_attempts_after_the_one_that_finished_do_not_count() -> None:
    """A peer may go on although others have finished: these have never heard of what it hears then."""
    session = swarm_of({}, Validation.EXACT, steps=1).peers[0].session
    finished = session.previous
    assert finished is not None
    roster, members = finished.seats.roster, finished.seats.members
    attempts = [Attempt(Seats(finished.seats.rules, roster, number, members, members[0])) for number in range(3)]
    failed = Resolution(members, (), (), (), redraw=True, judged=frozenset())
    settled = {number: SimpleNamespace(attempt=attempt, resolution=failed) for number, attempt in enumerate(attempts)}
    machine: Any = SimpleNamespace(settled=settled)
    audits = (Audit(members[0], members[LIAR]),)
    following = roster.successor(members, (), (), randomness=roster.randomness, audits=audits)
    machine.attempt, machine.own = finished, OwnWork()
    session._leave_behind(machine, Finished(0, 1, memoryview(b""), following, ()))
    kept = session.legacy.pledges
    assert kept.keys() == {members[LIAR]}
    assert kept[members[LIAR]].owed == {attempts[0].seats.attempt_id: PEERS}
