"""One scenario, from the first step to the last: peers, the network between them, and what happens to them."""

from __future__ import annotations

import gc
import itertools
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from btard.aggregation import rule_and_tau
from btard.behaviour import Behaviour
from btard.hashing import digest, tagged_digest
from btard.identity import IdentityKey, PeerId
from btard.lab.simulation.admissions import Admissions
from btard.lab.simulation.behaviours import attacker
from btard.lab.simulation.peer import Event, LabPeer, Listener
from btard.lab.simulation.settings import SimulateSettings
from btard.lab.simulation.snapshot import frozen, thawed
from btard.lab.simulation.workload import Workload, make_workload
from btard.round.actions import Finished, Stopped, Voided
from btard.round.aggregates import check_aggregation
from btard.round.evidence.evidence import Evidence, Offence
from btard.round.roster import Roster, first_randomness
from btard.round.rules import NONCE_SIZE, AggregationRules, StepRules, VerificationRules
from btard.tensors import bytes_of
from btard.transport.memory import Network, NetworkConditions, Traffic
from btard.transport.vector_trainer import VectorTrainer
from btard.vocabulary import SLOWEST, WireType

_LEAST_DELAY_BOUND_SECONDS = 2.0
_COMPUTE_SECONDS = 0.1
_meetings = itertools.count()

_MOVING = ("network", "rules", "chronicle", "peers", "admissions", "listeners", "genesis", "_begun", "_turns")
"""What changes as a swarm goes on, or follows from the settings that it began with."""
_OWN_LISTENERS = 2


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Inside, Python looks for garbage cycles less often: a round of 256 peers makes millions of objects."""
    before = gc.get_threshold()
    gc.set_threshold(400_000, 20, 50)
    try:
        yield
    finally:
        gc.set_threshold(*before)


@dataclass(frozen=True)
class BanRecord:
    """A ban as honest peers decided it."""

    peer: LabPeer
    step: int
    attempt: int
    offence: Offence
    evidence: Evidence


@dataclass(frozen=True)
class Suspension:
    """A member that was left out of a step."""

    peer: LabPeer
    step: int
    attempt: int
    reason: str


@dataclass
class Chronicle:
    """What honest peers have seen, each thing once.

    Attributes:
        finished: the last step that an honest peer has finished, and `roster` what followed from it.
        voided: (step, attempt) of the attempts that failed.
        all_out: the first step whose roster has no Byzantine member, after there had been some.
        stops: (peer number, step, why) of honest peers that could not go on.
    """

    peers: dict[PeerId, LabPeer] = field(default_factory=dict)
    bans: list[BanRecord] = field(default_factory=list)
    suspensions: list[Suspension] = field(default_factory=list)
    voided: set[tuple[int, int]] = field(default_factory=set)
    stops: list[tuple[int, int, str]] = field(default_factory=list)
    finished: int = -1
    roster: Roster | None = None
    parameters: torch.Tensor | None = None
    all_out: int | None = None

    def happened(self, peer: LabPeer, event: Event) -> None:
        """Note bans, suspensions and stops that honest peers tell of, each once."""
        if not peer.honest:
            return
        if isinstance(event, Stopped):
            self.stops.append((peer.number, event.step, f"{event.kind}: {event.reason}"))
        if isinstance(event, Voided) and (event.step, event.attempt) not in self.voided:
            self.voided.add((event.step, event.attempt))
            for verdict in event.verdicts:
                banned, evidence = self.peers[verdict.peer], verdict.evidence
                if any(ban.peer is banned for ban in self.bans):
                    continue  # an attempt that decides nothing but what an earlier one should have
                self.bans.append(BanRecord(banned, event.step, event.attempt, evidence.offence, evidence))
            for who, reason in event.suspended:
                self.suspensions.append(Suspension(self.peers[who], event.step, event.attempt, reason))

    def moved(self, peer: LabPeer, result: Finished) -> None:
        """Note the newest step that an honest peer has finished, and what followed from it."""
        if not peer.honest or result.step <= self.finished:
            return
        self.finished, self.roster, self.parameters = result.step, result.roster, peer.parameters
        liars = any(not self.peers[member].honest for member in result.roster.members)
        if liars:
            self.all_out = None
        elif self.all_out is None and any(not known.honest for known in self.peers.values()):
            self.all_out = result.roster.step


class Simulation:
    """A swarm in one process. The same settings give the same run.

    Attributes:
        peers: in the order of making: honest ones first, then Byzantine ones, then joining ones.
        chronicle: what has happened.
        wall_seconds: how long `run` took.
    """

    def __init__(
        self,
        settings: SimulateSettings,
        *,
        make_attacker: Callable[[SimulateSettings, int, int, str], Behaviour] = attacker,
        attacker_type: type[LabPeer] = LabPeer,
        make_honest: Callable[[int], Behaviour] = lambda number: Behaviour(),
        workload: Workload | None = None,
    ) -> None:
        """Make the peers.

        Args:
            make_attacker: makes the Byzantine behaviours; see `attacker`, which makes those that the settings name.
            attacker_type: of the Byzantine peers, for lies that no decision of a behaviour is about.
            make_honest: makes the behaviour of an honest peer from its number.
            workload: what is trained, in place of what the settings name.

        Raises:
            UserError: an attack is not installed.
        """
        self.settings = settings
        self.workload = make_workload(settings) if workload is None else workload
        self._make_attacker = make_attacker
        self._attacker_type = attacker_type
        self._make_honest = make_honest
        self._begun = False
        self.network = Network(settings.seed, NetworkConditions(settings.delays, settings.loss))
        self.rules = step_rules(settings, self.workload)
        self.chronicle = Chronicle()
        self.peers: list[LabPeer] = []
        self._meeting = f"simulation {next(_meetings)}"
        self._turns = 0
        self.admissions = Admissions(settings, self.peers, self._make_peer)
        self.listeners: list[Listener] = [self.chronicle, self.admissions]
        self.wall_seconds = 0.0
        self._running: LabPeer | None = None
        for number in range(settings.peers):
            self._make_peer(number < settings.peers - settings.byzantine)
        members = tuple(sorted(peer.peer_id for peer in self.peers))
        clients = tuple(sorted(peer.peer_id for peer in self.peers[settings.peers - settings.clients :]))
        self.genesis = Roster(0, members, frozenset(), first_randomness(settings.seed, 0), clients=clients)
        for peer in self.peers:
            peer.clients = clients

    def _make_peer(self, honest: bool) -> LabPeer:
        settings, number = self.settings, len(self.peers)
        key = tagged_digest("btard simulated key", settings.seed.to_bytes(8, "big"), number.to_bytes(8, "big"))
        if honest:
            behaviour = self._make_honest(number)
        else:
            behaviour = self._make_attacker(settings, number, self._turns, self._meeting)
            self._turns += 1
        make = LabPeer if honest else self._attacker_type
        peer = make(
            self.network,
            IdentityKey.from_seed(key),
            self.rules,
            self._make_trainer(),
            behaviour,
            compute_seconds=_COMPUTE_SECONDS,
            last_step=settings.steps - 1,
            number=number,
            honest=honest,
            listeners=self.listeners,
        )
        self.peers.append(peer)
        self.chronicle.peers[peer.peer_id] = peer
        return peer

    def _make_trainer(self) -> VectorTrainer:
        workload = self.workload
        return VectorTrainer(
            workload.gradient,
            workload.start.clone(),
            momentum=self.settings.momentum,
            learning_rate=workload.learning_rate,
            spoiled=workload.spoiled,
            move=workload.move,
        )

    @property
    def honest(self) -> list[LabPeer]:
        """The peers with the honest behaviour."""
        return [peer for peer in self.peers if peer.honest]

    def run(self, until: Callable[[], bool] = lambda: False) -> Simulation:
        """Run until every honest peer has done its steps, or none can go on, or `until` says so."""
        torch.set_num_threads(1)  # vectors are short, and simulations run side by side
        self.go_on(done=until)
        return self

    def go_on(self, done: Callable[[], bool]) -> None:
        """Begin, or go on where this has returned, until `done`, or as `run`; the caller chooses torch's threads."""
        started = time.perf_counter()
        if not self._begun:
            self._begun = True
            for peer in self.peers:
                peer.begin(self.genesis)
            self._plan_cuts()
        with _rare_collections():
            self.network.run(done=lambda: done() or not self._goes_on())
        self.wall_seconds += time.perf_counter() - started

    def _goes_on(self) -> bool:
        """Whether an honest peer is in the middle of its steps. It is asked after every event, so the one that was
        found last is looked at first."""
        if self._running is None or not self._running.running:
            self._running = next((peer for peer in self.peers if peer.honest and peer.running), None)
        return self._running is not None

    def _plan_cuts(self) -> None:
        shuffled = [peer.peer_id for peer in self.peers]
        random.Random(self.settings.seed).shuffle(shuffled)
        for start, end, count in self.settings.cuts:
            group = shuffled[:count]
            self.network.at(start, lambda group=group: self.network.partition(group))  # type: ignore[misc]
            self.network.at(end, self.network.partition)

    @property
    def traffic(self) -> Traffic:
        """Bytes of honest peers, all together."""
        total = Traffic()
        for peer in self.honest:
            total.control_sent += peer.traffic.control_sent
            total.control_received += peer.traffic.control_received
            total.parts_sent += peer.traffic.parts_sent
            total.parts_received += peer.traffic.parts_received
        return total

    def state(self, beside: object) -> bytes:
        """Return all that a swarm needs that goes on from here, and what its owner wants to keep beside it."""
        return frozen(({name: getattr(self, name) for name in _MOVING}, beside), self._outside())

    def restore(self, state: bytes) -> Any:
        """Go on from where another simulation of as many peers has returned its `state`, with the behaviours, workload
        and honest peers of this one; return what was kept beside.

        Raises:
            UserError: the state cannot be read.
        """
        moving, beside = thawed(state, self._outside())
        for name in _MOVING:
            setattr(self, name, moving[name])
        self._running = None
        for peer in self.peers:
            peer.honest = peer.number < self.settings.peers - self.settings.byzantine
            peer.behaviour.attach(peer.key)
            peer.behaviour.die = peer.crash
        return beside

    def _outside(self) -> dict[str, object]:
        """Return what a state does not hold: what stays with this simulation when another one's is taken over."""
        workload = self.workload
        made = {"gradient": workload.gradient, "spoiled": workload.spoiled, "move": workload.move}
        behaviours = {f"behaviour {peer.number}": peer.behaviour for peer in self.peers}
        watching = {f"listener {number}": each for number, each in enumerate(self.listeners[_OWN_LISTENERS:])}
        named = {"simulation": self, "settings": self.settings, **made, **behaviours, **watching}
        return {name: value for name, value in named.items() if value is not None}

    @property
    def final_digest(self) -> str:
        """Digest of the parameters after the last step that an honest peer has finished."""
        parameters = self.workload.start if self.chronicle.parameters is None else self.chronicle.parameters
        return digest(bytes_of(parameters)).hex()


def step_rules(settings: SimulateSettings, workload: Workload) -> StepRules:
    """Return the rules of a run; deadlines follow from the bound on delay, and cost no time on a virtual clock.

    Raises UserError for a rule that is not installed, or cannot be followed among so many peers."""
    delay_bound = max(_LEAST_DELAY_BOUND_SECONDS, 3.0 * settings.delays[1])
    rule, tau = rule_and_tau(settings.rule, settings.tau, workload.tau)
    aggregation = AggregationRules(rule, tau, settings.peers, max_norm=settings.clip)
    check_aggregation(aggregation, settings.auditors)
    return StepRules(
        nonce=tagged_digest("btard simulated run", settings.seed.to_bytes(8, "big"))[:NONCE_SIZE],
        dimension=len(workload.start),
        wire=WireType.FLOAT32,
        commit_seconds=_COMPUTE_SECONDS + 10 * delay_bound,
        scatter_seconds=5 * delay_bound,
        gather_seconds=5 * delay_bound,
        agree_seconds=2.5 * delay_bound,
        delay_bound_seconds=delay_bound,
        aggregation=aggregation,
        verification=VerificationRules(
            validators=settings.validators,
            validation=settings.validation,
            eliminate=settings.eliminate,
            probation=settings.probation,
            momentum=settings.momentum,
            auditors=settings.auditors,
        ),
        slowest=None if settings.slowest == SLOWEST else settings.slowest,
    )
