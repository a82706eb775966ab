"""What is made of the events of a run: status, table, summary, figures."""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from btard.deploy.local.figure import Curve, draw_comparison, draw_run
from btard.deploy.local.live_table import LiveView, duration, header, table
from btard.deploy.local.plan import make_plan
from btard.deploy.local.status import PeerState, RunStatus
from btard.deploy.local.summary import Summary, summarise
from tests.deploy.recorded import BANS, START, STEPS, loss_of, recorded_run, settings
from tests.swarm.events.lines import peer_line


def test_a_finished_run_is_read_as_it_was(tmp_path: Path) -> None:
    _, status = recorded_run(tmp_path)
    assert status.step == STEPS - 1
    assert status.loss == pytest.approx(loss_of(STEPS - 1))
    assert status.attack_start == START
    assert {name: ban.step for name, ban in status.bans.items()} == BANS
    assert {ban.reason for ban in status.bans.values()} == {"lottery"}
    assert status.peers["peer-6"].state is PeerState.BANNED and status.peers["peer-6"].since == 31
    assert all(status.peers[f"peer-{number}"].state is PeerState.FINISHED for number in range(5))
    assert status.step_seconds == 0.5
    assert status.seconds_left == 0.0
    assert [status.steps[step].members for step in (0, 27, 28, 59)] == [8, 8, 7, 5]
    assert status.evaluations[0].loss == 2.5


def test_the_status_follows_a_running_swarm(tmp_path: Path) -> None:
    plan = make_plan(settings(tmp_path, peers=3, byzantine=1, steps=100))
    status = RunStatus(plan.peers, plan.coordinator, 100)
    assert (status.step, status.loss, status.alive, status.seconds_left) == (None, None, 0, None)

    def happen(name: str, time: float, **line: Any) -> None:
        with (tmp_path / name / "events.jsonl").open("a") as file:
            file.write(json.dumps({**peer_line(**line), "time": time}) + "\n")
        status.refresh()

    step = {"event": "step", "seconds": 2.0, "members": 3, "attempt": 0}
    for name in status.peers:
        happen(name, 0.0, event="joined", step=0)
    assert status.alive == 3
    happen("peer-2", 1.0, **step, step=0, loss=100.0, attacks=False)
    assert status.loss is None, "a Byzantine peer's word counts for nothing"
    happen("peer-0", 1.0, **step, step=0, loss=4.0, attacks=False)
    happen("peer-1", 1.0, **step, step=0, loss=5.0, attacks=False)
    assert status.loss == 4.5
    happen("peer-0", 3.0, **step, step=1, loss=None, attacks=False)
    assert status.loss == 4.5
    assert status.seconds_left == pytest.approx(2.0 * 98)
    happen("peer-2", 3.0, **step, step=1, loss=1.0, attacks=True)
    assert status.peers["peer-2"].state is PeerState.ATTACKING
    who = str(plan.peers[1].peer_id)
    void = {"event": "void", "step": 2, "attempt": 0, "banned": [], "left": [], "suspended": [[who, "no commitment"]]}
    happen("peer-0", 4.0, **void)
    happen("peer-2", 4.0, **void)
    assert status.peers["peer-1"].state is PeerState.SUSPENDED
    assert status.suspensions == 1, "two peers told of the same one"
    happen("peer-1", 5.0, event="joined", step=3)
    assert status.peers["peer-1"].state is PeerState.TRAINING
    liar = str(plan.peers[2].peer_id)
    happen("peer-0", 6.0, event="banned", peer=liar, step=3, reason="equivocation")
    happen("peer-1", 6.0, event="banned", peer=liar, step=3, reason="equivocation")
    happen("peer-2", 6.0, event="banned", peer=liar, step=2, reason="lottery")
    assert status.bans["peer-2"].step == status.peers["peer-2"].since == 2, "the earliest step counts"
    status.ended("peer-2", 3)
    assert status.peers["peer-2"].state is PeerState.BANNED and status.alive == 2 and len(status.bans) == 1
    status.ended("peer-0", -9)
    assert status.peers["peer-0"].state is PeerState.FAILED and status.alive == 1
    with (tmp_path / "peer-1" / "events.jsonl").open("a") as file:
        file.write('{"time": 7.0, "event": "something new", "step": "not a number"}\n')
    status.refresh()


def test_table_and_header_tell_the_run(tmp_path: Path) -> None:
    _, status = recorded_run(tmp_path)
    out = io.StringIO()
    Console(file=out, width=120).print(table(status, "recorded: gpt"))
    text = out.getvalue()
    assert "step 120/120 · loss" in text and "0.50 s a step" in text and "0 of 8 peers alive" in text
    assert "banned at step 31 (lottery)" in text and "SIGN_FLIPPING" in text
    assert len(text.splitlines()) == 3 + 8


def test_without_a_terminal_plain_lines_are_printed(tmp_path: Path) -> None:
    _, status = recorded_run(tmp_path)
    out = io.StringIO()
    with LiveView(status, "recorded", Console(file=out, width=80)) as view:
        view.update()
        view.update()
    lines = out.getvalue().splitlines()
    assert lines.count("peer-6 is banned at step 31: lottery") == 1
    assert lines[-1] == header(status)
    assert "\x1b" not in out.getvalue()


def test_in_a_terminal_the_last_table_stays(tmp_path: Path) -> None:
    _, status = recorded_run(tmp_path)
    out = io.StringIO()
    with LiveView(status, "recorded", Console(file=out, width=120, force_terminal=True)) as view:
        view.update()
    assert "peer-7" in out.getvalue().splitlines()[-1] and "banned at step 58" in out.getvalue().splitlines()[-1]


def test_the_summary_is_a_sentence_and_a_file(tmp_path: Path) -> None:
    plan, status = recorded_run(tmp_path)
    summary = summarise(status, plan.settings, 185.0)
    assert summary.sentence == (
        "recorded: 8 peers, 3 of them SIGN_FLIPPING from step 20, trained gpt tiny with centered_clip for 120 steps in "
        f"3 min 05 s, 0.50 s a step; the loss went from {summary.first_loss:.4f} to {summary.final_loss:.4f} "
        "(2.5000 on held-out data); every attacker was banned, at steps 27, 31 and 58 and no honest peer was banned."
    )
    assert Summary.model_validate_json(summary.save(tmp_path).read_text()) == summary
    assert summary.survivors == 5 and [ban.peer for ban in summary.bans] == ["peer-5", "peer-6", "peer-7"]


def test_the_summary_does_not_hide_a_wronged_peer(tmp_path: Path) -> None:
    plan, status = recorded_run(tmp_path, bans={"peer-0": 9})
    sentence = summarise(status, plan.settings, 59.6).sentence
    assert "no attacker was banned and 1 honest peer was banned, at step 9" in sentence


def test_figures_are_written_as_svg_and_png(tmp_path: Path) -> None:
    _, status = recorded_run(tmp_path / "a")
    curve = Curve.of(status, "recorded")
    svg, png = draw_run(curve, tmp_path, subtitle="eight peers")
    words = " ".join(xml.etree.ElementTree.parse(svg).getroot().itertext())
    assert png.read_bytes().startswith(b"\x89PNG")
    for text in ("training step", "training loss (nats)", "peers (count)", "the attack starts", "peer-6 banned"):
        assert text in words or text in svg.read_text()
    _, explosion = recorded_run(tmp_path / "b", bans={}, explodes=True)
    curves = [curve.renamed("with BTARD"), Curve.of(explosion, "with plain averaging")]
    svg, png = draw_comparison(curves, tmp_path, title="two runs")
    assert "off the scale, up to" in svg.read_text()
    assert "with plain averaging" in svg.read_text()


def test_a_run_without_a_step_can_be_summed_up_and_drawn(tmp_path: Path) -> None:
    plan = make_plan(settings(tmp_path))
    status = RunStatus(plan.peers, plan.coordinator, STEPS)
    summary = summarise(status, plan.settings, 1.0)
    assert summary.steps == 0 and summary.final_loss is None and "went from - to -" in summary.sentence
    draw_run(Curve.of(status, "empty"), tmp_path, subtitle="")


def test_durations_are_words() -> None:
    assert [duration(seconds) for seconds in (0.4, 59.4, 59.6, 185)] == ["0 s", "59 s", "1 min 00 s", "3 min 05 s"]
