"""The same experiment by the whole protocol: attackers are banned by verdicts, and training goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from btard.errors import UserError
from tests.lab.training.helpers import experiment, files_of, run

CHOSEN: dict[str, Any] = {
    "topology": "btard",
    "rule": "centered_clip:tau=0.3",
    "workers": 7,
    "attackers": 2,
    "bans": "verdict",
    "momentum": 0.5,
    "dampening": 0.5,
    "momentum_at": "worker",
    "learning_rate_decay": 0,
    "learning_rate": 0.3,
    "validators": 2,
}


@pytest.mark.parametrize("attack", ["opposite", "labels"])
def test_verdicts_ban_the_attackers_alone(attack: str) -> None:
    made = run(**CHOSEN, attack=f"{attack}@start=2", steps=24)
    assert sorted(made.bans.worker) == [5, 6] and set(made.bans.reason) == {"GRADIENT"} and not made.bans.honest.any()
    assert made.steps.attacking[:2].sum() == 0 and made.steps.attacking.sum() > 0
    assert made.evaluations.loss.iloc[-1] < made.evaluations.loss.iloc[0]
    assert (made.steps.sent > 0).all() and not made.steps.loss.isna().any()


@pytest.mark.parametrize("knowledge", ["omniscient", "colluders"])
def test_attackers_know_what_they_are_said_to_know(knowledge: str) -> None:
    made = experiment(**CHOSEN, attack="opposite", knowledge=knowledge, steps=2).run()
    seen = made.training.colluders.gangs[0].attack.seen  # type: ignore[union-attr]
    honest, own = 5, 2
    assert all(1 <= len(each.known) <= (honest if knowledge == "omniscient" else own) for each in seen)
    assert seen[0].aggregate(seen[0].known[0]).shape == made.parameters.shape


def test_the_same_settings_give_the_same_swarm(tmp_path: Path) -> None:
    first = experiment(**CHOSEN, attack="noisy", steps=5, output=tmp_path / "first").run()
    second = experiment(**CHOSEN, attack="noisy", steps=5, output=tmp_path / "second").run()
    assert torch.equal(first.parameters, second.parameters)
    assert files_of(tmp_path / "first") == files_of(tmp_path / "second")


def test_a_swarm_cannot_be_forked() -> None:
    with pytest.raises(UserError, match="neither forked nor resumed"):
        run(**CHOSEN, attack="opposite", steps=1).fork(seed=3)
