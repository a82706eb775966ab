"""Attackers attack when they are told to, and bans make them leave or turn honest."""

from __future__ import annotations

import pytest
import torch

from btard.lab.training.attackers.crew import Crew
from tests.lab.training.helpers import experiment, make_attack, run, settings


def test_attackers_are_honest_before_their_start() -> None:
    calm, attacked = run(steps=6), run(steps=6, attackers=2, attack="opposite", attack_start=4, declared=0)
    assert list(attacked.steps.attacking) == [0, 0, 0, 0, 2, 2]
    # From step 4 on the loss is that of the five honest workers alone.
    assert list(calm.steps.loss[:4]) == list(attacked.steps.loss[:4])
    assert not torch.equal(calm.parameters, attacked.parameters)


def test_mixed_attackers_keep_their_own_times() -> None:
    made = run(
        workers=9, attackers=4, attack="1*labels@every=3;opposite@start=5;poison@stop=2", rule="coordinate_median"
    )
    # Labels has one worker, opposite two, poison one.
    assert list(made.steps.attacking[:8]) == [2, 1, 0, 1, 0, 2, 3, 2]
    assert list(made.steps.left_out[:3]) == [1, 1, 0]


def test_spoiled_labels_change_the_attackers_rows_alone() -> None:
    plain = run(steps=1, attackers=2, attack="opposite", knowledge="colluders", momentum_at="worker")
    spoiled = run(steps=1, attackers=2, attack="labels", momentum_at="worker")
    rows, lies = plain.training.state()["rows"], spoiled.training.state()["rows"]
    assert torch.equal(rows[:5], lies[:5]) and not torch.allclose(rows[5:], lies[5:])


@pytest.mark.parametrize("banned", ["leaves", "turns-honest"])
def test_banned_attackers_attack_no_more(banned: str) -> None:
    made = run(attackers=3, attack="opposite", bans="lottery", banned=banned, ban_probability=0.3, steps=30)
    bans = made.bans
    assert len(bans) == 3 and set(bans.reason) == {"lottery"} and set(bans.worker) == {4, 5, 6}
    for step in range(30):
        left = 3 - int((bans.step < step).sum())
        assert made.steps.attacking[step] == left
        assert made.steps.members[step] == (4 + left if banned == "leaves" else 7)


def test_the_lottery_has_the_published_probability() -> None:
    caught = 0
    for seed in range(400):
        crew = Crew(settings(workers=6, attackers=2, attack="opposite", bans="lottery", seed=seed), make_attack)
        for step in range(10):
            crew.decide(step)
            caught += len(crew.draw_bans(step))
            crew.banned.clear()
    published = (1 / 6) * (6 - 2) / 6
    assert abs(caught / 8000 - published) < 4 * (published * (1 - published) / 8000) ** 0.5


def test_always_attacking_workers_compute_nothing() -> None:
    assert len(experiment(attackers=2, attack="opposite").training.state()["rows"]) == 5
    assert len(experiment(attackers=2, attack="opposite@every=2").training.state()["rows"]) == 7


def test_a_rule_that_cannot_be_followed_is_refused() -> None:
    from btard.errors import UserError

    with pytest.raises(UserError, match="trimmed mean"):
        experiment(attackers=3, attack="opposite", declared=4, rule="trimmed_mean")


def test_a_butterfly_aggregates_every_part_by_itself() -> None:
    chosen = {"attackers": 2, "attack": "opposite", "steps": 1, "momentum": 0.0, "learning_rate_decay": 0}
    whole = run(**chosen, rule="coordinate_median")
    parts = run(**chosen, rule="coordinate_median", topology="butterfly")
    assert torch.equal(whole.parameters, parts.parameters)
    clip = "centered_clip:tau=0.05"
    assert not torch.equal(
        run(**chosen, rule=clip).parameters, run(**chosen, rule=clip, topology="butterfly").parameters
    )
    assert parts.steps.sent[0] == pytest.approx(2 * 4 * len(parts.parameters) * 6 / 7)


def test_a_rule_that_draws_draws_anew_in_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    made, asked = experiment(steps=3), []
    rule = made.training.combiner.rule

    def at(self: object, step: int, seed: int) -> object:
        asked.append((step, seed))
        return rule

    monkeypatch.setattr(type(rule), "at", at, raising=False)
    made.run()
    assert asked == [(0, 0), (1, 0), (2, 0)]
