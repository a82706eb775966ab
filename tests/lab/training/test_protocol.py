"""The same experiment by the whole protocol: attackers are banned by verdicts, and training goes on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from btard.errors import UserError
from btard.lab.simulation.peer import Event, LabPeer
from btard.round.actions import Finished
from btard.tasks.digits import DigitsTask
from btard.tasks.lamb import build_lamb
from btard.vectors.partition import from_wire
from btard.vocabulary import WireType
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


@dataclass
class Aggregates:
    """Keeps what a swarm has agreed on."""

    wire: WireType
    agreed: dict[int, torch.Tensor] = field(default_factory=dict)

    def happened(self, peer: LabPeer, event: Event) -> None:
        """See `Listener`."""

    def moved(self, peer: LabPeer, result: Finished) -> None:
        self.agreed[result.step] = from_wire(result.flat, self.wire).clone()


@pytest.mark.parametrize("name", ["sgd", "adam", "lamb"])
def test_every_peer_moves_as_the_optimizer_does(name: str) -> None:
    chosen = {**CHOSEN, "learning_rate": 0.01, "learning_rate_schedule": "warmup:2,9", "optimizer": name}
    made = experiment(**chosen, attack="labels@start=2", steps=6)
    swarm = made.training.simulation  # type: ignore[union-attr]
    heard = Aggregates(swarm.rules.wire)
    swarm.listeners.append(heard)
    model = DigitsTask().build_model(made.settings.seed)
    made.run()
    optimizer = {
        "sgd": lambda: torch.optim.SGD(model.parameters(), lr=1.0),
        "adam": lambda: torch.optim.Adam(model.parameters(), lr=1.0),
        "lamb": lambda: build_lamb(model, 1.0),
    }[name]()
    for step in range(6):
        for group in optimizer.param_groups:
            group["lr"] = made.settings.rate(step)
        weights = list(model.parameters())
        for weight, piece in zip(weights, heard.agreed[step].split([w.numel() for w in weights]), strict=True):
            weight.grad = piece.view_as(weight)
        optimizer.step()
    expected = torch.nn.utils.parameters_to_vector(model.parameters()).detach()
    torch.testing.assert_close(made.parameters, expected, rtol=0, atol=1e-7)
    assert all(torch.equal(peer.parameters, made.parameters) for peer in swarm.honest)


def test_penalties_clips_and_decay_are_those_of_other_shapes() -> None:
    shared = {"steps": 1, "momentum": 0, "workers": 4, "learning_rate": 0.1, "rule": "mean"}
    extra = {"weight_decay": 0.5, "l1": 1e-3, "l2": 0.3, "gradient_clip": 0.2}
    protocol = {"topology": "btard", "momentum_at": "worker", "validators": 0}
    made = experiment(**shared, **extra, **protocol)
    start = made.parameters.clone()
    gradients = made.training.simulation.workload.gradient  # type: ignore[union-attr]
    seeds = [made.training.simulation.genesis.batch_seed(p.peer_id) for p in made.training.simulation.peers]  # type: ignore[union-attr]
    rows = torch.stack([gradients(seed, start) for seed in seeds])
    torch.testing.assert_close(rows.norm(dim=1), torch.full((4,), 0.2))
    plain = experiment(**shared, **protocol)
    raw = plain.training.simulation.workload.gradient(seeds[0], start)  # type: ignore[union-attr]
    raw = raw + 1e-3 * start.sign() + 0.3 * start / start.norm()
    torch.testing.assert_close(rows[0], 0.2 * raw / raw.norm())
    made.run()
    torch.testing.assert_close(made.parameters, start - 0.1 * (rows.mean(0) + 0.5 * start))


@pytest.mark.parametrize(
    ("attack", "chosen"),
    [
        ("noisy@start=2,every=2", {"optimizer": "lamb", "learning_rate": 0.05}),
        ("labels", {"rule": "coordinate_median"}),
    ],
)
def test_a_resumed_swarm_leaves_the_bytes_of_an_unbroken_one(
    attack: str, chosen: dict[str, Any], tmp_path: Path
) -> None:
    made = {**CHOSEN, **chosen, "attack": attack, "evaluate_every": 3, "steps": 9}
    run(**made, output=tmp_path / "whole")
    for until in (2, 5, 6):
        broken = experiment(**made, output=tmp_path / "broken").run(until=until)
        broken._save()
    found = run(**made, output=tmp_path / "broken")
    assert files_of(tmp_path / "broken") == files_of(tmp_path / "whole") and len(found.bans)


def test_one_state_of_a_swarm_grows_into_many_attacks() -> None:
    honest = {**CHOSEN, "attackers": 0, "bans": "off"}
    base = experiment(**honest, steps=4).run()
    whole = run(**honest, steps=8).parameters
    assert all(torch.equal(base.fork(steps=8).run().parameters, whole) for _ in range(2))
    lying = {"attackers": 2, "steps": 20, "bans": "verdict"}
    forks = [base.fork(attack=attack, seed=seed, **lying).run() for attack in ("opposite", "labels") for seed in (0, 1)]
    for fork in forks:
        assert sorted(fork.bans.worker) == [5, 6] and not fork.bans.honest.any()
        assert fork.steps.step.iloc[0] == 4 and fork.bans.step.min() >= 4
    assert len({tuple(fork.parameters[:9].tolist()) for fork in forks}) == 4


@pytest.mark.parametrize("change", [{"rule": "mean"}, {"gradient_clip": 1.0}, {"topology": "butterfly", "bans": "off"}])
def test_a_fork_of_a_swarm_keeps_its_rules(change: dict[str, Any]) -> None:
    base = run(**CHOSEN, attack="opposite", steps=1)
    with pytest.raises(UserError, match=f"a fork cannot change {next(iter(change))}"):
        base.fork(**change)
