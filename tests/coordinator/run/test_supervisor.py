"""A whole run as the coordinator sees it, with a swarm in memory; and which peers get the state of a resumed one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from btard.behaviour import LeaveReason
from btard.coordinator.manifest_maker import PreparedRun, prepare_run
from btard.coordinator.network.serving import InitialState, sign_manifest
from btard.coordinator.run import checkpoints, welcome
from btard.coordinator.run import follower as following
from btard.coordinator.run import supervisor as module
from btard.coordinator.run.supervisor import Supervisor
from btard.coordinator.run_directory import RunDirectory
from btard.coordinator.telemetry.meter import SwarmMeter
from btard.identity import Envelope, MessageKind, PeerId
from btard.round.evidence.evidence import Evidence, Offence, Scene
from btard.round.evidence.file import to_json
from btard.round.messages.bodies import Leave
from btard.swarm.door.reception import Reception
from btard.swarm.questions import Directory, Question, Reply, Want
from btard.swarm.records.record import RosterRecord
from btard.vocabulary import ExitCode
from tests.coordinator.conftest import Log
from tests.coordinator.swarm import MADDR, MemoryNetwork, head, identity, ids, knock, metrics, roster, settings, until

KEY = identity(0)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(welcome, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(module, "_END_POLL_SECONDS", 0.01)


@pytest.fixture
def run(tmp_path: Path) -> PreparedRun:
    return prepare_run(settings(tmp_path / "run", checkpoint_every=10), RunDirectory(tmp_path / "run"))


@pytest.fixture
def network(run: PreparedRun) -> MemoryNetwork:
    return MemoryNetwork(run.manifest)


def supervise(
    run: PreparedRun,
    network: MemoryNetwork,
    directory: RunDirectory,
    log: Log,
    *,
    reception: Reception | None = None,
    initial: InitialState | None = None,
) -> Supervisor:
    meter = SwarmMeter(CollectorRegistry(), run.manifest)
    opened = reception or Reception(sign_manifest(KEY, run.manifest))
    state = initial or InitialState(0, None)
    return Supervisor(run, network, KEY, directory, log, state, opened, refresh_seconds=0.02, meter=meter)


async def ask(reception: Reception, number: int, want: Want) -> bytes | None:
    return await reception.answer(identity(number).peer_id, Question(want=want))


async def knock_at(reception: Reception, run: PreparedRun, number: int) -> Reply:
    """Knock once."""
    peer = identity(number).peer_id
    said = knock(run.manifest, maddrs=[f"{MADDR}/p2p/{peer}"])
    return Reply.decode(await reception.answer(peer, Question(want=Want.KNOCK, knock=said)) or b"")


def announced(network: MemoryNetwork) -> RosterRecord | None:
    envelopes = network.records.get(MessageKind.GENESIS, {})
    return RosterRecord.read(envelopes[KEY.peer_id], network.run.run, MessageKind.GENESIS) if envelopes else None


async def finish_run(run: PreparedRun, network: MemoryNetwork, banned: Iterable[int] = ()) -> None:
    """Let the two peers come to the end, and go when they are told."""
    total = run.manifest.total_steps
    for number in (1, 2):
        network.report(number, *(metrics(step) for step in range(total)))
    network.stand(head(roster(total, 1, 2, banned=banned), run.state.digest()), 1, 2)
    for step in (10, total):
        network.keep(step, run.state.digest(), run.state.state_bytes(), 1, 2)
    await until(lambda: (record := announced(network)) is not None and record.finished)
    network.standing.clear()


async def test_from_welcome_to_farewell(
    run: PreparedRun, network: MemoryNetwork, directory: RunDirectory, log: Log
) -> None:
    reception = Reception(sign_manifest(KEY, run.manifest))
    supervisor = supervise(run, network, directory, log, reception=reception)
    assert await knock_at(reception, run, 1) is Reply.ELSEWHERE
    task = asyncio.ensure_future(supervisor.run())
    await until(lambda: supervisor._welcome.door._open)
    for number in (1, 2):
        assert await knock_at(reception, run, number) is Reply.WAIT
    await until(lambda: announced(network))
    told = await ask(reception, 3, Want.ROSTER)
    assert told is not None and Envelope.decode(told).author == KEY.peer_id
    told = await ask(reception, 3, Want.ADDRESSES)
    assert told is not None and Directory.decode(told).addresses == dict.fromkeys(ids(1, 2), (MADDR,))
    assert await knock_at(reception, run, 3) is Reply.ELSEWHERE
    await until(lambda: supervisor.knows(identity(1).peer_id))
    state = run.state.digest(), run.state.state_bytes()
    network.stand(head(roster(10, 1, 2), state[0]), 1, 2)
    network.keep(10, *state, 1, 2)
    await until(lambda: task.done() or log.named("checkpoint"))
    assert not task.done(), task.result()
    await finish_run(run, network)
    assert await asyncio.wait_for(task, 20) is ExitCode.FINISHED

    assert [entry["event"] for entry in log.read()] == [
        "welcomed",
        "welcomed",
        "genesis",
        "unvalidated",
        "checkpoint",
        "checkpoint",
        "finished",
    ]
    assert [entry["words"] for entry in log.named("unvalidated")] == ["nobody is validated: 2 voters, 4 are needed"]
    assert [entry["step"] for entry in log.named("checkpoint")] == [10, 20]
    summary = json.loads(directory.summary_file.read_text())
    assert summary["step"] == 20
    assert summary["final_checkpoint"] == str(directory.checkpoint(20))
    assert summary["members"] == [str(peer) for peer in ids(1, 2)]
    assert len(directory.steps.read_text().splitlines()) == 20
    assert directory.load_roster() == roster(20, 1, 2)


async def test_peers_that_wait_for_the_first_roster_may_use_the_dht(
    run: PreparedRun, network: MemoryNetwork, directory: RunDirectory, log: Log
) -> None:
    reception = Reception(sign_manifest(KEY, run.manifest))
    supervisor = supervise(run, network, directory, log, reception=reception)
    task = asyncio.ensure_future(supervisor.run())
    await until(lambda: supervisor._welcome.door._open)
    assert not supervisor.knows(identity(1).peer_id)
    assert await knock_at(reception, run, 1) is Reply.WAIT
    await until(lambda: supervisor.knows(identity(1).peer_id))
    told = await ask(reception, 3, Want.ADDRESSES)
    assert told is not None and Directory.decode(told) == Directory({ids(1)[0]: (MADDR,)}, ids(1))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def lottery(run: PreparedRun, number: int) -> bytes:
    """The evidence that a numbered peer has banned itself in step 9."""
    rules, key, scene = run.manifest.step_rules, identity(number), Scene(roster(9, 1, 2, number), 0, ids(1, 2, number))
    goodbye = Leave(LeaveReason.LOTTERY).encode()
    envelope = Envelope.sign(key, run=rules.run, step=9, kind=MessageKind.LEAVE, body=goodbye)
    return to_json(Evidence(Offence.LOTTERY, key.peer_id, rules, scene, (envelope,)))


async def test_members_that_hold_evidence_back_hold_nothing_else_up(
    run: PreparedRun, network: MemoryNetwork, directory: RunDirectory, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    async def never(source: PeerId, banned: PeerId) -> bytes | None:
        asked.set()
        return await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(network, "evidence", never)
    monkeypatch.setattr(module, "BAN_PATIENCE_SECONDS", 0.05)
    directory.save_roster(roster(7, 1, 2))
    task = asyncio.ensure_future(supervise(run, network, directory, log).run())
    state = run.state.digest(), run.state.state_bytes()
    network.stand(head(roster(10, 1, 2, banned=[3]), state[0]), 1, 2)
    network.keep(10, *state, 1, 2)
    await until(lambda: task.done() or (asked.is_set() and log.named("checkpoint")))
    assert not task.done(), task.result()
    await finish_run(run, network, banned=[3])
    assert await asyncio.wait_for(task, 20) is ExitCode.FINISHED
    assert log.named("verified") == [] and len(log.named("checkpoint")) == 2


async def test_the_ban_of_the_last_step_is_verified_before_the_end(
    run: PreparedRun, network: MemoryNetwork, directory: RunDirectory, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = asyncio.Event()

    async def late(source: PeerId, banned: PeerId) -> bytes | None:
        await until(lambda: log.named("checkpoint"))
        record = announced(network)
        assert record is not None and not record.finished
        saved.set()
        return lottery(run, 3)

    monkeypatch.setattr(network, "evidence", late)
    directory.save_roster(roster(7, 1, 2))
    task = asyncio.ensure_future(supervise(run, network, directory, log).run())
    await until(lambda: announced(network))
    await finish_run(run, network, banned=[3])
    assert await asyncio.wait_for(task, 20) is ExitCode.FINISHED
    assert saved.is_set()
    (verified,) = log.named("verified")
    assert (verified["peer"], verified["offence"]) == (str(identity(3).peer_id), "LOTTERY")
    assert Path(verified["evidence"]).parent == directory.bans


async def test_a_restart_follows_from_where_it_was(
    run: PreparedRun, network: MemoryNetwork, directory: RunDirectory, log: Log
) -> None:
    directory.save_roster(roster(7, 1, 2))
    task = asyncio.ensure_future(supervise(run, network, directory, log).run())
    await until(lambda: announced(network))
    assert log.named("genesis") == []
    await finish_run(run, network)
    assert await asyncio.wait_for(task, 20) is ExitCode.FINISHED


async def test_an_end_without_the_last_checkpoint(
    run: PreparedRun,
    network: MemoryNetwork,
    directory: RunDirectory,
    log: Log,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The members answer, but none of them has the state any more."""
    monkeypatch.setattr(checkpoints, "UNOFFERED_SECONDS", -1.0)
    monkeypatch.setattr(module, "FAREWELL_SECONDS", 0.1)
    directory.save_roster(roster(20, 1, 2))
    network.stand(head(roster(20, 1, 2)), 1, 2)
    assert await asyncio.wait_for(supervise(run, network, directory, log).run(), 20) is ExitCode.FAILED
    told = [entry["event"] for entry in log.read()]
    assert told == ["unvalidated", "checkpoint_missed", "checkpoint_missed", "reports_missed", "finished"]
    assert json.loads(directory.summary_file.read_text())["final_checkpoint"] is None
    record = announced(network)
    assert record is not None and record.finished and record.stored < 20
    assert "nobody has shown what the peers report of 20 steps: 0-19" in caplog.text


async def test_peers_that_die_at_the_end_are_waited_for(
    run: PreparedRun, network: MemoryNetwork, directory: RunDirectory, log: Log
) -> None:
    directory.save_roster(roster(20, 1, 2))
    task = asyncio.ensure_future(supervise(run, network, directory, log).run())
    await until(lambda: announced(network))
    await asyncio.wait({task}, timeout=0.3)
    assert not task.done() and not directory.finished
    network.stand(head(roster(20, 1, 2), run.state.digest()), 1, 2)
    for step in (10, 20):
        network.keep(step, run.state.digest(), run.state.state_bytes(), 1, 2)
    await until(lambda: (record := announced(network)) is not None and record.finished)
    network.standing.clear()
    assert await asyncio.wait_for(task, 20) is ExitCode.FINISHED


async def test_dead_peers_are_waited_for(
    run: PreparedRun,
    network: MemoryNetwork,
    directory: RunDirectory,
    log: Log,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(following, "SILENCE_SECONDS", 0.0)
    directory.save_roster(roster(5, 1, 2))
    task = asyncio.ensure_future(supervise(run, network, directory, log).run())
    await until(lambda: log.named("silent"))
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert not directory.finished


async def test_a_mistake_in_the_background_is_not_waited_out(
    run: PreparedRun,
    network: MemoryNetwork,
    directory: RunDirectory,
    log: Log,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    directory.save_roster(roster(5, 1, 2))
    monkeypatch.setattr(network, "read", broken)
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(supervise(run, network, directory, log).run(), 20)


async def test_the_initial_state_is_kept_until_the_swarm_has_moved(
    run: PreparedRun, network: MemoryNetwork, directory: RunDirectory, log: Log
) -> None:
    initial = InitialState(0, b"state")
    prepared = replace(run, initial=b"state")
    directory.save_roster(roster(0, 1, 2))
    supervisor = supervise(prepared, network, directory, log, initial=initial)
    task = asyncio.ensure_future(supervisor.run())
    await until(lambda: announced(network))
    assert initial._state is not None
    network.stand(head(roster(1, 1, 2)), 1, 2)
    await until(lambda: initial._state is None)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
