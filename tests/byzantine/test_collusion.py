"""Attackers in concert: pairs of roles, almost half of the swarm, rare attacks, and mixtures of all of them."""

from __future__ import annotations

import dataclasses
import random

import pytest

from btard.behaviour import Behaviour, View
from btard.byzantine.selection import make_behaviour
from btard.byzantine.settings import BehaviourSettings, Escape
from btard.round.messages.accusations import Charge
from btard.round.messages.bodies import Phase
from btard.round.proof import verify
from btard.round.rules import VerificationRules
from btard.transport.memory import NetworkConditions
from tests.btard.round.swarm import RULES, Swarm, seeded_gradient, verdicts
from tests.byzantine.test_verdicts import CASES
from tests.quick import quick

_UNFIT = {"CRASH", "NONE"}


def mixed(
    names: dict[int, str],
    *,
    peers: int,
    steps: int,
    seed: int = 0,
    delay: tuple[float, float] = (0.01, 0.01),
    tau: float = 1.0,
    **settings: object,
) -> Swarm:
    given = {"attack_start": 1, "collude_patience": 0.0, "collude_at": "memory:mixed", "delay_steps": 2} | settings
    behaviours: dict[int, Behaviour] = {
        i: make_behaviour(BehaviourSettings.model_validate(given | {"attack_type": name}), seed=bytes([seed, i]))
        for i, name in names.items()
    }
    rules = dataclasses.replace(RULES, verification=VerificationRules(validators=2.0))
    swarm = Swarm(
        peers, steps=steps, seed=seed, behaviours=behaviours, rules=rules, conditions=NetworkConditions(delay), tau=tau
    )
    for peer in swarm.peers:
        peer.trainer.spoiled = lambda batch, parameters: -seeded_gradient(batch, parameters)
    return swarm.run()


def check_justice(swarm: Swarm) -> set[int]:
    """Assert that no honest peer is banned, that all agree, and that all evidence holds; return the banned peers."""
    swarm.check_agreement()
    banned = set()
    for peer in swarm.honest:
        for verdict in verdicts(peer):
            assert verify(verdict.evidence)
            banned.add(next(i for i, other in enumerate(swarm.peers) if other.peer_id == verdict.peer))
    assert banned <= swarm.liars, swarm.seed
    return banned


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(("COLLUDER_COVER", "COLLUDER_COVER"), id="owner and sender"),
        pytest.param(("SELF_COVER", "SHIELDING_VALIDATOR"), id="owner and validator"),
        pytest.param(("SIGN_FLIPPING", "LAZY_VALIDATOR"), id="sender and validator"),
        pytest.param(("WRONG_AGGREGATE", "PERJURY"), id="owner and judge"),
        pytest.param(("FALSE_ACCUSATION", "PERJURY"), id="accuser and judge"),
        pytest.param(("NO_REVEAL", "SIGN_FLIPPING"), id="one aborts the draw and one fears it"),
    ],
)
def test_pairs(names: tuple[str, str]) -> None:
    swarm = mixed(dict(zip((1, 4), names, strict=True)), peers=8, steps=20)
    banned = check_justice(swarm)
    guilty = {i for i, name in zip((1, 4), names, strict=True) if CASES[name].offences}
    assert guilty <= banned
    assert all(len(peer.finished()) == 20 for peer in swarm.honest)


@pytest.mark.slow
@pytest.mark.parametrize("escape", [Escape.GOODBYE, Escape.SILENCE])
def test_seven_of_sixteen_that_leave_when_drawn_are_banned(escape: Escape) -> None:
    swarm = mixed(dict.fromkeys(range(7), "DRAWN_AND_GONE"), peers=16, steps=60, escape=escape)
    assert check_justice(swarm) == swarm.liars
    check_nobody_honest_is_out(swarm)


@pytest.mark.parametrize(
    "other", quick(2, ["SHIELDING_VALIDATOR", "PERJURY", "NO_REVEAL", "FALSE_ELIMINATE", "HALF_SILENCE"])
)
def test_no_company_helps_those_that_leave_when_they_are_drawn(other: str) -> None:
    swarm = mixed({1: "DRAWN_AND_GONE", 4: "DRAWN_AND_GONE", 6: other}, peers=8, steps=20)
    assert {1, 4} <= check_justice(swarm)
    check_nobody_honest_is_out(swarm)


@pytest.mark.slow
def test_seven_of_sixteen_that_shield_each_other_are_all_banned() -> None:
    swarm = mixed(dict.fromkeys(range(7), "SHIELDING_VALIDATOR"), peers=16, steps=70)
    assert check_justice(swarm) == swarm.liars
    assert all(len(peer.finished()) == 70 for peer in swarm.honest)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["none", "quiet"])
def test_seven_of_sixteen_that_validate_nothing_are_all_banned(kind: str) -> None:
    """But the last ones only once an honest peer is their target."""
    late = (0.01, 1.5) if kind == "quiet" else (0.01, 0.01)
    swarm = mixed(dict.fromkeys(range(7), "LAZY_VALIDATOR"), peers=16, steps=70, delay=late)
    assert check_justice(swarm) == swarm.liars
    assert all(len(peer.finished()) == 70 for peer in swarm.honest)


def test_idle_validators_among_other_liars_are_banned() -> None:
    names = {1: "LAZY_VALIDATOR", 2: "SHIELDING_VALIDATOR", 4: "LAZY_VALIDATOR", 6: "PERJURY"}
    swarm = mixed(names, peers=10, steps=40)
    assert check_justice(swarm) == {1, 2, 4}
    assert all(len(peer.finished()) == 40 for peer in swarm.honest)


def test_an_idle_validator_is_spared_by_colluders() -> None:
    """Only its target knows what it should have opened."""

    class Patron(Behaviour):
        def charge(self, step: int, phase: Phase, honest: Charge | None, view: View) -> Charge | None:
            return None if phase is Phase.COMMIT else honest

    rules = dataclasses.replace(RULES, verification=VerificationRules(validators=1.0))
    idle = make_behaviour(BehaviourSettings(attack_type="LAZY_VALIDATOR", attack_start=1), seed=b"\x01")
    swarm = Swarm(4, steps=16, behaviours={0: idle, 1: Patron(), 2: Patron(), 3: Patron()}, rules=rules)
    for peer in swarm.peers:
        peer.begin(swarm.genesis)
    swarm.network.run(done=lambda: all(len(peer.finished()) == 16 for peer in swarm.peers))
    assert all(len(peer.finished()) == 16 and not verdicts(peer) for peer in swarm.peers)


@pytest.mark.parametrize("name", quick(1, ["SIGN_FLIPPING", "SELF_COVER", "FALSE_PRODUCT"]))
def test_rare_attacks_are_caught_too(name: str) -> None:
    swarm = mixed({1: name, 4: name}, peers=8, steps=30, attack_every=3)
    assert check_justice(swarm)
    assert all(len(peer.finished()) == 30 for peer in swarm.honest)


@pytest.mark.parametrize("seed", quick(4, range(12)))
def test_any_mixture_gets_justice(seed: int) -> None:
    draw = random.Random(seed)
    peers = draw.choice([8, 9, 10])
    liars = draw.sample(range(peers), draw.choice([1, 2, 3]))
    names = {i: draw.choice(sorted(CASES.keys() - _UNFIT)) for i in liars}
    delay = draw.choice([0.3, 5.0, 9.9, 19.9, 25.0, 44.0])
    check_justice(mixed(names, peers=peers, steps=6, seed=seed, attack_delay=delay))


_DISPUTES = ("FALSE_ELIMINATE", "HALF_SILENCE", "REFUSE_PART")
_QUIET = ("WITHHOLD_PART", "WITHHOLD_AGGREGATE", "CORRUPTED_PART", "AGGREGATE_TWO_FACED", "LATE_COMMIT", "LATE_REVEAL")


def check_nobody_honest_is_out(swarm: Swarm) -> None:
    """Assert that all honest peers do all steps, whatever becomes of the others."""
    check_justice(swarm)
    stopped = [peer.stopped for peer in swarm.honest if len(peer.finished()) != peer.last_step + 1]
    assert not stopped, (swarm.seed, stopped)


@pytest.mark.parametrize("name", quick(1, _DISPUTES))
def test_a_quarter_of_the_roster_cannot_stop_a_run(name: str) -> None:
    for seed in range(8):
        check_nobody_honest_is_out(mixed({1: name, 4: name}, peers=8, steps=3, seed=seed))


@pytest.mark.parametrize("name", quick(1, _DISPUTES))
@pytest.mark.parametrize(
    "peers, liars, seeds", [(8, (1, 4, 6), 8), (16, tuple(range(7)), 2)], ids=["3 of 8", "7 of 16"]
)
def test_almost_half_of_the_roster_takes_no_honest_peer_along(
    name: str, peers: int, liars: tuple[int, ...], seeds: int
) -> None:
    for seed in range(seeds):
        check_nobody_honest_is_out(mixed(dict.fromkeys(liars, name), peers=peers, steps=3, seed=seed))


@pytest.mark.parametrize("seed", quick(3, range(8)))
def test_no_mix_of_silence_and_complaints_removes_an_honest_peer(seed: int) -> None:
    draw = random.Random(seed)
    peers = draw.choice([7, 8, 9, 11])
    liars = draw.sample(range(peers), (peers - 1) // 2)
    names = {i: draw.choice([*_DISPUTES, *_QUIET, "NO_REVEAL", "SILENCE"]) for i in liars}
    delay = draw.choice([(0.01, 0.01), (0.001, 1.0)])
    late = draw.choice([0.3, 5.0, 9.9, 19.9, 25.0, 44.0])
    check_nobody_honest_is_out(mixed(names, peers=peers, steps=3, seed=seed, delay=delay, attack_delay=late))


def test_two_reports_of_one_liar_do_not_split_the_honest_ones() -> None:
    for seed in (4, 14, 15):
        swarm = mixed({2: "EQUIVOCATE_REPORT"}, peers=8, steps=3, seed=seed)
        check_justice(swarm)
        assert all(len(peer.finished()) == 3 for peer in swarm.honest)


@pytest.mark.parametrize("seed", quick(3, range(10)))
def test_an_honest_owner_slow_to_measure_is_not_banned(seed: int) -> None:
    check_justice(mixed({1: "FALSE_PRODUCT"}, peers=8, steps=4, seed=seed, delay=(0.001, 1.0)))


@pytest.mark.parametrize("peers, tau", [(8, 0.02), (8, 1.0), (8, 1e3), (16, 1e3)])
def test_tolerated_lies_of_almost_half_cost_no_owner_its_place(peers: int, tau: float) -> None:
    liars = range(1, peers - 1, 2)
    swarm = mixed(dict.fromkeys(liars, "TOLERATED_LIES"), peers=peers, steps=3, tau=tau)
    assert check_justice(swarm) == swarm.liars
    assert all(len(peer.finished()) == 3 for peer in swarm.honest)
