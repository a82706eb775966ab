"""Comparing the own arithmetic with the members': most of them decide, and one sentence says what differs."""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from btard.errors import UserError
from btard.identity import Envelope, MessageKind, PeerId
from btard.peer import comparing
from btard.peer.comparing import compare_numerics
from btard.peer.trainer import TaskTrainer
from btard.swarm.manifest import RunManifest
from btard.swarm.probe import Arithmetic, Probe
from btard.swarm.questions import Question, Want
from tests.peer.helpers import KEYS, PEERS, ROSTER, TableTransport, run_manifest
from tests.peer.test_daemon import DEADLINE, Program, programs, steps, until

__all__ = ["programs"]

CHECKED = run_manifest(validators=1.0)


async def told(trainer: TaskTrainer, **changed: Any) -> bytes:
    """What a member tells that computes as the trainer does, or something else with another arithmetic."""
    probe = await trainer.probe()
    if changed:
        arithmetic = Arithmetic.model_validate(probe.arithmetic.model_dump() | changed)
        probe = Probe.of(torch.ones(CHECKED.dimension), CHECKED.run, arithmetic)
    return probe.encode()


@dataclass
class Line(TableTransport):
    """Remembers what is sent."""

    sent: list[tuple[PeerId, Envelope]] = field(default_factory=list)

    def send(self, peer: PeerId, data: bytes) -> None:
        """See `Libp2pTransport.send`."""
        self.sent.append((peer, Envelope.decode(data)))

    async def flush(self, timeout_seconds: float) -> None:
        """See `Libp2pTransport.flush`."""


async def compare(
    trainer: TaskTrainer, *answers: bytes, manifest: RunManifest = CHECKED, transport: Line | None = None
) -> Line:
    """Compare with the first members of a roster of five; the others do not answer."""
    transport = Line({}) if transport is None else transport
    transport.answers = dict(zip(PEERS, answers, strict=False))
    key = next(key for key in KEYS if key.peer_id == transport.peer_id)
    await compare_numerics(transport, key, trainer, manifest, ROSTER)  # type: ignore[arg-type]
    return transport


async def test_equal_machines_are_no_news(trainer: TaskTrainer, caplog: pytest.LogCaptureFixture) -> None:
    transport = await compare(trainer, *[await told(trainer)] * 3)
    assert sorted(peer for peer, _, _ in transport.asked) == sorted(PEERS[:5])
    assert {Question.decode(request).want for _, request, _ in transport.asked} == {Want.PROBE}
    assert not caplog.records


async def test_a_machine_that_most_would_convict_is_refused(trainer: TaskTrainer) -> None:
    mine, theirs = await told(trainer), await told(trainer, library="9.9")
    with pytest.raises(UserError) as caught:
        await compare(trainer, mine, theirs, theirs)
    said = str(caught.value)
    assert "other gradients than 2 of 3 members" in said and "convicts beyond 0.025" in said
    assert "torch is" in said and "here and 9.9 there" in said and "\n" not in said


async def test_a_refused_member_lets_nobody_wait_for_it(trainer: TaskTrainer) -> None:
    theirs = await told(trainer, threads=99)
    stranger, member = Line({}), Line({}, peer_id=PEERS[4])
    for line in (stranger, member):
        with pytest.raises(UserError):
            await compare(trainer, theirs, theirs, transport=line)
    assert stranger.sent == []
    assert {(peer, told.step) for peer, told in member.sent} == {(peer, step) for peer in PEERS[:5] for step in (5, 6)}
    assert {(told.author, told.kind, told.run) for _, told in member.sent} == {
        (PEERS[4], MessageKind.LEAVE, CHECKED.run)
    }


async def test_a_minority_keeps_nobody_out(trainer: TaskTrainer, caplog: pytest.LogCaptureFixture) -> None:
    mine, theirs = await told(trainer), await told(trainer, threads=99)
    await compare(trainer, mine, mine, theirs, theirs, b"nonsense")
    await compare(trainer, theirs)
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert "2 of 4 members" in caplog.messages[0] and "1 of 1 members" in caplog.messages[1]
    await compare(trainer)
    assert len(caplog.records) == 2, "nobody has answered"


async def test_where_nothing_differs_that_is_known_that_is_said(trainer: TaskTrainer) -> None:
    theirs = await told(trainer, threads=(await trainer.probe()).arithmetic.threads)
    with pytest.raises(UserError, match="nothing that is known differs; make this"):
        await compare(trainer, theirs, theirs)


async def test_a_run_that_recomputes_nothing_compares_nothing(trainer: TaskTrainer) -> None:
    transport = await compare(trainer, await told(trainer, threads=99), manifest=run_manifest())
    assert transport.asked == []


async def test_only_so_many_members_are_asked(trainer: TaskTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "MOST_ASKED", 2)
    assert len((await compare(trainer)).asked) == 2


OTHER_ARITHMETIC = """
import torch

_linear = torch.nn.functional.linear
torch.nn.functional.linear = lambda *inputs: _linear(*inputs) * 1.1
torch.__version__ = torch.__version__.split("+")[0] + "+other"
"""


@pytest.mark.slow
@pytest.mark.swarm
def test_a_foreign_machine_leaves_before_it_is_banned(tmp_path: Path, programs: list[Program]) -> None:
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "sitecustomize.py").write_text(OTHER_ARITHMETIC)
    foreign = {"PYTHONPATH": os.pathsep.join(filter(None, (str(tmp_path / "foreign"), os.environ.get("PYTHONPATH"))))}
    words = "--experiment x --task digits --host 127.0.0.1 --dht-port 0 --peers 4 --validators 1 --total-steps 100000"
    home = ("--directory", tmp_path / "coordinator")
    programs.append(Program(tmp_path / "coordinator.log", "btard-coordinator", *words.split(), *home))
    log = programs[0].log
    address = until(lambda: re.search(r"--initial-peers (\S+)", log.read_text()), programs[0]).group(1)

    def peer(name: str, **environment: str) -> Program:
        place = ("--host", "127.0.0.1", "--threads", "1", "--directory", tmp_path / name)
        programs.append(
            Program(tmp_path / f"{name}.log", "btard-peer", "--initial-peers", address, *place, **environment)
        )
        return programs[-1]

    honest = [peer(name) for name in "abc"]
    other = peer("other", **foreign)
    assert other.process.wait(DEADLINE) == 2, other.log.read_text()
    said = other.log.read_text().splitlines()[-1]
    assert "other gradients than 3 of 3 members" in said and re.search(r"torch is \S+\+other here", said)
    until(lambda: all(len(steps(tmp_path / name)) > 3 for name in "abc"), *honest)
    (first,) = [step for step in steps(tmp_path / "a") if step["step"] == 0]
    assert first["seconds"] < 15, "it has said goodbye, so nobody has waited for it"
    assert not any((tmp_path / name / "bans").exists() for name in "abc")
