"""Auditors: parts that are aggregated once more where no sum proves the result, and which peer pays when."""

from __future__ import annotations

import dataclasses

import pytest

from btard.behaviour import Behaviour, View
from btard.hashing import Payload
from btard.identity import MessageKind, PeerId
from btard.round.actions import AggregateAgain, Work
from btard.round.attempt.pace import Pace
from btard.round.attempt.seats import Seats
from btard.round.delivery.patience import Patience
from btard.round.draw import draw_auditors, enough_auditors
from btard.round.evidence.evidence import Offence
from btard.round.evidence.file import from_json, to_json
from btard.round.messages.accusations import Charge, ChargeKind, Opinion
from btard.round.messages.bodies import Phase
from btard.round.proof import verify
from btard.round.rules import StepRules, VerificationRules
from btard.transport.memory import SimulatedPeer
from tests.btard.round.phases.test_check import SelfCover, Shifts
from tests.btard.round.swarm import RULES, Swarm, offences, one_of, rules_of, suspended, verdicts, voids

COUNT, LIAR = 7, 3
MEDIAN, TRIMMED = "coordinate_median", "trimmed_mean:share=0.49"
UNWITNESSED = dataclasses.replace(RULES, verification=VerificationRules(validators=0.0))


def with_auditors(count: int | None) -> StepRules:
    return dataclasses.replace(UNWITNESSED, verification=VerificationRules(validators=0.0, auditors=count))


def test_rows_of_many_parts_have_the_time_that_they_take() -> None:
    rules = rules_of(COUNT, UNWITNESSED, MEDIAN)
    swarm = Swarm(COUNT, rules=UNWITNESSED)
    for named, vectors in ((rules, 3), (swarm.rules, 1)):
        seats = Seats(named, swarm.genesis, 0, swarm.genesis.members, swarm.genesis.members[0])
        assert seats.check_seconds == vectors * RULES.scatter_seconds
        patience = Patience(named, seats.check_seconds, Pace(named.delay_bound_seconds))
        patience.begin(0.0, Phase.SCATTER, RULES.scatter_seconds)
        between = patience.due(Phase.AGREE) - patience.due(Phase.MEASURE)
        assert between >= 1.25 * vectors * RULES.scatter_seconds + RULES.agree_seconds
        assert patience.allowance(Phase.CHECK) >= vectors * RULES.scatter_seconds / 2


class Silent(Behaviour):
    """Accuses nobody, and acquits everybody."""

    def charge(self, step: int, phase: Phase, honest: Charge | None, view: View) -> Charge | None:
        return None

    def opinion(self, step: int, charge: Charge, opinion: Opinion) -> Opinion:
        return Opinion.INNOCENT


class Cheats(Shifts, Silent):
    """Is wrong by so much, and accuses nobody."""


class Audited(SimulatedPeer):
    """Notes what is aggregated once more, and by which peer."""

    seen: list[tuple[PeerId, int]] = []  # noqa: RUF012 - of one test, which clears it

    def work(self, work: Work) -> None:
        if isinstance(work, AggregateAgain):
            self.seen.append((self.peer_id, work.part))
        super().work(work)


@pytest.mark.parametrize("rule", [MEDIAN, TRIMMED])
@pytest.mark.parametrize("count", [2, 3, 4, 7])
def test_honest_peers_audit_each_part_and_find_nothing(rule: str, count: int) -> None:
    Audited.seen.clear()
    swarm = Swarm(count, steps=1, rule=rule, rules=UNWITNESSED, peer_type=Audited).run()
    swarm.check_agreement()
    assert not any(voids(peer) for peer in swarm.peers)
    parts = sorted(part for _, part in Audited.seen)
    assert parts == sorted(list(range(count)) * enough_auditors(count))


@pytest.mark.parametrize("rule", ["centered_clip", "mean"])
def test_nobody_audits_what_a_sum_proves(rule: str) -> None:
    Audited.seen.clear()
    swarm = Swarm(COUNT, steps=1, rule=rule, rules=UNWITNESSED, peer_type=Audited).run()
    assert len(swarm.peers[0].finished()) == 1 and Audited.seen == []


def test_auditors_are_drawn_after_all_aggregates() -> None:
    Audited.seen.clear()
    swarm = Swarm(COUNT, steps=1, rule=MEDIAN, rules=UNWITNESSED, peer_type=Audited).run()
    attempt = swarm.peers[0].session.previous
    assert attempt is not None
    seats, found = attempt.seats, set(Audited.seen)

    def drawn(randomness: bytes) -> set[tuple[PeerId, int]]:
        auditors = draw_auditors(randomness, seats.owners, seats.voters, seats.auditors)
        return {(peer, part) for part, peers in enumerate(auditors) for peer in peers}

    assert found == drawn(attempt.results.randomness)
    assert found != drawn(seats.roster.randomness), "which all know before they aggregate"


@pytest.mark.parametrize("rule", [MEDIAN, TRIMMED])
@pytest.mark.parametrize("shift", [1e-4, 0.05, 1e6])
def test_a_wrong_aggregate_is_found_at_once_and_proven(rule: str, shift: float) -> None:
    swarm = Swarm(COUNT, steps=2, behaviours={LIAR: Shifts(shift)}, rule=rule, rules=UNWITNESSED).run()
    swarm.check_agreement()
    for peer in swarm.honest:
        assert offences(peer) == {swarm.peers[LIAR].peer_id: Offence.WRONG_AGGREGATE}
        assert len(peer.finished()) == 2
        (verdict,) = verdicts(peer)
        words = verify(from_json(to_json(verdict.evidence)))
        assert f"differs from the {rule} of all rows" in words


@pytest.mark.parametrize("rule", [MEDIAN, TRIMMED])
@pytest.mark.parametrize("shift", [1e-4, 0.05, 1e6])
def test_no_false_product_hides_a_wrong_aggregate(rule: str, shift: float) -> None:
    swarm = Swarm(COUNT, steps=2, behaviours={LIAR: SelfCover(shift)}, rule=rule, rules=UNWITNESSED).run()
    swarm.check_agreement()
    for peer in swarm.honest:
        (offence,) = offences(peer).values()
        assert offence in (Offence.WRONG_AGGREGATE, Offence.MALFORMED), "its product may be beyond any bound"
        assert len(peer.finished()) == 2


@pytest.mark.parametrize("seed", range(6))
def test_the_largest_coalition_passes_no_wrong_aggregate(seed: int) -> None:
    liars: dict[int, Behaviour] = {LIAR: Cheats(1.0), 0: Silent(), 6: Silent()}
    swarm = Swarm(COUNT, steps=1, behaviours=liars, rule=MEDIAN, rules=UNWITNESSED, seed=seed).run()
    swarm.check_agreement()
    assert all(offences(peer) == {swarm.peers[LIAR].peer_id: Offence.WRONG_AGGREGATE} for peer in swarm.honest)


def test_an_accomplice_as_only_auditor_lets_a_wrong_one_pass() -> None:
    passed, accomplices = set(), set()
    for seed in range(12):
        liars: dict[int, Behaviour] = {LIAR: Cheats(1.0), 0: Silent(), 6: Silent()}
        swarm = Swarm(COUNT, steps=1, behaviours=liars, rule=MEDIAN, rules=with_auditors(1), seed=seed).run()
        swarm.check_agreement()
        machine = swarm.honest[0].session
        assert machine.previous is not None
        if offences(swarm.honest[0]):
            continue
        passed.add(seed)
        seats, results = machine.previous.seats, machine.previous.results
        part = seats.part_of[swarm.peers[LIAR].peer_id]
        ((auditor,),) = [draw_auditors(results.randomness, seats.owners, seats.voters, 1)[part]]
        if auditor in {swarm.peers[0].peer_id, swarm.peers[6].peer_id}:
            accomplices.add(seed)
    assert passed == accomplices and 0 < len(passed) < 12


class Accuses(Silent):
    """Says in CHECK that a part is wrong which is not."""

    def charge(self, step: int, phase: Phase, honest: Charge | None, view: View) -> Charge | None:
        part = next(part for part, owner in enumerate(view.owners) if owner != view.me)
        return Charge(ChargeKind.WRONG_AGGREGATE, view.owners[part], part) if phase is Phase.CHECK else None


@pytest.mark.parametrize("rule", [MEDIAN, "centered_clip"])
def test_a_false_accusation_bans_under_each_rule(rule: str) -> None:
    swarm = Swarm(COUNT, steps=2, behaviours={LIAR: Accuses()}, rule=rule, rules=UNWITNESSED).run()
    swarm.check_agreement()
    for peer in swarm.honest:
        assert offences(peer) == {swarm.peers[LIAR].peer_id: Offence.FALSE_ACCUSATION} and len(peer.finished()) == 2


class WrongSum(Silent):
    """Says that the products around an aggregate do not add up."""

    def charge(self, step: int, phase: Phase, honest: Charge | None, view: View) -> Charge | None:
        part = next(part for part, owner in enumerate(view.owners) if owner != view.me)
        return Charge(ChargeKind.WRONG_SUM, view.owners[part], part) if phase is Phase.CHECK else None


def test_no_sum_is_a_reason_under_rules_that_are_recomputed() -> None:
    swarm = Swarm(COUNT, steps=2, behaviours={LIAR: WrongSum()}, rule=MEDIAN, rules=UNWITNESSED).run()
    swarm.check_agreement()
    for peer in swarm.honest:
        assert offences(peer) == {swarm.peers[LIAR].peer_id: Offence.FALSE_ACCUSATION}


class Shy(Silent):
    """Sends its rows to all that ask, but not to judges: nothing once it has reported."""

    reported = False

    def transmit(self, receiver, envelope, sign):  # type: ignore[no-untyped-def]
        self.reported |= envelope.kind is MessageKind.REPORT
        return

    def part(self, step: int, receiver: PeerId, payload: Payload) -> Payload | None:
        return None if self.reported else payload


class ShyCheat(Cheats, Shy):
    """Is wrong, and shows judges nothing."""


@pytest.mark.parametrize("seed", range(3))
def test_judges_get_rows_that_authors_keep_from_them(seed: int) -> None:
    liars: dict[int, Behaviour] = {LIAR: ShyCheat(1.0), 0: Shy(), 6: Shy()}
    swarm = Swarm(COUNT, steps=1, behaviours=liars, rule=MEDIAN, rules=UNWITNESSED, seed=seed).run()
    swarm.check_agreement()
    for peer in swarm.honest:
        assert offences(peer) == {swarm.peers[LIAR].peer_id: Offence.WRONG_AGGREGATE}
        assert not suspended(peer) & {other.peer_id for other in swarm.honest}, "the accuser has shown all rows"


class Gossip(Shy, Accuses):
    """Accuses falsely, and shows judges nothing."""


def test_an_owner_shows_judges_what_liars_keep_from_them() -> None:
    liars: dict[int, Behaviour] = {LIAR: Gossip(), 0: Shy(), 6: Shy()}
    swarm = Swarm(COUNT, steps=1, behaviours=liars, rule=MEDIAN, rules=UNWITNESSED).run()
    swarm.check_agreement()
    assert all(offences(peer) == {swarm.peers[LIAR].peer_id: Offence.FALSE_ACCUSATION} for peer in swarm.honest)


class Hides(Behaviour):
    """Shows its rows to their parts' owners alone: to nobody once it has aggregated its own part."""

    aggregated = False

    def aggregate(self, step: int, payload: Payload, view: View) -> Payload:
        self.aggregated = True
        return payload

    def part(self, step: int, receiver: PeerId, payload: Payload) -> Payload | None:
        return None if self.aggregated else payload


def test_a_row_that_no_auditor_gets_costs_its_author_its_place() -> None:
    swarm = Swarm(COUNT, steps=2, behaviours={LIAR: Hides()}, rule=MEDIAN, rules=UNWITNESSED).run()
    swarm.check_agreement()
    for peer in swarm.honest:
        assert offences(peer) == {}, "silence is no proof"
        assert suspended(peer) == {swarm.peers[LIAR].peer_id} and len(peer.finished()) == 2


class Idle(SimulatedPeer):
    """Never comes to an end with what it collects."""

    def work(self, work: Work) -> None:
        if not isinstance(work, AggregateAgain):
            super().work(work)


def test_an_auditor_that_never_ends_stalls_nobody() -> None:
    swarm = Swarm(COUNT, steps=2, behaviours={LIAR: Behaviour()}, rule=MEDIAN, peer_type=one_of(Idle, LIAR)).run()
    swarm.check_agreement()
    for peer in swarm.honest:
        assert offences(peer) == {} and len(peer.finished()) == 2
        assert suspended(peer) == {swarm.peers[LIAR].peer_id}


def test_an_accuser_that_convinces_nobody_loses_its_place() -> None:
    class Deaf(Behaviour):
        """Votes that it cannot say."""

        def opinion(self, step: int, charge: Charge, opinion: Opinion) -> Opinion:
            return Opinion.UNSURE

    behaviours: dict[int, Behaviour] = {index: Deaf() for index in range(COUNT)}
    behaviours[LIAR] = Accuses()
    swarm = Swarm(COUNT, steps=1, behaviours=behaviours, rule=MEDIAN, rules=UNWITNESSED)
    swarm.liars = {LIAR}
    swarm.run()
    swarm.check_agreement()
    for peer in swarm.honest:
        assert offences(peer) == {} and suspended(peer) == {swarm.peers[LIAR].peer_id}
