"""A real swarm under everything at once that strangers and one member can send: it trains on, and takes people in."""

from __future__ import annotations

import asyncio
import json
import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from btard.swarm.manifest import RunManifest
from btard.transport.libp2p.discover import split_maddr
from tests.peer.siege import Siege
from tests.peer.test_daemon import Program, events, steps
from tests.peer.test_newcomer import eventually

HONEST = ("a", "b", "c")
RUN = "--experiment test --task digits --size tiny --dht-port 0 --peers 4 --total-steps 100000 --probation 2"


def said(program: Program, name: str) -> list[dict[str, Any]]:
    return [event for event in events(program.log.with_suffix("")) if event["event"] == name]


def page_of(program: Program, what: str) -> str | None:
    found = re.search(rf"{what} (http://127\.0\.0\.1:\d+/\S*)", program.log.read_text())
    return found and found[1]


def opened(url: str) -> int:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return int(answer.status)


@pytest.mark.slow
@pytest.mark.swarm
@pytest.mark.parametrize("attack", ["PAPER_FLOOD", "EMPTY_LISTS"])
async def test_a_besieged_swarm_trains_on(tmp_path: Path, attack: str) -> None:
    programs: list[Program] = []

    def start(name: str, program: str, *words: str, **environment: str) -> Program:
        place = ("--host", "127.0.0.1", "--directory", tmp_path / name)
        programs.append(Program(tmp_path / f"{name}.log", program, *place, *words, **environment))
        return programs[-1]

    try:
        coordinator = start("coordinator", "btard-coordinator", *RUN.split(), "--dashboard", ":0")
        (started,) = await eventually(lambda: said(coordinator, "started"), coordinator)
        address = next(maddr for maddr in started["addresses"] if "/127.0.0.1/" in maddr)
        join = ("btard-peer", "--initial-peers", address, "--threads", "1")
        members = [start(name, *join, "--metrics", ":0") for name in HONEST]
        start("liar", *join, ATTACK_TYPE=attack, ATTACK_START="4")
        await eventually(lambda: all(len(steps(tmp_path / name)) > 2 for name in HONEST), *programs)
        book = tmp_path / "coordinator" / "addresses.json"
        known = await eventually(lambda: len(found := json.loads(book.read_text())) >= 4 and found, coordinator)
        doors = list({split_maddr(maddr)[0]: maddr for maddr in [*known, address]}.values())
        pages = [page_of(coordinator, "dashboard"), *(page_of(member, "metrics") for member in members)]
        assert all(pages)
        ports = [("127.0.0.1", int(url.split(":")[2].split("/")[0])) for url in pages if url]
        manifest = RunManifest.model_validate_json((tmp_path / "coordinator" / "manifest.json").read_bytes())
        siege = Siege(tmp_path, manifest, doors, ports)
        async with siege.around():
            await eventually(lambda: siege.kinds >= 8, *members)
            began = {name: len(steps(tmp_path / name)) for name in HONEST}
            newcomer = start("d", *join)
            await eventually(lambda: len(steps(tmp_path / "d")) > 3, newcomer, *members)
            await eventually(lambda: all(len(steps(tmp_path / n)) > began[n] + 10 for n in HONEST), *members)
            for url in pages:
                assert url is not None and await asyncio.to_thread(opened, url) == 200
        honest = {str(joined["peer"]) for member in [*members, newcomer] for joined in said(member, "joined")}
        liars = {event["peer"] for member in members for event in said(member, "banned")} - honest
        for member in members:
            assert {event["peer"] for event in said(member, "banned")} <= liars
            assert not honest & {peer for event in said(member, "void") for peer, _ in event["suspended"]}
    finally:
        codes = {program.log.stem: program.end() for program in reversed(programs)}
    assert {code for name, code in codes.items() if name != "liar"} == {130}
    assert "Traceback" not in "".join(program.log.read_text() for program in programs)
