"""The study of activation compression: its codecs, its links, and training through them."""

from __future__ import annotations

from pathlib import Path

import pytest

from btard.lab.reproductions.reproduction import Judgement
from btard.lab.reproductions.settings import Scale
from btard.lab.reproductions.staged import ac_sgd
from btard.lab.reproductions.staged.codec_figures import (
    COMPRESSED,
    RAW,
    error_frame,
    published_step,
    published_work,
    throughput_frame,
    visits_frame,
)
from btard.lab.reproductions.staged.codec_run import BoundaryCodecs, CodecRun
from btard.lab.reproductions.staged.origin import TrainedOrigin
from btard.lab.reproductions.staged.run import StagedResult
from btard.pipeline.measures.timeline import simulate_step

ORIGIN = TrainedOrigin(steps=1)


def run_with(codecs: BoundaryCodecs, seed: int = 1) -> CodecRun:
    return CodecRun(
        seed=seed,
        origin=ORIGIN,
        codecs=codecs,
        samples=8,
        epochs=3,
        micro_batches=2,
        micro_batch_size=2,
        learning_rate=1e-3,
        split="3-3",
    )


@pytest.mark.parametrize("scale", Scale)
def test_the_codec_study_plans_its_runs(scale: Scale) -> None:
    runs = ac_sgd.AcSgd().runs(scale, "builtin")
    assert len({run.file for run in runs}) == len(runs) == len({run.name for run in runs})
    assert all(sentence.endswith(".") for sentence in ac_sgd.AcSgd().scaled_down(scale))


def test_a_slow_link_costs_little_with_codecs_and_much_without() -> None:
    links = throughput_frame()
    plain = simulate_step(published_step(RAW, "10gbit", published_work()))
    assert 32 / plain.seconds == pytest.approx(3.8)
    assert [trend.verdict for trend in ac_sgd.link_trends(links)] == [Judgement.SHOWN] * 4
    worse = links.assign(sequences=links["sequences"].where(links["link"] != "100mbit", 1.0))
    assert ac_sgd.link_trends(worse)[0].verdict is Judgement.NOT_SHOWN


def test_codecs_have_the_known_errors_and_sizes() -> None:
    errors, visits = error_frame(), visits_frame()
    assert [trend.verdict for trend in ac_sgd.codec_trends(errors, visits)] == [Judgement.SHOWN] * 2
    nearest = errors.set_index("bits")["symmetric, nearest"]
    assert (nearest.diff().dropna() < 0).all() and nearest[8] < 0.01
    assert ac_sgd.codec_trends(errors, visits.assign(error=0.1))[1].verdict is Judgement.NOT_SHOWN


def test_training_is_judged_from_the_second_epoch_on() -> None:
    direct = ac_sgd.CODECS[ac_sgd.DIRECT]

    def results(delta: list[float]) -> list[StagedResult]:
        losses = {RAW: [3.0, 2.0, 1.0], direct: [3.0, 2.2, 1.2], COMPRESSED: delta}
        return [
            StagedResult(run_with(codecs, seed), {"losses": found, "sent_bytes": 1})
            for codecs, found in losses.items()
            for seed in (1, 2)
        ]

    near, worse = ac_sgd.loss_trends(ac_sgd.loss_frame(results([9.0, 2.01, 1.0])), decides=True)
    assert near.verdict is worse.verdict is Judgement.SHOWN
    far, _ = ac_sgd.loss_trends(ac_sgd.loss_frame(results([3.0, 2.03, 1.0])), decides=True)
    assert far.verdict is Judgement.NOT_SHOWN


def test_a_training_through_codecs_sends_less_and_learns(tmp_path: Path) -> None:
    raw = run_with(RAW).carry_out(tmp_path)
    found = run_with(COMPRESSED).carry_out(tmp_path)
    assert found["losses"][0] == pytest.approx(raw["losses"][0], rel=1e-2)  # the first epoch is raw, in float16
    assert raw["losses"][0] > raw["losses"][2] and found["losses"][0] > found["losses"][2]
    assert found["sent_bytes"] < 0.8 * raw["sent_bytes"]
    assert found == run_with(COMPRESSED).carry_out(tmp_path)
    assert len(list((tmp_path / "origins").iterdir())) == 1  # trained once
