"""Runs a swarm on this machine from the first process to the last, and leaves nothing behind whatever happens."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from btard.configuration import to_yaml
from btard.deploy.local.interrupt import Interrupt
from btard.deploy.local.live_table import LiveView
from btard.deploy.local.messages import Ended, EndWave, Started, Wave
from btard.deploy.local.nursery_client import NurseryClient, last_lines
from btard.deploy.local.plan import CONFIG_FILE, SwarmPlan, listens, make_plan
from btard.deploy.local.settings import SwarmSettings
from btard.deploy.local.status import RunStatus
from btard.deploy.local.summary import Summary, summarise
from btard.errors import UserError
from btard.vocabulary import ExitCode

if TYPE_CHECKING:
    from btard.deploy.local.figure import Curve

_TICK_SECONDS = 0.25
"""Seconds between looks at the files of events."""

_CONNECT_TICK = 0.05
_COORDINATOR_TIMEOUT_SECONDS = 300.0
"""Seconds until the coordinator must listen: on a fresh machine it tokenises the corpus first."""

_LAST_WORDS_SECONDS = 30.0
"""Seconds that peers may take to leave after the coordinator has finished."""


@dataclass(frozen=True)
class SwarmOutcome:
    """A swarm that has run to its end."""

    summary: Summary
    curve: Curve
    directory: Path
    figure: Path


def run_swarm(settings: SwarmSettings, console: Console) -> SwarmOutcome:
    """Run a swarm to its end.

    Raises:
        UserError: it cannot start, or failed; the sentence says which process did.
        KeyboardInterrupt: SIGINT or SIGTERM came; everything has ended.
    """
    plan = make_plan(settings)
    (plan.directory / CONFIG_FILE).write_text(to_yaml(settings), encoding="utf-8")
    console.print(f"run directory {_shown(plan.directory)}", highlight=False, soft_wrap=True)
    with Interrupt().listening() as interrupt:
        try:
            outcome = _Swarm(plan, console, interrupt).run()
            interrupt.check()  # what comes while the summary is drawn must stop whatever would follow this run
            return outcome
        except KeyboardInterrupt:
            console.print("interrupted: every process of the swarm has ended")
            raise


class _Swarm:
    def __init__(self, plan: SwarmPlan, console: Console, interrupt: Interrupt) -> None:
        self._plan = plan
        self._console = console
        self._interrupt = interrupt
        self._status = RunStatus(plan.peers, plan.coordinator, plan.settings.steps)
        self._running: set[str] = set()
        self._finished = False
        self._succeeded = False
        self._peers_started = False
        self._alone_since: float | None = None
        self._told_dashboard = False

    def run(self) -> SwarmOutcome:
        started = time.monotonic()
        plan = self._plan
        title = f"{plan.settings.experiment}: {plan.settings.task} {plan.settings.size}, {plan.settings.rule}"
        with NurseryClient(plan.preload, plan.environment(), plan.directory / "nursery.log") as nursery:
            with LiveView(self._status, title, self._console) as view:
                # matplotlib takes a second to import, which the nursery's imports hide.
                from btard.deploy.local import figure

                nursery.wait_ready(self._interrupt)
                self._interrupt.check()
                self._start(nursery)
                while not self._finished:
                    self._watch(nursery, _TICK_SECONDS)
                    view.update()
                self._let_peers_leave(nursery, view)
            nursery.close()
        self._status.refresh()
        summary = summarise(self._status, plan.settings, time.monotonic() - started)
        summary.save(plan.directory)
        curve = figure.Curve.of(self._status, plan.settings.experiment)
        _, png = figure.draw_run(curve, plan.directory, subtitle=_subtitle(summary))
        return SwarmOutcome(summary, curve, plan.directory, png)

    def _start(self, nursery: NurseryClient) -> None:
        """Start the coordinator, and the peers as soon as they can reach it."""
        self._running.add(self._plan.coordinator.name)
        nursery.start(self._plan.start_coordinator())
        deadline = time.monotonic() + _COORDINATOR_TIMEOUT_SECONDS
        while not listens(self._plan.port):
            self._watch(nursery, _CONNECT_TICK)
            if time.monotonic() > deadline:
                log = _shown(self._plan.coordinator.log)
                raise UserError(f"the coordinator does not listen after {_COORDINATOR_TIMEOUT_SECONDS:g} s; see {log}")
        for peer in self._plan.peers:
            self._running.add(peer.name)
            nursery.start(self._plan.start_peer(peer))
        self._peers_started = True

    def _watch(self, nursery: NurseryClient, timeout_seconds: float) -> None:
        """Wait a little, and take in what the nursery and the programs tell."""
        reports = nursery.reports(timeout_seconds, self._interrupt)
        self._interrupt.check()
        self._status.refresh()
        self._tell_dashboard()
        self._check_patience()
        for report in reports:
            if isinstance(report, Started):
                self._write_pid(report)
            elif isinstance(report, Ended):
                self._ended(report)

    def _tell_dashboard(self) -> None:
        if self._status.dashboard is not None and not self._told_dashboard:
            self._told_dashboard = True
            log = _shown(self._plan.coordinator.log)
            words = f"dashboard {self._status.dashboard} ({log} has its token, if it wants one)"
            self._console.print(words, highlight=False, soft_wrap=True)

    def _check_patience(self) -> None:
        """Raise when the peers have gone, and the coordinator does not notice."""
        waits = self._peers_started and self._running == {self._plan.coordinator.name}
        if not waits:
            self._alone_since = None
        elif self._alone_since is None:
            self._alone_since = time.monotonic()
        elif time.monotonic() - self._alone_since > _LAST_WORDS_SECONDS:
            log = _shown(self._plan.coordinator.log)
            raise UserError(
                f"all peers have ended, but the coordinator still runs {_LAST_WORDS_SECONDS:g} s later; see {log}"
            )

    def _write_pid(self, report: Started) -> None:
        (self._plan.directory / report.name / "pid").write_text(f"{report.pid}\n")

    def _ended(self, report: Ended) -> None:
        self._running.discard(report.name)
        (self._plan.directory / report.name / "exit").write_text(f"{report.code}\n")
        if report.name == self._plan.coordinator.name:
            if report.code != 0 or not self._status.over:  # it also leaves with 0 when somebody ends it
                raise UserError(self._failure(report))
            self._finished = True
            return
        self._status.ended(report.name, report.code)
        if report.code not in (ExitCode.FINISHED, ExitCode.BANNED):
            # A swarm survives lost peers, but not the loss of all honest ones.
            self._console.print(self._failure(report), highlight=False, soft_wrap=True)
        self._succeeded |= report.code == ExitCode.FINISHED
        if not self._succeeded and not any(peer.name in self._running for peer in self._plan.peers if peer.honest):
            raise UserError(f"no honest peer is left; {self._failure(report)}")

    def _failure(self, report: Ended) -> str:
        log = self._plan.directory / report.name / "log.txt"
        how = f"was killed by signal {-report.code}" if report.code < 0 else f"ended with exit code {report.code}"
        return f"{report.name} {how}; the end of {_shown(log)}: {last_lines(log) or 'nothing'}"

    def _let_peers_leave(self, nursery: NurseryClient, view: LiveView) -> None:
        """Wait for the peers, which end by themselves once the coordinator has told them that the run is over."""
        deadline = time.monotonic() + _LAST_WORDS_SECONDS
        while self._running and time.monotonic() < deadline:
            self._watch(nursery, _TICK_SECONDS)
            view.update()
        if self._running:
            nursery.end(EndWave(wave=Wave.PEERS))


def _subtitle(summary: Summary) -> str:
    liars = f"{summary.byzantine} of them {' and '.join(summary.attack)}" if summary.byzantine else "all honest"
    return f"{summary.task} {summary.size}, {summary.peers} peers, {liars}, aggregated by {summary.rule}"


def report(outcome: SwarmOutcome, console: Console) -> None:
    """Print what a run came to and where it is kept."""
    console.print(outcome.summary.sentence, highlight=False, soft_wrap=True)
    console.print(f"figure {_shown(outcome.figure)}", highlight=False, soft_wrap=True)


def _shown(path: Path) -> str:
    """Return a path as short as it can be from here."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
