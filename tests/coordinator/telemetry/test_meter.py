"""The swarm's metrics: what happened is counted once, and lies make neither series nor failures."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from btard.coordinator.run_directory import RunDirectory
from btard.coordinator.telemetry.meter import MeteredLog, SwarmMeter
from btard.coordinator.telemetry.metrics import MetricsBoard, StepSummary
from btard.coordinator.telemetry.peer_details import DetailsBoard
from btard.identity import Envelope, MessageKind, PeerId
from btard.logs import MOMENT
from btard.printable import printable
from btard.round.evidence.evidence import Offence
from btard.swarm.events.coordinator import BanUnproven, CheckpointMissed, MemberExcluded, MemberJoined, PeerExamined
from btard.swarm.records.details import MAX_TOLD, Examination, Exclusion, Found, PeerDetails
from btard.swarm.records.record import LocalMetrics, Metrics
from btard.transport.stages import Stage
from tests.coordinator.swarm import identity, ids, manifest, roster
from tests.swarm.events.lines import coordinator_event, coordinator_line
from tests.swarm.telemetry.families import exported, series, values

RUN = manifest()


@pytest.fixture(autouse=True)
def _moment() -> Iterator[None]:
    yield
    MOMENT.step = None


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def meter(registry: CollectorRegistry) -> SwarmMeter:
    return SwarmMeter(registry, RUN)


def read(registry: CollectorRegistry) -> dict[str, float]:
    return values(exported(registry))


def test_before_the_first_roster_nothing_is_claimed(registry: CollectorRegistry, meter: SwarmMeter) -> None:
    found = read(registry)
    assert math.isnan(found["btard_swarm_step"]) and math.isnan(found["btard_swarm_alive_peers"])
    assert math.isnan(found['btard_swarm_loss{statistic="median"}'])
    assert found["btard_swarm_planned_steps"] == RUN.total_steps
    assert found[f'btard_swarm_info{{experiment="test",run_id="{RUN.run_id}"}}'] == 1
    assert found['btard_swarm_bans_total{offence="gradient"}'] == 0


def test_the_roster_and_the_steps(registry: CollectorRegistry, meter: SwarmMeter) -> None:
    meter.followed(roster(7, 1, 2, 3, banned=[4]), 2, 2)
    began = read(registry)["btard_swarm_step_timestamp_seconds"]
    meter.followed(roster(7, 1, 2, 3, banned=[4]), 3, 1)
    meter.log(StepSummary(5, 1.5, 1.25, 2, 3, 8, 25.0, 2))
    meter.log(StepSummary(6, math.inf, None, 3, 3, 12, 1e300, 3))
    found = read(registry)
    assert found["btard_swarm_step_timestamp_seconds"] == began, "the roster has not moved"
    assert MOMENT.step == 7
    told = ("step", "members", "alive_peers", "waiting_peers", "banned_peers", "reported_step", "reporting_peers")
    assert [found[f"btard_swarm_{name}"] for name in told] == [7, 3, 3, 1, 1, 6, 3]
    assert (found["btard_swarm_summarised_steps_total"], found["btard_swarm_samples_total"]) == (2, 20)
    lies = ('loss{statistic="mean"}', 'loss{statistic="median"}', "samples_per_second")
    assert all(math.isnan(found[f"btard_swarm_{name}"]) for name in lies)


def test_whether_anybody_is_validated() -> None:
    for validators, members, shown in ((1.0, 4, 1), (1.0, 3, 0), (0.0, 4, 0)):
        registry = CollectorRegistry()
        meter = SwarmMeter(registry, manifest(validators=validators))
        assert math.isnan(read(registry)["btard_swarm_validated"])
        meter.followed(roster(7, *range(members)), members, 0)
        assert read(registry)["btard_swarm_validated"] == shown


def test_events_are_counted_also_those_of_earlier_starts(directory: RunDirectory) -> None:
    for start in range(2):
        registry = CollectorRegistry()
        with MeteredLog(directory.events, SwarmMeter(registry, RUN)) as log:
            log.write(coordinator_event("verified", offence=Offence.GRADIENT.name))
            log.write(BanUnproven(peer="y", step=3))
            log.write(MemberExcluded(peer="z", step=4, reason="it was silent"))
            log.write(PeerExamined(validator="a", peer="b", step=4, found=Found.DIFFERS))
            log.write(coordinator_event("checkpoint", step=10 * (start + 1), evaluation_loss=2))
            log.write(CheckpointMissed(step=5, reason="?"))
            log.write(MemberJoined(peer="y", step=3))
            found = read(registry)
        counted = [
            'bans_total{offence="gradient"}',
            'bans_total{offence="unproven"}',
            "suspensions_total",
            'examinations_total{found="differs"}',
            "missed_checkpoints_total",
        ]
        assert [found[f"btard_swarm_{name}"] for name in counted] == [start + 1] * len(counted)
        assert (found["btard_swarm_checkpoint_step"], found["btard_swarm_checkpoint_loss"]) == (10 * (start + 1), 2)
        assert found['btard_swarm_bans_total{offence="equivocation"}'] == 0


def test_a_log_that_somebody_has_damaged_makes_no_series(
    directory: RunDirectory, registry: CollectorRegistry, meter: SwarmMeter
) -> None:
    before = series(exported(registry))
    lines = [
        coordinator_line("verified", offence="<script>"),
        coordinator_line("verified", offence=["a"]),
        {"event": "verified"},
        coordinator_line("examined", found="guilty"),
        coordinator_line("checkpoint", step="1"),
        {"event": {}},
        coordinator_line("checkpoint", step=4, time=5.5, evaluation_loss=float("inf")),
    ]
    damage = "".join(json.dumps(line).replace("Infinity", "1e999") + "\n" for line in lines)
    directory.events.write_text(damage + "[]\nnot json\n")
    MeteredLog(directory.events, meter).close()
    found = read(registry)
    assert series(exported(registry)) == before
    assert sum(value for name, value in found.items() if name.startswith("btard_swarm_bans_total")) == 0
    assert found["btard_swarm_checkpoint_timestamp_seconds"] == 5.5
    assert math.isnan(found["btard_swarm_checkpoint_loss"])


def test_what_members_tell_is_a_median_and_a_sum(registry: CollectorRegistry, meter: SwarmMeter) -> None:
    liar = details(random.Random(0)).model_copy(update={"bytes_sent": 2**50, "stages": [1e9] * len(Stage)})
    honest = [details(random.Random(0)).model_copy(update={"bytes_sent": 5, "stages": [0.5] * len(Stage)})] * 2
    meter.details([liar, *honest])
    found = read(registry)
    assert found['btard_swarm_network_bytes{direction="sent",statistic="median"}'] == 5
    assert found['btard_swarm_network_bytes{direction="sent",statistic="sum"}'] == 2**50 + 10
    assert found['btard_swarm_stage_duration_seconds{stage="gather",statistic="median"}'] == 0.5
    assert found['btard_swarm_stage_duration_seconds{stage="gather",statistic="maximum"}'] == 1e9
    meter.details([])
    assert read(registry) == pytest.approx(found, nan_ok=True)


def details(rng: random.Random) -> PeerDetails:
    """What a liar might tell of itself, within the schema."""
    word = printable("".join(chr(rng.randrange(32, 0x2FFF)) for _ in range(32)))
    step = rng.choice([rng.randrange(MAX_TOLD, 40), rng.randrange(MAX_TOLD, 2**30)])
    targets = [str(peer) for peer in ids(1, 2, 3)]
    return PeerDetails(
        version=word,
        numerics=word,
        bytes_sent=rng.randrange(2**62),
        bytes_received=rng.randrange(2**62),
        step=step,
        stages=[rng.uniform(0, 1e9) for _ in Stage],
        examined=[
            Examination(
                step=step - MAX_TOLD + each, target=str(rng.choice(ids(1, 2, 3))), found=rng.choice(list(Found))
            )
            for each in range(MAX_TOLD)
        ],
        excluded=[Exclusion(step=step, peer=rng.choice(targets), reason=word)],
    )


def hostile(number: int, rng: random.Random) -> tuple[PeerId, Envelope]:
    """A signed record: of the schema with wild numbers, or of bytes."""
    key = identity(number)
    if rng.random() < 0.2:
        body = rng.randbytes(rng.randrange(200))
        return key.peer_id, Envelope.sign(key, run=RUN.run, step=0, kind=MessageKind.METRICS, body=body)
    steps = [
        LocalMetrics(
            step=rng.choice([rng.randrange(20), rng.randrange(2**62)]),
            samples_per_second=rng.choice([0.0, 1e308]),
            samples_accumulated=rng.randrange(2**62),
            loss=rng.choice([None, 1e308, -1e308]),
            mini_steps=2**31 - 1,
        )
        for _ in range(8)
    ]
    record = Metrics(steps=steps, details=rng.choice([None, details(rng)]))
    return key.peer_id, record.sign(key, RUN.run, MessageKind.METRICS)


def test_hostile_records_make_no_series(
    directory: RunDirectory, registry: CollectorRegistry, meter: SwarmMeter
) -> None:
    """Two hundred keys, half of them members at some time, publish whatever fits the schema, and what does not."""
    before = series(exported(registry))
    rng = random.Random(1)
    with MeteredLog(directory.events, meter) as log:
        kept = DetailsBoard(directory, log)
        board = MetricsBoard(RUN, directory, patience_seconds=0.0, sinks=(meter,), details=kept)
        for turn in range(50):
            keys = range(1 + 4 * turn, 5 + 4 * turn)
            trusted = roster(turn + 1, *list(keys)[:2])
            meter.followed(trusted, 2, 0)
            board.take(dict(hostile(number, rng) for number in keys), trusted)
            meter.details(kept.latest)
        board.flush(trusted)
        board.close()
    text = exported(registry)
    assert values(text)["btard_swarm_summarised_steps_total"] > 5
    assert sum(value for name, value in values(text).items() if "examinations_total" in name) > 0
    assert series(text) == before
