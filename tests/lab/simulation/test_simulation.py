"""Simulated swarms: repeatable, honest about what happened, and open to peers that come back or join."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from btard.cli.main import main
from btard.identity import PeerId
from btard.lab.simulation.invariants import run_checked
from btard.lab.simulation.peer import Event, LabPeer
from btard.lab.simulation.report import butterfly_bytes, report, tables
from btard.lab.simulation.settings import Rejoin, SimulateSettings, WorkloadName
from btard.lab.simulation.simulation import Simulation
from btard.round.actions import Finished


def settings(**chosen: Any) -> SimulateSettings:
    quick = {"peers": 6, "steps": 12, "task": "none", "dimension": 24, "attack": ["SIGN_FLIPPING"], "cut": []}
    return SimulateSettings.model_validate({**quick, **chosen})


def run(**chosen: Any) -> Simulation:
    simulation = Simulation(settings(**chosen))
    run_checked(simulation)
    return simulation


@pytest.mark.parametrize("task", ["none", "quadratic", "digits"])
def test_the_same_settings_give_the_same_report(task: str) -> None:
    chosen = {"task": task, "byzantine": 2, "delay": "0.01-0.4", "loss": 0.01, "seed": 5, "steps": 6}
    first, second = report(run(**chosen)), report(run(**chosen))
    for found in (first, second):
        del found["wall_seconds"]
    assert first == second
    other = report(run(**{**chosen, "seed": 6}))
    assert other["parameters"] != first["parameters"]


def test_only_attackers_are_banned_and_training_goes_on() -> None:
    simulation = run(task="digits", peers=8, byzantine=3, steps=100, validators=2, seed=3)
    found = report(simulation)
    assert found["honest_banned"] == 0 and found["steps"] == 100 and found["members"] == 5
    assert {ban["offence"] for ban in found["bans"]} == {"GRADIENT"}
    assert found["steps_until_all_out"] == max(ban["step"] for ban in found["bans"])
    assert found["loss"]["end"] < 0.5 * found["loss"]["start"]


def test_without_attackers_nothing_happens_but_steps() -> None:
    found = report(run(byzantine=0))
    assert (found["bans"], found["suspensions"], found["attempts_failed"], found["halted"]) == ([], [], 0, None)
    assert found["steps_until_all_out"] is None


def test_the_parts_that_travel_are_those_of_a_butterfly() -> None:
    simulation = run(byzantine=0, dimension=1200, validators=0)
    found = report(simulation)["bytes"]
    assert found["parts_sent"] == found["parts_received"] == butterfly_bytes(1200, 6) == found["butterfly_sent"]
    assert found["control_sent"] > 0


def test_a_peer_that_was_cut_off_returns_with_the_others_state() -> None:
    # It learns that it is out only once its own deadlines have passed: steps must not be over by then.
    simulation = run(byzantine=0, steps=45, delay="0.6", cut=["12-40:1"])
    found = report(simulation)
    assert found["honest_suspended"] >= 1 and found["admitted"] >= 1
    assert found["members"] == 6 and found["steps"] == 45


def test_nobody_comes_back_where_nobody_asks() -> None:
    simulation = run(byzantine=0, steps=45, delay="0.6", cut=["12-40:1"], rejoin=Rejoin.NONE)
    assert report(simulation)["members"] == 5


def test_newcomers_are_admitted_one_after_the_other() -> None:
    early = report(run(byzantine=0, newcomers=2, newcomers_at=2, probation=4, steps=20))
    assert (early["admitted"], early["members"]) == (1, 7)
    late = report(run(byzantine=0, newcomers=2, newcomers_at=2, probation=4, steps=26))
    assert (late["admitted"], late["members"]) == (2, 8)


class Joins:
    """The steps in which peers have come in."""

    def __init__(self) -> None:
        self.steps: dict[PeerId, int] = {}

    def happened(self, peer: LabPeer, event: Event) -> None:
        if isinstance(event, Finished) and peer.honest:
            before = peer.session.roster
            assert before is not None
            for joined in set(event.roster.members).difference(before.members):
                self.steps.setdefault(joined, event.roster.step)

    def moved(self, peer: LabPeer, result: Finished) -> None:
        """Nothing: `happened` has heard of it."""


def test_any_number_of_returning_peers_joins_at_once() -> None:
    # Three of seven are cut off; a newcomer has taken the only place for a new key before they return.
    chosen = {"peers": 7, "steps": 60, "delay": "0.6", "cut": ["6-34:3"], "newcomers": 2, "newcomers_at": 0}
    simulation, joins = Simulation(settings(byzantine=0, **chosen)), Joins()
    simulation.listeners.append(joins)
    run_checked(simulation)
    first, *back, last = sorted(joins.steps.values())
    old = {peer.peer_id for peer in simulation.peers[:7]}
    assert sorted(joins.steps[peer] for peer in joins.steps.keys() & old) == back and len(back) == 3
    assert first < back[0] and back[-1] < first + 20 <= last


def test_a_minority_that_names_strangers_keeps_nobody_out() -> None:
    attack = {"attack": ["NAME_STRANGERS"], "byzantine": 3, "peers": 7, "validators": 0}
    found = report(run(**attack, newcomers=1, newcomers_at=2, probation=4))
    assert (found["members"], found["admitted"], found["attempts_failed"]) == (8, 1, 0)


def test_sybils_of_banned_attackers_are_caught_on_probation() -> None:
    simulation = run(peers=6, byzantine=2, sybils=3, steps=80, probation=20, validators=2, seed=2)
    found = report(simulation)
    assert found["honest_banned"] == 0 and len(found["bans"]) > 2


def test_the_command_repeats_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    chosen = settings(byzantine=2, attack=["SIGN_FLIPPING", "FALSE_NORM"], cut=["1-2:1", "3.5-4:2"], delay="0-0.2")
    words = chosen.command.split()
    assert words[:2] == ["btard", "simulate"]
    assert main([*words[1:], "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["settings"] == chosen.model_dump(mode="json", exclude={"json", "output"})
    assert found["command"] == chosen.command


def test_the_evidence_of_every_ban_convinces_a_stranger(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["simulate", "--peers", "6", "--byzantine", "2", "--task", "none", "--steps", "25", "--validators", "2"]
    assert main([*words, "--dimension", "12", "--output", str(tmp_path)]) == 0
    assert "GRADIENT" in capsys.readouterr().out
    saved = json.loads((tmp_path / "report.json").read_text())
    assert len(list((tmp_path / "bans").iterdir())) == len(saved["bans"]) > 0
    if main(["verdict", str(tmp_path / "bans")]) == 2:
        pytest.skip("there is no btard verdict")
    assert "NOT PROVEN" not in capsys.readouterr().out


def test_the_table_says_what_the_report_says() -> None:
    found = report(run(byzantine=2, validators=2, steps=20))
    text = tables(found)
    assert found["parameters"] in text and "plain butterfly" in text
    assert all(ban["offence"] in text for ban in found["bans"])


def test_workloads_have_names() -> None:
    assert [str(name) for name in WorkloadName] == ["digits", "quadratic", "none"]


@pytest.mark.parametrize(
    "words, problem",
    [
        (["--delay", "soon"], "--delay is 'soon'"),
        (["--delay", "0.3-0.1"], "ascending range"),
        (["--cut", "3-4"], "is no cut such as"),
        (["--peers", "4", "--byzantine", "4"], "at least one must be honest"),
        (["--byzantine", "1", "--attack", "KINDNESS"], "KINDNESS"),
        (["--loss", "1.5"], "--loss"),
    ],
)
def test_bad_words_are_one_clear_sentence(words: list[str], problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", *words]) == 2
    told = capsys.readouterr().err
    assert problem in told and told.count("\n") == 1


def test_output_that_cannot_be_written_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    words = ["simulate", "--peers", "4", "--steps", "1", "--task", "none", "--output", str(tmp_path / "file")]
    assert main(words) == 2
    assert "give a writable --output" in capsys.readouterr().err
