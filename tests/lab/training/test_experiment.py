"""Experiments leave the same bytes whether they were interrupted or not, and one state grows into many."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from btard.errors import UserError
from btard.lab.training import Experiment, ExperimentSettings
from btard.lab.training.run_directory import read_manifest
from tests.lab.training.helpers import experiment, files_of, make_attack, settings

EVERYTHING: dict[str, Any] = {
    "attackers": 3,
    "attack": "1*labels@every=2;noisy@probability=0.5",
    "momentum_at": "worker",
    "bans": "lottery",
    "ban_probability": 0.1,
    "heterogeneity": "dirichlet:alpha=0.5",
    "legacy_eval": False,
    "format": ["csv", "legacy"],
    "study_past": 4,
}


def interrupted_at(step: int, made: Experiment) -> Experiment:
    """Send the signal of Ctrl-C while a step is made."""
    advance = made.training.advance

    def advancing() -> Any:
        if made.training.step == step:
            signal.raise_signal(signal.SIGINT)
        return advance()

    made.training.advance = advancing  # type: ignore[method-assign]
    return made


@pytest.mark.parametrize(
    "more", [{}, {"momentum_at": "update", "nesterov": True, "batched": "on", "legacy_eval": True}]
)
def test_a_resumed_run_leaves_the_same_bytes(tmp_path: Path, more: dict[str, Any]) -> None:
    chosen = EVERYTHING | more
    whole = experiment(**chosen, output=tmp_path / "whole").run()
    first = interrupted_at(7, experiment(**chosen, output=tmp_path / "broken")).run()
    assert first.interrupted and first.training.step == 8 and first.directory == tmp_path / "broken.pending"
    second = experiment(**chosen, output=tmp_path / "broken").run()
    assert files_of(tmp_path / "broken") == files_of(tmp_path / "whole") and len(files_of(tmp_path / "whole")) == 6
    assert torch.equal(whole.parameters, second.parameters)


def test_a_killed_run_goes_on_from_its_newest_checkpoint(tmp_path: Path) -> None:
    chosen = EVERYTHING | {"checkpoint_every": 5}
    experiment(**chosen, output=tmp_path / "whole").run()
    killed = experiment(**chosen, output=tmp_path / "broken")
    killed.run(until=8)  # its files have eight rows; its newest checkpoint is of step 5
    experiment(**chosen, output=tmp_path / "broken").run()
    assert files_of(tmp_path / "broken") == files_of(tmp_path / "whole")


def test_a_complete_run_has_its_name_and_says_so(tmp_path: Path) -> None:
    made = experiment(output=tmp_path / "run").run()
    manifest = read_manifest(tmp_path / "run")
    assert (manifest["status"], manifest["settings"], manifest["step"]) == ("complete", made.settings.digest, 12)
    assert not (tmp_path / "run.pending").exists()


def test_settings_of_a_run_can_be_read_back(tmp_path: Path) -> None:
    from btard.configuration import load_settings

    made = experiment(output=tmp_path / "run", attackers=2, attack="opposite").run()
    words = ["--config", str(tmp_path / "run" / "settings.yaml")]
    assert load_settings(ExperimentSettings, words, program="btard lab run", environ={}).digest == made.settings.digest


def test_a_failed_run_keeps_its_log_and_its_place_is_free(tmp_path: Path) -> None:
    for number in range(2):
        made = experiment(output=tmp_path / "run")
        made.training.problem.task.evaluation_batch = lambda: 1 // 0  # type: ignore[method-assign]
        with pytest.raises(ZeroDivisionError):
            made.run()
        kept = tmp_path / ("run.failed" + (".1" if number else ""))
        assert read_manifest(kept)["status"] == "failed" and "ZeroDivisionError" in (kept / "run.log").read_text()
    assert not (tmp_path / "run.pending").exists()


def test_a_place_that_is_taken_is_refused(tmp_path: Path) -> None:
    experiment(output=tmp_path / "run").run()
    with pytest.raises(UserError, match="exists"):
        experiment(output=tmp_path / "run").run()
    experiment(output=tmp_path / "other").run(until=3)
    with pytest.raises(UserError, match="other settings"):
        experiment(output=tmp_path / "other", learning_rate=0.2).run()


def test_the_same_settings_give_the_same_run() -> None:
    assert torch.equal(experiment(**EVERYTHING).run().parameters, experiment(**EVERYTHING).run().parameters)
    other = experiment(**EVERYTHING, seed=1).run()
    assert not torch.equal(experiment(**EVERYTHING).run().parameters, other.parameters)


def test_one_state_is_forked_into_many_attacks() -> None:
    base = experiment(momentum_at="worker", steps=6).run()
    before = base.parameters.clone()
    forks = [
        base.fork(attack=attack, attackers=2, seed=seed, steps=9)
        for attack in ("opposite", "labels")
        for seed in (1, 2)
    ]
    for fork in forks:
        assert torch.equal(fork.parameters, before) and fork.training.step == 6
        assert list(fork.run().steps.step) == [6, 7, 8]
    ends = [fork.parameters for fork in forks]
    assert all(not torch.equal(a, b) for i, a in enumerate(ends) for b in ends[:i])
    assert torch.equal(base.parameters, before)


def test_a_fork_that_changes_nothing_goes_on_as_its_origin() -> None:
    base = experiment(momentum_at="worker").run(until=6)
    fork = base.fork().run()
    assert torch.equal(base.run().parameters, fork.parameters)


def test_a_fork_cannot_change_what_its_state_is_made_of() -> None:
    with pytest.raises(UserError, match="cannot change workers"):
        experiment().run(until=1).fork(workers=9)
    with pytest.raises(UserError, match="all honest"):
        experiment(attackers=2, attack="opposite").run(until=1).fork(attackers=0, attack=None)


def test_checkpoints_of_other_settings_are_refused(tmp_path: Path) -> None:
    from btard.lab.training import checkpoint

    path = checkpoint.save(tmp_path, {"training": {"step": 3}}, "a")
    assert checkpoint.load(path, "a")["training"] == {"step": 3} and checkpoint.newest(tmp_path) == path
    with pytest.raises(UserError, match="other settings"):
        checkpoint.load(path, "b")
    path.write_bytes(b"torn")
    with pytest.raises(UserError, match="cannot be read"):
        checkpoint.load(path, "a")


def test_an_experiment_can_be_made_of_its_settings_alone() -> None:
    assert len(Experiment(settings(steps=1)).run().steps) == 1
    assert make_attack("poison") is not None


def test_a_run_that_diverges_is_complete_at_chance(tmp_path: Path) -> None:
    made = experiment(learning_rate=1e30, steps=40, evaluate_every=10, output=tmp_path / "run").run()
    assert made.diverged is not None and made.diverged < 40
    assert made.evaluations["step"].tolist() == [0, 10, 20, 30, 40] and len(made.steps) == made.diverged
    assert (made.evaluations["accuracy"].iloc[1:] < 0.2).all() and made.evaluations["loss"].iloc[1:].isna().all()
    manifest = read_manifest(tmp_path / "run")
    assert (manifest["status"], manifest["diverged"]) == ("complete", made.diverged)


def test_rows_that_lie_with_no_numbers_are_no_divergence() -> None:
    made = experiment(attackers=3, attack="poison", declared=0).run()
    assert made.diverged is None and made.evaluations["accuracy"].iloc[-1] > 0.2


def test_a_fork_may_exchange_the_server_for_a_butterfly() -> None:
    base = experiment(steps=6).run(until=3)
    forked = base.fork(topology="butterfly").run()
    assert torch.allclose(base.run().parameters, forked.parameters, atol=1e-6)
