"""What was sent in the last step before all were gone is examined once they are back."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import cache

import pytest
import torch

from btard.behaviour import Behaviour
from btard.identity import PeerId
from btard.round.attempt.debts import NO_DEBTS
from btard.round.evidence.evidence import Offence
from btard.round.evidence.file import from_json, to_json
from btard.round.proof import verify
from btard.round.roster import Roster
from btard.round.rules import StepRules
from btard.vocabulary import Validation
from tests.btard.reunion.killed import Keeper, Killed
from tests.btard.round.swarm import RULES, Swarm, verdicts, voids
from tests.quick import quick

COUNT, LIAR = 7, 4
PLAIN = replace(RULES, verification=replace(RULES.verification, validators=1.0))
EXACT = replace(PLAIN, verification=replace(PLAIN.verification, validation=Validation.EXACT))
MOMENTUM = replace(PLAIN, verification=replace(PLAIN.verification, momentum=0.5))


class LiesIn(Behaviour):
    """Sends its gradient the other way in one step."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self._step = step

    def gradient(self, step: int, gradient: torch.Tensor) -> torch.Tensor:
        return -gradient if step == self._step else gradient


@cache
def drawn(rules: StepRules) -> Roster:
    """Return a roster whose validator looks at what LIAR has sent in the step before: what vectors say does not
    matter for the draws."""
    swarm = Swarm(COUNT, steps=40, rules=rules).run()
    liar = swarm.peers[LIAR].peer_id
    return next(one.roster for one in swarm.peers[0].finished()[3:] if liar in one.roster.validators.values())


def killed_after_a_lie(rules: StepRules) -> tuple[Killed, PeerId]:
    """Return a swarm that was killed once all had begun the step after a lie, and the validator that should look."""
    roster = drawn(rules)
    killed = Killed(
        COUNT, within=roster.step, steps=roster.step + 4, rules=rules, behaviours={LIAR: LiesIn(roster.step - 1)}
    )
    assert set(killed.stood) == {roster.step} and not any(voids(peer) for peer in killed.peers)
    assert killed.peers[0].disk[-1].roster == roster
    return killed, roster.audits[0].validator


def accused(killed: Killed) -> Collection[PeerId]:
    """Return which peers were banned, by all that came back and hold to what honest peers do."""
    honest = [peer for number, peer in enumerate(killed.peers) if number != LIAR and not peer.crashed]
    banned = {frozenset(peer.disk[-1].roster.banned) for peer in honest}
    assert len(banned) == 1
    return banned.pop()


def check_proven(peer: Keeper, liar: PeerId) -> None:
    """Assert that a stranger is convinced by what a peer holds against the liar."""
    evidence = next(verdict.evidence for verdict in verdicts(peer) if verdict.peer == liar)
    assert evidence.offence is Offence.GRADIENT and evidence.rules.incarnation == 1
    assert "signed votes" in verify(from_json(to_json(evidence)))


@pytest.mark.parametrize("rules", quick(1, [MOMENTUM, PLAIN, EXACT]), ids=["momentum", "tolerant", "exact"])
def test_a_lie_before_all_were_killed_is_found(rules: StepRules) -> None:
    killed, _ = killed_after_a_lie(rules)
    killed.come_back(*range(COUNT))
    killed.run()
    liar = killed.peers[LIAR].peer_id
    assert accused(killed) == {liar}
    for number, peer in enumerate(killed.peers):
        if number != LIAR:
            check_proven(peer, liar)
            assert not [suspended for void in voids(peer) for suspended in void.suspended]


def test_it_is_found_by_a_majority_that_comes_back() -> None:
    killed, validator = killed_after_a_lie(PLAIN)
    others = [n for n, peer in enumerate(killed.peers) if n != LIAR and peer.peer_id != validator]
    killed.come_back(LIAR, *(n for n in range(COUNT) if n != LIAR and n not in others[:1]))
    killed.run()
    assert accused(killed) == {killed.peers[LIAR].peer_id}


def test_a_validator_that_stays_away_has_a_deputy() -> None:
    killed, validator = killed_after_a_lie(PLAIN)
    back = [n for n, peer in enumerate(killed.peers) if peer.peer_id != validator]
    killed.come_back(*back)
    killed.run()
    assert accused(killed) == {killed.peers[LIAR].peer_id}
    check_proven(next(peer for peer in killed.peers if not peer.crashed), killed.peers[LIAR].peer_id)


def test_some_that_have_lost_their_disk_change_nothing() -> None:
    killed, validator = killed_after_a_lie(PLAIN)
    forgetful = [n for n, peer in enumerate(killed.peers) if n != LIAR and peer.peer_id != validator][:2]
    lose_minutes(killed, forgetful)
    killed.come_back(*range(COUNT))
    killed.run()
    assert accused(killed) == {killed.peers[LIAR].peer_id}
    assert not [
        s
        for peer in killed.peers
        if peer.peer_id != killed.peers[LIAR].peer_id
        for v in voids(peer)
        for s in v.suspended
    ]


def test_nobody_is_accused_before_a_minority_that_remembers() -> None:
    killed, validator = killed_after_a_lie(PLAIN)
    forgetful = [n for n, peer in enumerate(killed.peers) if n != LIAR and peer.peer_id != validator][:4]
    lose_minutes(killed, forgetful)
    killed.come_back(*range(COUNT))
    killed.run().check()
    assert not accused(killed) and not any(voids(peer) for peer in killed.peers), "its validator keeps its place"


@pytest.mark.parametrize("rules", [PLAIN, MOMENTUM], ids=["plain", "momentum"])
def test_an_honest_target_that_lost_its_disk_stays(rules: StepRules) -> None:
    roster = drawn(rules)
    killed = Killed(COUNT, within=roster.step, steps=roster.step + 1, rules=rules)
    target = killed.peers[LIAR]
    target.disk = [replace(kept, link=None, minutes=None) for kept in target.disk]
    killed.come_back(*range(COUNT))
    killed.run().check()
    assert not accused(killed) and not any(voids(peer) for peer in killed.peers)


def lose_minutes(killed: Killed, numbers: Collection[int]) -> None:
    """Let the disks of these peers have states alone."""
    for number in numbers:
        killed.peers[number].disk = [replace(kept, minutes=None) for kept in killed.peers[number].disk]


def resumed(step_after: int = 0) -> Killed:
    """Return an honest swarm that was killed, has come back, and stands in that step, or so many later."""
    roster = drawn(PLAIN)
    killed = Killed(COUNT, within=roster.step, steps=roster.step + 4, rules=PLAIN)
    killed.come_back(*range(COUNT))
    last = (1, roster.step + step_after)
    killed.swarm.network.run(done=lambda: all(peer.begun[-1] >= last for peer in killed.peers))
    assert all(peer.session.previous is not None for peer in killed.peers)
    return killed


def test_those_that_come_back_are_waited_for() -> None:
    for peer in resumed().peers:
        assert peer.session.machine is not None
        assert not peer.session.machine._context.settled, "some load a state, and nobody knows how fast they are"


def test_nothing_is_owed_from_before() -> None:
    assert all(peer.session.legacy.debts == NO_DEBTS for peer in resumed(1).peers)
    assert all(peer.session.legacy.debts.known for peer in resumed(2).peers)
