"""Simulated swarms under every aggregation rule, checked after each step, and a rule of somebody else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest
import torch

from btard import plugins
from btard.aggregation import AggregationResult, CenteredClip, Rows, Rule, make_rule
from btard.aggregation.rows import check_rows
from btard.cli.main import main
from btard.configuration.rule import RULES
from btard.errors import UserError
from btard.lab.simulation.invariants import run_checked
from btard.lab.simulation.settings import SimulateSettings, WorkloadName
from btard.lab.simulation.simulation import Simulation
from btard.round.aggregates import combined, part_rule
from btard.round.evidence.evidence import Offence
from btard.round.rules import AggregationRules
from btard.round.work import rows as work
from tests.quick import quick

RECOMPUTED = ["coordinate_median", "trimmed_mean:share=0.49"]
COMPOSED = ["nnm+trimmed_mean", "bucketing:size=2+krum", "adaptive_clipping+mean"]


def simulated(**named: object) -> Simulation:
    """Return a swarm that has run under all invariants."""
    settings = SimulateSettings.model_validate({"task": WorkloadName.NONE, "dimension": 200, **named})
    simulation = Simulation(settings)
    run_checked(simulation)
    return simulation


def offences(simulation: Simulation) -> dict[int, Offence]:
    return {ban.peer.number: ban.offence for ban in simulation.chronicle.bans}


@pytest.mark.parametrize(
    "peers, validators, rule",
    quick(
        16,
        [(*swarm, rule) for swarm in [(2, 0.0), (5, 1.0), (9, 2.0)] for rule in [*RULES.names(), *COMPOSED]],
        slow=14,
    ),
)
def test_honest_swarms_run_under_every_rule(rule: str, peers: int, validators: float) -> None:
    run = simulated(rule=rule, peers=peers, steps=4, validators=validators, newcomers=1, newcomers_at=1, probation=1)
    assert run.chronicle.voided == set() and run.chronicle.finished == 3


@pytest.mark.parametrize(
    "rule, peers, liars, attack",
    quick(
        7,
        [
            (rule, peers, liars, attack)
            for attack in ("WRONG_AGGREGATE", "SELF_COVER", "SMALL_SHIFT", "NAN_AGGREGATE")
            for peers, liars in ((3, 1), (8, 3), (16, 7))
            for rule in RECOMPUTED
        ],
    ),
)
def test_all_wrong_owners_are_out_in_their_first_step(rule: str, peers: int, liars: int, attack: str) -> None:
    run = simulated(rule=rule, peers=peers, byzantine=liars, attack=[attack], steps=2, validators=0.0, seed=3)
    found = offences(run)
    assert sorted(found) == list(range(peers - liars, peers))
    assert set(found.values()) <= {Offence.WRONG_AGGREGATE, Offence.MALFORMED}
    assert {ban.step for ban in run.chronicle.bans} == {0}


@pytest.mark.parametrize("rule", RECOMPUTED)
@pytest.mark.parametrize("peers, liars", quick(1, [(8, 3), (16, 7)]))
def test_a_colluders_product_covers_no_wrong_aggregate(rule: str, peers: int, liars: int) -> None:
    run = simulated(rule=rule, peers=peers, byzantine=liars, attack=["COLLUDER_COVER"], steps=2, validators=0.0, seed=3)
    found = offences(run)
    assert set(found.values()) <= {Offence.WRONG_AGGREGATE, Offence.MALFORMED}
    assert len(found) == liars - 1, "the last one has nobody to cheat for"
    assert {ban.step for ban in run.chronicle.bans} == {0}


@pytest.mark.parametrize("rule", RECOMPUTED)
def test_what_rounding_may_do_is_no_offence(rule: str) -> None:
    run = simulated(rule=rule, peers=8, byzantine=3, attack=["WITHIN_TOLERANCE"], steps=5)
    assert run.chronicle.voided == set()


@pytest.mark.parametrize("rule", RECOMPUTED)
def test_validators_find_false_gradients_under_any_rule(rule: str) -> None:
    run = simulated(rule=rule, peers=7, byzantine=2, attack=["SIGN_FLIPPING"], steps=40, validators=2.0, seed=1)
    assert offences(run) == {5: Offence.GRADIENT, 6: Offence.GRADIENT}


@pytest.mark.parametrize("rule", ["krum", "bulyan:legacy=true", "nnm+trimmed_mean", "geometric_median"])
@pytest.mark.parametrize("attack", ["WRONG_AGGREGATE", "WITHIN_TOLERANCE"])
def test_only_wrong_owners_are_out_under_rules_of_rows(rule: str, attack: str) -> None:
    run = simulated(rule=rule, peers=8, byzantine=2, attack=[attack], steps=2, validators=0.0, seed=3)
    wrong = dict.fromkeys((6, 7), Offence.WRONG_AGGREGATE)
    assert offences(run) == ({} if attack == "WITHIN_TOLERANCE" else wrong)


MIXED = "centered_clip:tau=0.5~krum~bucketing+coordinate_median"
"""Steps whose aggregates a sum proves, and others in which auditors aggregate again."""


def test_each_step_uses_one_rule_of_a_mixture(monkeypatch: pytest.MonkeyPatch) -> None:
    used: dict[object, type[Rule]] = {}

    def aggregated(rows: Sequence[torch.Tensor], rules: AggregationRules, parts: int) -> object:
        used[rules] = type(part_rule(rules, parts))
        return combined(rows, rules, parts)

    monkeypatch.setattr(work, "combined", aggregated)
    run = simulated(rule=MIXED, peers=8, steps=12, validators=1.0, newcomers=1, newcomers_at=1, probation=1)
    assert run.chronicle.voided == set() and run.chronicle.finished == 11
    assert len(used) == 12, "one in each step, whatever peer aggregates"
    assert set(used.values()) == {CenteredClip, type(make_rule("krum")), type(make_rule("nnm+mean"))}


@pytest.mark.parametrize("attack", quick(1, ["WRONG_AGGREGATE", "SELF_COVER", "NAN_AGGREGATE"]))
def test_wrong_owners_are_out_whatever_rule_a_step_uses(attack: str) -> None:
    for start in range(4):
        run = simulated(rule=MIXED, peers=8, byzantine=2, attack=[attack], attack_start=start, steps=start + 12, seed=5)
        assert sorted(offences(run)) == [6, 7]
        assert not any(ban.peer.honest for ban in run.chronicle.bans)


def test_all_peers_draw_the_rule_of_a_step_from_r() -> None:
    rules = AggregationRules(MIXED, 1.0, 8)
    drawn = [part_rule(rules.at(step, bytes([7]) * 32), 8) for step in range(40)]
    assert drawn == [part_rule(rules.at(step, bytes([7]) * 32), 8) for step in range(40)]
    assert drawn != [part_rule(rules.at(step, bytes([8]) * 32), 8) for step in range(40)]
    clip = next(rule for rule in drawn if isinstance(rule, CenteredClip))
    assert clip.tau == 0.5, "the radius of its text, not of the run"


@dataclass(frozen=True)
class Medoid(Rule):
    """A rule of somebody else: the row that is nearest to all others."""

    least: int = 3

    def aggregate(self, rows: Rows, *, n_byzantine: int) -> AggregationResult:
        stacked = check_rows(rows).stacked.double()
        distances = (stacked[:, None] - stacked[None]).square().sum(2).sqrt().sum(1)
        return AggregationResult(stacked[int(torch.argmin(distances))].float())

    def check(self, n: int, f: int) -> str | None:
        return None if n >= self.least else f"a medoid of {n} rows is none, {self.least} are needed"


@pytest.fixture
def medoid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody's package adds a rule."""
    found = plugins._installed

    def also(group: str, path: tuple[str, ...]) -> EntryPoints:
        added = [EntryPoint("medoid", f"{__name__}:Medoid", group)] if group == RULES.group else []
        return EntryPoints([*found(group, path), *added])

    monkeypatch.setattr(plugins, "_installed", also)
    make_rule.cache_clear()


@pytest.mark.usefixtures("medoid")
def test_a_rule_of_another_package_runs_and_is_audited() -> None:
    honest = simulated(rule="medoid", peers=6, steps=3)
    assert honest.chronicle.voided == set()
    run = simulated(rule="medoid:least=2", peers=7, byzantine=3, attack=["WRONG_AGGREGATE"], steps=2)
    assert offences(run) == dict.fromkeys((4, 5, 6), Offence.WRONG_AGGREGATE)


@pytest.mark.usefixtures("medoid")
def test_a_rule_that_cannot_make_one_row_of_so_many_is_refused() -> None:
    with pytest.raises(UserError, match="2 peers cannot aggregate by medoid: a medoid of 2 rows is none"):
        Simulation(SimulateSettings.model_validate({"task": WorkloadName.NONE, "rule": "medoid", "peers": 2}))


@pytest.mark.usefixtures("medoid")
def test_a_run_stops_when_too_few_workers_are_left_for_its_rule() -> None:
    run = simulated(rule="medoid:least=5", peers=6, byzantine=2, attack=["WRONG_AGGREGATE"], steps=3, validators=0.0)
    assert run.chronicle.finished == -1
    assert {why for _, _, why in run.chronicle.stops} == {
        "no majority: 4 workers cannot aggregate: a medoid of 4 rows is none, 5 are needed"
    }


def test_auditors_make_no_sense_where_a_sum_proves_the_result() -> None:
    with pytest.raises(UserError, match="a sum proves what centered_clip gives, so nobody audits it"):
        Simulation(SimulateSettings.model_validate({"task": WorkloadName.NONE, "auditors": 2}))


def test_a_simulation_leaves_evidence_that_convinces(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "simulate --peers 6 --byzantine 2 --attack WRONG_AGGREGATE --steps 2 --task none --dimension 50"
    assert main([*words.split(), "--rule", "trimmed_mean:share=.4", "--output", str(tmp_path)]) == 0
    assert main(["verdict", str(tmp_path / "bans")]) == 0
    told = capsys.readouterr().out
    assert told.count("PROVEN") == 2 and "differs from the trimmed_mean:share=0.4 of all rows by" in told


@pytest.mark.parametrize("rule", ["medain", "trimmed_mean:share=0.7", "trimmed_mean:shear=0.1", "mean:"])
def test_a_wrong_rule_is_one_sentence_and_exit_code_2(rule: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--rule", rule, "--task", "none", "--steps", "1"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "rule" in told
