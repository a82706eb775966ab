"""All stages of a pipeline in one process, on a virtual clock: each a peer of a simulated network."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import methodcaller

from btard.identity import IdentityKey, PeerId
from btard.pipeline.defence.behaviour import StageBehaviour
from btard.pipeline.machine.machine import StageMachine
from btard.pipeline.machine.plan import SendStage, StageBanned, StageEffect, StageReport, StageStalled
from btard.transport.virtual import Network, NetworkConditions

SeatFiller = Callable[[int, PeerId], tuple[IdentityKey, StageBehaviour]]
"""Returns for a seat and the peer that has lost it the next one's key and behaviour: to all stages the same."""


@dataclass
class SimulatedStage:
    """One stage in a simulated network.

    Attributes:
        network: carries its messages.
        machine: the stage.
        last_step: after which it rests.
        reports: of its steps so far.
        stalled: why it stopped, if it did.
        sent_bytes: by receiving stage.
        fill: finds new peers for empty seats; None leaves them empty.
        bans: of which it has seen proof.
        vacated: (step, seat) of each seat that was empty at the end of a step.
    """

    network: Network
    machine: StageMachine
    last_step: int
    crashed: bool = False
    touched: bool = False
    reports: list[StageReport] = field(default_factory=list)
    stalled: StageStalled | None = None
    sent_bytes: Counter[int] = field(default_factory=Counter)
    fill: SeatFiller | None = None
    bans: list[StageBanned] = field(default_factory=list)
    vacated: list[tuple[int, int]] = field(default_factory=list)
    _watched: float = math.inf

    @property
    def peer_id(self) -> PeerId:
        """The stage's peer."""
        return self.machine.plan.roster[self.machine.number]

    def begin(self, step: int) -> None:
        """Begin a step."""
        self.perform(self.machine.begin(self.network.now, step))

    def perform(self, effects: Sequence[StageEffect]) -> None:
        """Carry out what the stage wants."""
        for effect in effects:
            match effect:
                case SendStage(stages, data):
                    self.sent_bytes.update(dict.fromkeys(stages, len(data)))
                    receivers = [self.machine.plan.roster[stage] for stage in stages]
                    sender = self.peer_id
                    self.network.deliver_all(sender, receivers, methodcaller("receive", sender, data))
                case StageReport(step):
                    self.reports.append(effect)
                    self.vacated += [(step, seat) for seat in sorted(self.machine.context.vacant)]
                    if self.fill is not None:
                        self._fill_seats(self.fill)
                    if step < self.last_step:
                        self.network.at(self.network.now, partial(self.begin, step + 1))
                case StageStalled():
                    self.stalled = effect
                case StageBanned():
                    self.bans.append(effect)
        self.network.touch(self)

    def _fill_seats(self, fill: SeatFiller) -> None:
        """Let waiting peers take the seats that are empty since this step; here they go on with what was there."""
        for seat in sorted(self.machine.context.vacant):
            key, behaviour = fill(seat, self.machine.plan.roster[seat])
            if seat == self.machine.number:
                self.machine.context.key, self.machine.context.behaviour = key, behaviour
                self.network.peers[key.peer_id] = self
            self.machine.reseat(seat, key.peer_id)

    def receive(self, sender: PeerId, data: bytes) -> None:
        """A message arrives."""
        self.perform(self.machine.on_message(sender, data))

    def watch(self) -> None:
        """Ask for a tick at the machine's deadline, as it stands now."""
        deadline = self.machine.deadline
        if deadline not in (self._watched, math.inf):
            self._watched = deadline
            self.network.at(deadline, lambda: self.perform(self.machine.tick(self.network.now)))


def run_stages(
    machines: Sequence[StageMachine],
    steps: int,
    *,
    seed: int = 0,
    conditions: NetworkConditions | None = None,
    fill: SeatFiller | None = None,
    first: int = 0,
) -> list[SimulatedStage]:
    """Train some steps in a simulated network, and return the stages.

    Args:
        machines: of all stages.
        steps: how many.
        seed: of the network.
        conditions: of its links.
        fill: finds new peers for the seats of those that were banned.
        first: number of the first step.
    """
    network = Network(seed, conditions or NetworkConditions())
    stages = [SimulatedStage(network, machine, first + steps - 1, fill=fill) for machine in machines]
    for stage in stages:
        network.peers[stage.peer_id] = stage
    for stage in stages:
        stage.begin(first)
    network.run(done=lambda: all(len(stage.reports) == steps or stage.stalled for stage in stages))
    return stages
