"""Seals and openings in whole swarms: a validator that does nothing is out, and no honest peer ever is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import pytest
import torch

from btard.behaviour import Behaviour, Outgoing, View
from btard.identity import Envelope, MessageKind, PeerId
from btard.round.actions import Finished
from btard.round.draw import Audit
from btard.round.evidence.evidence import Offence
from btard.round.messages.accusations import Charge, ChargeKind
from btard.round.messages.bodies import Commit, Phase, Reveal
from btard.round.messages.opening import Opening
from btard.round.proof import verify
from btard.round.rules import StepRules, VerificationRules
from btard.transport.memory import SimulatedPeer
from btard.verification.openings import BLOCKS
from btard.vocabulary import Validation
from tests.btard.round.careful import Careful
from tests.btard.round.swarm import RULES, Swarm, offences, seeded_gradient, suspended, verdicts, voids
from tests.quick import quick

PEERS, STEPS = 8, 8
LIAR = 2


def rules_with(**verification: object) -> StepRules:
    """Return the rules of a swarm in which everybody is soon a validator, and somebody's target."""
    given: dict[str, object] = {"validators": 3.0} | verification
    return dataclasses.replace(RULES, verification=VerificationRules(**given))  # type: ignore[arg-type]


EXACT = rules_with(validation=Validation.EXACT)


def swarm_of(behaviour: Behaviour, rules: StepRules = EXACT, **more: object) -> Swarm:
    swarm = Swarm(PEERS, steps=STEPS, behaviours={LIAR: behaviour}, rules=rules, peer_type=Careful, **more)  # type: ignore[arg-type]
    return swarm.run()


def check_nobody_else_is_out(swarm: Swarm) -> None:
    """Assert that honest peers agree, do all steps, and hold proofs of all bans."""
    swarm.check_agreement()
    liars = {swarm.peers[i].peer_id for i in swarm.liars}
    for peer in swarm.honest:
        assert len(peer.finished()) == STEPS, peer.stopped
        assert suspended(peer) | offences(peer).keys() <= liars
        assert all(verify(verdict.evidence) for verdict in verdicts(peer))


class MadeUp(Behaviour):
    """Opens numbers of its own making."""

    def opening(self, step: int, opening: Opening | None) -> Opening | None:
        return None if opening is None else dataclasses.replace(opening, numbers=(1.0,) * BLOCKS)


class Shifted(Behaviour):
    """Opens numbers of something near the aggregate, that is of the right size."""

    def opening(self, step: int, opening: Opening | None) -> Opening | None:
        if opening is None:
            return None
        return dataclasses.replace(opening, numbers=tuple(number + 0.2 for number in opening.numbers))


class OpensNothing(Behaviour):
    def opening(self, step: int, opening: Opening | None) -> Opening | None:
        return None


class SealsNothing(Behaviour):
    def seal(self, step: int, seal: bytes) -> bytes:
        return b""


class SealsSomething(Behaviour):
    """Learns what it should have sealed only later."""

    def seal(self, step: int, seal: bytes) -> bytes:
        return bytes(32)


@pytest.mark.parametrize("rules", [EXACT, rules_with()], ids=["exact", "tolerant"])
def test_made_up_numbers_ban(rules: StepRules) -> None:
    swarm = swarm_of(MadeUp(), rules)
    check_nobody_else_is_out(swarm)
    liar = swarm.peers[LIAR].peer_id
    assert all(offences(peer) == {liar: Offence.FALSE_OPENING} for peer in swarm.honest)


def test_numbers_a_little_off_are_told_where_machines_are_alike() -> None:
    swarm = swarm_of(Shifted())
    check_nobody_else_is_out(swarm)
    assert offences(swarm.honest[0]) == {swarm.peers[LIAR].peer_id: Offence.FALSE_OPENING}


@pytest.mark.parametrize("behaviour", [OpensNothing(), SealsNothing()], ids=["opens nothing", "seals nothing"])
def test_one_that_opens_nothing_is_out_without_a_ban(behaviour: Behaviour) -> None:
    swarm = swarm_of(behaviour)
    check_nobody_else_is_out(swarm)
    liar = swarm.peers[LIAR].peer_id
    assert all((offences(peer), suspended(peer)) == ({}, {liar}) for peer in swarm.honest)
    why = dict(voids(swarm.honest[0])[0].suspended)[liar]
    assert why == "did not open what it had to recompute"


def test_what_was_not_sealed_cannot_be_opened() -> None:
    swarm = swarm_of(SealsSomething())
    check_nobody_else_is_out(swarm)
    assert offences(swarm.honest[0]) == {swarm.peers[LIAR].peer_id: Offence.FALSE_OPENING}


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("validation", list(Validation))
@pytest.mark.parametrize("clip", quick(1, [3.0, None]))
def test_honest_validators_are_believed(validation: Validation, momentum: float, clip: float | None) -> None:
    rules = rules_with(validation=validation, momentum=momentum)
    rules = dataclasses.replace(rules, aggregation=dataclasses.replace(rules.aggregation, max_norm=clip))
    swarm = Swarm(PEERS, steps=STEPS, rules=rules).run()
    assert [(len(peer.finished()), voids(peer)) for peer in swarm.peers] == [(STEPS, [])] * PEERS
    assert any(opening is not None for _, _, opening in told_in(swarm))


def told_in(swarm: Swarm) -> list[tuple[PeerId, bytes, Opening | None]]:
    """Return what was sealed and opened in the last step: author, seal, opening."""
    record = swarm.honest[0].session.previous
    assert record is not None
    return [(peer, commit.seal, commit.opening) for peer, commit in record.said.commits.items()]


def test_only_validators_seal_and_only_those_before_open() -> None:
    swarm = Swarm(PEERS, steps=STEPS, rules=EXACT).run()
    record = swarm.peers[0].session.previous
    before = swarm.peers[0].finished()[-3].roster
    assert record is not None and before.step == record.seats.roster.step - 1
    assert {peer for peer, seal, _ in told_in(swarm) if seal} == record.seats.roster.validators.keys()
    assert {peer for peer, _, opening in told_in(swarm) if opening} == before.validators.keys()


@pytest.mark.parametrize("noise", [0.004, 0.008])
def test_machines_that_differ_within_the_band_convict_nobody(noise: float) -> None:
    """Each of them computes something else, as far off as a validator may let its target be."""

    def machine(number: int) -> Callable[[bytes, torch.Tensor], torch.Tensor]:
        def gradient(seed: bytes, parameters: torch.Tensor) -> torch.Tensor:
            true = seeded_gradient(seed, parameters)
            error = torch.randn(len(true), generator=torch.Generator().manual_seed(seed[0] * 64 + number))
            return true + noise * true.norm() * error / error.norm()

        return gradient

    for seed in range(6):
        swarm = Swarm(PEERS, steps=STEPS, seed=seed, rules=rules_with())
        for number, peer in enumerate(swarm.peers):
            peer.trainer.gradient = machine(number)
        swarm.run()
        assert [offences(peer) for peer in swarm.peers] == [{}] * PEERS
        assert [len(peer.finished()) for peer in swarm.peers] == [STEPS] * PEERS


class Blames(Behaviour):
    """Charges its validator, or somebody else, with what it does not owe."""

    def __init__(self, kind: ChargeKind, *, own: bool) -> None:
        self.kind, self.own = kind, own
        self.audits: tuple[Audit, ...] = ()

    def charge(self, step: int, phase: Phase, honest: Charge | None, view: View) -> Charge | None:
        audits, self.audits = self.audits, view.roster.audits
        if phase is not Phase.MEASURE or step < 2:
            return honest
        mine = [a.validator for a in audits if a.target == view.me] if self.own else [view.members[-1]]
        return Charge(self.kind, mine[0], 0) if mine and mine[0] in view.members else honest


@pytest.mark.parametrize("kind", [ChargeKind.FALSE_OPENING, ChargeKind.NO_OPENING])
@pytest.mark.parametrize("own", [True, False], ids=["its validator", "somebody"])
def test_a_false_charge_bans_its_author(kind: ChargeKind, own: bool) -> None:
    swarm = swarm_of(Blames(kind, own=own), seed=2)
    check_nobody_else_is_out(swarm)
    assert offences(swarm.honest[0]) == {swarm.peers[LIAR].peer_id: Offence.FALSE_ACCUSATION}


class TellsTwoOpenings(Behaviour):
    """Opens to its target alone what is false: the judges would find nothing wrong."""

    audits: tuple[Audit, ...] = ()

    def commit(self, step: int, commit: Commit, view: View) -> Commit | None:
        self.target = next((a.target for a in self.audits if a.validator == view.me), None)
        self.audits = view.roster.audits
        return commit

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> Sequence[Outgoing] | None:
        if envelope.kind is not MessageKind.COMMIT or receiver != self.target:
            return None
        commit = Commit.decode(envelope.body)
        if commit.opening is None:
            return None
        false = dataclasses.replace(commit.opening, numbers=(0.0,) * BLOCKS)
        return [Outgoing(sign(dataclasses.replace(commit, opening=false).encode()).encode())]


def test_an_opening_told_to_one_turns_against_its_author() -> None:
    swarm = swarm_of(TellsTwoOpenings())
    check_nobody_else_is_out(swarm)
    assert offences(swarm.honest[0]) == {swarm.peers[LIAR].peer_id: Offence.EQUIVOCATION}


class Spoils(Behaviour):
    """Makes the first attempt at some steps fail, before or after r^t is known."""

    def __init__(self, *, late: bool) -> None:
        self.late = late

    def reveal(self, step: int, reveal: Reveal, view: View) -> Reveal | None:
        return reveal if self.late or step != 3 else None

    def charge(self, step: int, phase: Phase, honest: Charge | None, view: View) -> Charge | None:
        if not self.late or step != 3 or phase is not Phase.MEASURE:
            return honest
        part = next(part for part, owner in enumerate(view.owners) if owner != view.me)
        return Charge(ChargeKind.WRONG_AGGREGATE, view.owners[part], part)


class Recording(SimulatedPeer):
    """Keeps what it seals and opens in each attempt."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.told: dict[tuple[int, int], tuple[bytes, Opening | None]] = {}

    def perform(self, actions) -> None:  # type: ignore[no-untyped-def]
        machine = self.session.machine
        if machine is not None and self.peer_id in machine.attempt.said.commits:
            commit, seats = machine.attempt.said.commits[self.peer_id], machine.attempt.seats
            self.told[seats.roster.step, seats.number] = commit.seal, commit.opening
        super().perform(actions)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("validation", list(Validation))
def test_seal_and_opening_are_the_same_in_all_attempts(late: bool, validation: Validation) -> None:
    rules = rules_with(validation=validation)
    swarm = Swarm(
        PEERS, steps=STEPS, seed=6, behaviours={LIAR: Spoils(late=late)}, rules=rules, peer_type=Recording
    ).run()
    check_nobody_else_is_out(swarm)
    assert len(voids(swarm.honest[0])) == 1
    both = [peer.told[3, 0] for peer in swarm.honest if isinstance(peer, Recording)]
    assert both == [peer.told[3, 1] for peer in swarm.honest if isinstance(peer, Recording)]
    assert any(seal for seal, _ in both) and any(opening for _, opening in both)


def test_a_validator_that_has_lost_its_state_is_out_and_no_more() -> None:
    """As after a restart in the middle of it all."""
    swarm = Swarm(PEERS, steps=STEPS, rules=EXACT)
    forgetful = swarm.peers[LIAR]
    forgetful.trainer.apply = _forgetting(forgetful)  # type: ignore[method-assign]
    swarm.run()
    for peer in swarm.peers:
        if peer is not forgetful:
            assert (offences(peer), suspended(peer)) == ({}, {forgetful.peer_id})


def _forgetting(peer: SimulatedPeer):  # type: ignore[no-untyped-def]
    apply = peer.trainer.apply

    async def forget(aggregate: torch.Tensor) -> bytes:
        state = await apply(aggregate)
        peer.trainer._before = ()
        return state

    return forget


def test_each_finished_step_has_the_same_debts_for_all() -> None:
    swarm = Swarm(PEERS, steps=STEPS, rules=EXACT).run()
    debts = [[(d.validator, d.target, d.seal, d.direction) for d in p.session.legacy.debts.owed] for p in swarm.peers]
    assert debts[0] and debts == [debts[0]] * PEERS
    last = [event for event in swarm.peers[0].history if isinstance(event, Finished)][-2]
    assert [(validator, target) for validator, target, _, _ in debts[0]] == list(last.roster.validators.items())
