"""A small swarm of real processes, scraped over HTTP: what a coordinator and a peer export is what has happened."""

from __future__ import annotations

import json
import math
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peer.test_daemon import Program, events, kill_all, until
from tests.swarm.telemetry.families import values

TOKEN = "a-token-of-some-length"
PEERS = ("a", "b")


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[list[Program]]:
    started: list[Program] = []
    yield started
    kill_all(reversed(started))


def endpoint(program: Program) -> str:
    """Where a program says that it serves metrics."""
    found = until(lambda: re.search(r"metrics (http://127\.0\.0\.1:\d+/metrics)", program.log.read_text()), program)
    return str(found[1])


def scrape(url: str, token: str | None = None) -> dict[str, float]:
    """Ask as Prometheus does."""
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return values(answer.read().decode())


@pytest.mark.slow
@pytest.mark.swarm
def test_a_swarm_is_scraped(tmp_path: Path, programs: list[Program]) -> None:
    began = time.time()
    (tmp_path / "token").write_text(TOKEN)
    words = "--experiment test --task digits --size tiny --host 127.0.0.1 --dht-port 0 --peers 2 --total-steps 100000"
    coordinator = Program(
        tmp_path / "coordinator.log",
        "btard-coordinator",
        *("--directory", tmp_path / "coordinator", *words.split(), "--metrics", ":0"),
        *("--refresh-period", "0.5", "--metrics-period", "0.5", "--checkpoint-every", "5"),
    )
    programs.append(coordinator)
    address = until(lambda: re.search(r"--initial-peers (\S+)", coordinator.log.read_text()), coordinator).group(1)
    for name in PEERS:
        guarded = ["--metrics-token-file", tmp_path / "token"] if name == "a" else []
        program = Program(
            tmp_path / f"{name}.log",
            "btard-peer",
            *("--initial-peers", address, "--host", "127.0.0.1", "--threads", "1", "--directory", tmp_path / name),
            *("--metrics", ":0", "--log-format", "json", *guarded),
        )
        programs.append(program)
    _, a, b = programs
    swarm, peer = endpoint(coordinator), endpoint(a)
    with pytest.raises(urllib.error.HTTPError, match="401"):
        scrape(peer)

    def told() -> dict[str, float] | None:
        found = scrape(swarm)
        complete = found["btard_swarm_checkpoint_step"] >= 5 and found["btard_swarm_reported_step"] >= 5
        return found if complete else None

    found = until(told, *programs)
    assert found["btard_swarm_members"] == found["btard_swarm_alive_peers"] == 2
    assert found["btard_swarm_planned_steps"] == 100000 and found["btard_swarm_banned_peers"] == 0
    assert found["btard_swarm_step"] >= 5  # read at another time than what peers report, so either may be ahead
    assert found["btard_swarm_samples_total"] >= 8 * found["btard_swarm_summarised_steps_total"] > 0
    assert began < found["btard_swarm_step_timestamp_seconds"] <= time.time()
    assert 0 < found['btard_swarm_loss{statistic="median"}'] < 10
    assert 0 < found['btard_swarm_stage_duration_seconds{stage="compute",statistic="median"}'] < 60
    assert found['btard_swarm_network_bytes{direction="sent",statistic="sum"}'] > 0
    assert found["btard_swarm_checkpoint_loss"] > 0

    found = scrape(peer, TOKEN)
    assert (found["btard_peer_member"], found["btard_peer_probation"], found["btard_peer_roster_members"]) == (1, 0, 2)
    assert found["btard_peer_steps_total"] == found["btard_peer_step_duration_seconds_count"] >= 5
    assert found["btard_peer_void_attempts_total"] == 0 and math.isfinite(found["btard_peer_loss"])
    assert min(found[f'btard_peer_network_bytes_total{{direction="{way}"}}'] for way in ("sent", "received")) > 1000
    (who,) = (name for name in found if name.startswith("btard_peer_info"))
    assert b.end() == 130
    until(lambda: any(event["event"] == "void" for event in events(tmp_path / "a")), a)
    assert until(lambda: scrape(peer, TOKEN)["btard_peer_void_attempts_total"], a) >= 1
    until(lambda: scrape(swarm)["btard_swarm_alive_peers"] == 1, coordinator)
    assert a.end() == 130 and coordinator.end() == 130

    for name in PEERS:
        lines = [json.loads(line) for line in (tmp_path / f"{name}.log").read_text().splitlines()]
        steps = [line for line in lines if re.match(r"step \d+: loss", line["message"])]
        assert len(steps) >= 5 and all(line["message"].startswith(f"step {line['step']}:") for line in steps)
        assert len({line["peer"] for line in lines}) == 1
    joined = [json.loads(line) for line in (tmp_path / "a.log").read_text().splitlines()]
    assert f'peer="{joined[0]["peer"]}"' in who
