"""Settings that contradict each other are refused in one sentence; what they mean is what they say."""

from __future__ import annotations

import math
from typing import Any

import pytest

from btard.configuration import load_settings
from btard.errors import UserError
from btard.lab.training import ExperimentSettings
from btard.lab.training.attackers.groups import AttackGroup, Times, dealt, read_groups

REFUSED = """
--attackers 3 => --attackers is 3, but no --attack says what they do
--attack nan => --attack is nan, but --attackers is 0
--attackers 11 --attack nan => --attackers is 11 of 11 workers
--declared 11 => --declared is 11 of 11 workers
--attackers 2 --attack 3*nan => --attackers is 2, which 1 groups
--attackers 2 --attack nan@begin=3 => must give times by start, stop, every, probability
--attackers 2 --attack nan@start=5,stop=5 => must stop after its start
--attackers 2 --attack @@ => must be groups such as
--attackers 2 --attack nan --attack-start 5 --attack-stop 4 => --attack-stop is 4
--nesterov --momentum 0 => --nesterov needs a --momentum above 0
--learning-rate-schedule 0.1,5:0.05 --learning-rate 0.2 => leave out --learning-rate
--learning-rate-schedule 0.1,5:0.05,5:0.01 => must have steps that rise
--learning-rate-schedule fast => must be cosine, a warm-up such as warmup:50,20000, or rates such as
--learning-rate-schedule warmup:50 => must have a warm-up shorter than all steps
--learning-rate-schedule warmup:50,50 => must have a warm-up shorter than all steps
--local-steps 2 --nesterov => --local-steps above 1 cannot be combined
--checkpoint-every 5 => --checkpoint-every needs an --output
--wandb offline => need an --output
--ban-probability 0.5 => add --bans lottery
--bans verdict => --bans verdict needs --topology btard
--topology btard => --topology btard is the whole protocol, which has no --momentum-at update
--topology btard --momentum-at worker --learning-rate-decay 0 => add --dampening 0.9
--heterogeneity skewed => must be one of iid, dirichlet, gamma, sorted
--heterogeneity dirichlet:alpha=-1 => must have alpha from
--rule nonsense => must be one of those installed
--batched perhaps => must be one of auto, on, off
"""


@pytest.mark.parametrize("row", REFUSED.strip().splitlines())
def test_contradictions_are_refused_in_one_sentence(row: str) -> None:
    words, sentence = row.split(" => ")
    with pytest.raises(UserError) as refusal:
        load_settings(ExperimentSettings, words.split(), program="btard lab run", environ={})
    assert sentence in str(refusal.value) and "\n" not in str(refusal.value)


def test_flags_environment_and_file_name_the_same_settings(tmp_path: Any) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("workers: 9\nattack:\n- 1*nan\n- little:factor=1.5,negative=true\n")
    words = ["--config", str(file), "--attackers", "3"]
    found = load_settings(ExperimentSettings, words, program="btard lab run", environ={"BTARD_MOMENTUM_AT": "worker"})
    assert (found.workers, found.f, found.momentum_at) == (9, 3, "worker")
    assert [group.attack for group in found.groups] == ["nan", "little:factor=1.5,negative=true"]


def test_groups_have_counts_attacks_and_times() -> None:
    text = "2*little:factor=1.5,negative=true@start=3,every=2 ; nan@stop=9;nan"
    groups = read_groups(text, Times(start=1))
    assert groups == [
        AttackGroup("little:factor=1.5,negative=true", 2, Times(3, None, 2)),
        AttackGroup("nan", None, Times(1, 9)),
        AttackGroup("nan", None, Times(1)),
    ]
    assert dealt(groups, 7) == [2, 3, 2]


def test_times_say_in_which_steps_a_worker_attacks() -> None:
    times = Times(start=2, stop=9, every=3)
    assert [step for step in range(12) if times.attacks(step, 0, 0)] == [2, 5, 8]
    often = [Times(probability=0.3).attacks(step, 1, worker) for step in range(200) for worker in range(5)]
    assert 240 < sum(often) < 360 and often != [
        Times(probability=0.3).attacks(step, 2, worker) for step in range(200) for worker in range(5)
    ]


def test_rates_decay_at_multiples_of_delta() -> None:
    rate = ExperimentSettings(learning_rate=1.0, learning_rate_decay=10, learning_rate_decay_delta=5).rate
    assert [rate(step) for step in (0, 4, 5, 9, 10)] == [1.0, 1.0, 1 / 1.5, 1 / 1.5, 0.5]
    assert ExperimentSettings(learning_rate=1.0, learning_rate_decay=0).rate(10**6) == 1.0


def test_rates_follow_a_list_or_a_cosine() -> None:
    rate = ExperimentSettings(learning_rate_schedule="0.1,5:0.05,8:0.01").rate
    assert [rate(step) for step in (0, 4, 5, 7, 8, 99)] == [0.1, 0.1, 0.05, 0.05, 0.01, 0.01]
    rate = ExperimentSettings(learning_rate_schedule="cosine", learning_rate=2.0, steps=10).rate
    assert (rate(0), rate(5), rate(10)) == (2.0, pytest.approx(1.0), pytest.approx(0.0, abs=1e-12))
    assert rate(1) == pytest.approx(1 + math.cos(math.pi / 10))


def test_a_warm_up_is_that_of_a_live_swarm() -> None:
    rate = ExperimentSettings(learning_rate_schedule="warmup:3,11", learning_rate=4.0).rate
    assert [rate(step) for step in (0, 2, 3, 7, 11, 99)] == [1.0, 3.0, 4.0, 2.0, 0.0, 0.0]


def test_the_digest_is_of_what_is_measured() -> None:
    plain = ExperimentSettings()
    assert plain.changed(output="x", format=["parquet"]).digest == plain.digest
    assert plain.changed(seed=1).digest != plain.digest
