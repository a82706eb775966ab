"""A peer's metrics: what happened to it, and in which state it is."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from btard import __version__
from btard.logs import MOMENT
from btard.peer.telemetry.meter import PeerMeter, PeerStep
from btard.peer.telemetry.recorder import Recorder
from btard.round.actions import OutcomeKind, Stopped, Verdict, Voided
from btard.round.evidence.evidence import Evidence, Offence, Scene
from btard.round.roster import Roster
from btard.swarm.records.details import Found
from btard.swarm.telemetry.validation_watch import ValidationWatch
from btard.transport.libp2p import Counters
from btard.transport.stages import Stage
from tests.peer.helpers import PEERS, ROSTER, run_manifest
from tests.swarm.telemetry.families import exported, series, values

ME = PEERS[0]


class Watched:
    """A recorder, and what its endpoint would answer."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.counters = Counters()
        meter = PeerMeter(
            self.registry, ME, experiment="test", run_id="11" * 16, numerics="torch", counters=self.counters
        )
        self.recorder = Recorder(meter, None, ValidationWatch(1.0))

    def __getitem__(self, name: str) -> float:
        return values(exported(self.registry))[f"btard_{name}"]


@pytest.fixture
def watched() -> Iterator[Watched]:
    yield Watched()
    MOMENT.step = None


def test_the_meter_says_which_peer_this_is(watched: Watched) -> None:
    assert watched[f'peer_info{{experiment="test",peer="{ME}",run_id="{"11" * 16}"}}'] == 1
    assert watched[f'build_info{{numerics="torch",program="btard-peer",version="{__version__}"}}'] == 1
    assert watched["peer_member"] == 0 and math.isnan(watched["peer_step"])


def test_whether_anybody_is_validated(watched: Watched) -> None:
    assert math.isnan(watched["peer_validated"])
    watched.recorder.begins(Roster(5, PEERS[:4], frozenset(), bytes(32)))
    assert watched["peer_validated"] == 1
    watched.recorder.begins(Roster(6, PEERS[:3], frozenset(), bytes(32)))
    assert watched["peer_validated"] == 0


def test_a_member_and_its_steps(watched: Watched) -> None:
    watched.recorder.begins(ROSTER)
    assert MOMENT.step == ROSTER.step == watched["peer_step"]
    assert (watched["peer_member"], watched["peer_probation"], watched["peer_roster_members"]) == (1, 0, 5)
    watched.recorder.finished(PeerStep(5, 2.0, dict.fromkeys(Stage, 0.25), 1.5, 8))
    watched.recorder.finished(PeerStep(6, 0.02, dict.fromkeys(Stage, 0.5), None, 0))
    assert (watched["peer_steps_total"], watched["peer_samples_total"], watched["peer_loss"]) == (2, 8, 1.5)
    assert watched["peer_step_duration_seconds_sum"] == 2.02
    assert watched['peer_step_duration_seconds_bucket{le="0.03"}'] == 1
    for stage in Stage:
        assert watched[f'peer_stage_duration_seconds_sum{{stage="{stage.value}"}}'] == 0.75
    watched.counters.bytes_sent += 10
    assert watched['peer_network_bytes_total{direction="sent"}'] == 10


def test_probation_and_being_left_out(watched: Watched) -> None:
    watched.recorder.begins(Roster(5, PEERS, frozenset(), bytes(32), probation=((ME, 9),)))
    assert (watched["peer_member"], watched["peer_probation"]) == (1, 1)
    watched.recorder.stopped(Stopped(5, OutcomeKind.OUT_OF_SYNC, "another digest"))
    assert (watched["peer_member"], watched["peer_probation"]) == (0, 0)
    assert watched['peer_stops_total{reason="out_of_sync"}'] == 1 and MOMENT.step is None


def test_attempts_that_fail_and_findings(watched: Watched) -> None:
    scene = Scene(ROSTER, 0, PEERS[:5])
    evidence = Evidence(Offence.GRADIENT, PEERS[1], run_manifest().step_rules, scene, ())
    suspended = ((PEERS[2], "words of a stranger"), (PEERS[3], '"} 1\nfake_metric 1'))
    before = series(exported(watched.registry))
    watched.recorder.voided(Voided(5, 0, suspended, (Verdict(PEERS[1], evidence),), ()))
    watched.recorder.examined(Found.DIFFERS)
    assert (watched["peer_void_attempts_total"], watched["peer_suspensions_total"]) == (1, 2)
    assert watched['peer_bans_total{offence="gradient"}'] == 1
    assert watched['peer_examinations_total{found="differs"}'] == 1
    assert series(exported(watched.registry)) == before
