"""The rounds in which a replica of a stage averages its gradient with the others, over the peer's own transport."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Executor as WorkerPool
from dataclasses import dataclass
from functools import partial

import torch

from btard.behaviour import Behaviour
from btard.exhibits import Exhibit
from btard.hashing import Payload, tagged_digest
from btard.identity import IdentityKey, PeerId
from btard.peer.shown_material import ShownMaterial
from btard.pipeline.live.gate import ROUND_MARK
from btard.pipeline.machine.plan import AwaitAverage
from btard.pipeline.replicas.executor import ReplicaExecutor
from btard.pipeline.replicas.machine import ReplicaMachine
from btard.pipeline.replicas.record import ReplicaStep
from btard.pipeline.replicas.trainer import StageTrainer
from btard.pipeline.seats.seating import Seating
from btard.round.actions import Finished, Verdict, Voided
from btard.round.attempt.pace import Pace
from btard.round.roster import Roster
from btard.round.rules import StepRules
from btard.round.session import Session
from btard.round.work.examination import Finding
from btard.swarm.questions import Question, Want
from btard.trainer import Contribution
from btard.transport.driver import SessionDriver, in_worker
from btard.transport.libp2p import Libp2pTransport
from btard.vectors.partition import from_wire


@dataclass(frozen=True)
class RoundLine:
    """The transport of a round: a peer's own one, on which rounds are one kind of traffic among others."""

    transport: Libp2pTransport

    @property
    def peer_id(self) -> PeerId:
        """The own peer id."""
        return self.transport.peer_id

    def send(self, peer: PeerId, data: bytes) -> None:
        """Queue a control message of a round."""
        self.transport.send(peer, ROUND_MARK + data)

    def send_part(self, peer: PeerId, header: bytes, payload: Payload) -> None:
        """Queue a part of a gradient, or of an average."""
        self.transport.send_part(peer, header, payload)


class WaitingTrainer(StageTrainer):
    """Has a gradient to contribute once the pipeline's passes are done."""

    def __init__(self, machine: ReplicaMachine, first_step: int) -> None:
        def find_step(peer: PeerId, step: int) -> ReplicaStep | None:
            known = machine.all_steps(step) if step >= first_step else ()
            return next((each for each in known if peer in each.facts.roster), None)

        super().__init__(machine.worker, find_step)
        self._submitted = -1
        self._more = asyncio.Event()

    def note_submitted(self, step: int) -> None:
        """The gradient of a step has been submitted; call from the event loop."""
        self._submitted = step
        self._more.set()

    async def wait_submitted(self, step: int) -> None:
        """Return once the gradient of a step is there."""
        while self._submitted < step:
            self._more.clear()
            await self._more.wait()

    async def contribute(self, seed: bytes, step: int, behaviour: Behaviour) -> Contribution:
        """See `Trainer`."""
        await self.wait_submitted(step)
        return await super().contribute(seed, step, behaviour)


class ReplicaRounds:
    """One replica of a stage in the rounds of a seating, step by step. Use from one event loop.

    Attributes:
        trainer: holds what this replica submits and shows.
        driver: of the rounds; the gate brings it what arrives.
    """

    def __init__(
        self,
        seating: Seating,
        rules: StepRules,
        key: IdentityKey,
        behaviour: Behaviour,
        machine: ReplicaMachine,
        transport: Libp2pTransport,
        worker: WorkerPool,
        most_record_bytes: int,
        banned: Callable[[Verdict], None],
        pace: Pace,
    ) -> None:
        """Begin with all replicas of the seating.

        Args:
            worker: in which the machine computes, too.
            most_record_bytes: of what a replica shows.
            banned: is told the verdict when the replicas have banned one of them.
            pace: of the rounds so far, also in seatings before.
        """
        self.trainer = WaitingTrainer(machine, seating.step)
        self._rules, self._behaviour, self._machine, self._banned = rules, behaviour, machine, banned
        self._run = in_worker(worker)
        self._session = Session(rules, key, behaviour, pace=pace)
        material = ShownMaterial(self.trainer, rules, transport, most_record_bytes)
        executor = ReplicaExecutor(rules, key.peer_id, behaviour, self.trainer, material, self._run)
        self.driver = SessionDriver(self._session, RoundLine(transport), executor, transport.charge)
        self.driver.attach(self)
        self._advanced, self._is_ended = asyncio.Event(), False
        members = tuple(sorted(seating.copies(machine.number)))
        randomness = tagged_digest("btard pipeline first randomness", rules.run)
        self._members, self._roster = members, Roster(seating.step, members, frozenset(), randomness)

    @property
    def left_out(self) -> tuple[PeerId, ...]:
        """The replicas that have lost their place in the rounds without a ban, ascending."""
        roster = self._roster
        return tuple(peer for peer in self._members if peer not in roster.members and peer not in roster.banned)

    def on_voided(self, event: Voided) -> None:
        """An attempt has failed."""
        for verdict in event.verdicts:
            self._banned(verdict)

    def on_examined(self, step: int, target: PeerId, finding: Finding) -> None:
        """This replica has validated another one."""

    async def submit(self, ready: AwaitAverage) -> None:
        """Submit the own gradient to the round of its step."""
        await self._run(partial(self.trainer.submit, ready.step, ready.gradient, ready.record))
        self.trainer.note_submitted(ready.step)

    async def average(self) -> torch.Tensor | None:
        """Take part in the round of the next step, and return what all go on with, float32 of shape (d,).

        Returns None if the others have left this replica out, or too few are left. It is returned once the own passes
        are done, also where the others have not waited for them.
        """
        state = await self._run(lambda: self._machine.worker.state().digest)
        if self._is_ended:
            return None
        outcome = await self.driver.run_step(self._roster, state)
        if not isinstance(outcome, Finished):
            return None
        self._roster = outcome.roster
        self._advanced.set()
        vector = from_wire(outcome.flat, self._rules.wire).clone()
        await self.trainer.wait_submitted(outcome.step)
        if not outcome.submitted:
            await self.trainer.withdraw(outcome.step)
        return vector

    def end(self) -> None:
        """Take no part any more: another seating has come."""
        self._is_ended = True
        self.driver.abandon("another seating has come")

    async def answer(self, sender: PeerId, question: Question) -> bytes | None:
        """Return what this replica shows another one of a step; None for nothing."""
        if sender not in self._roster.members:
            return None
        step = question.step
        match question.want:
            case Want.TRANSCRIPT:
                return self._session.transcript_of(step)
            case Want.COMMITS if (target := question.named) is not None:
                return self.driver.commits_of(target, step)
            case Want.BASE | Want.VECTOR if question.peer:
                target = question.named
                return None if target is None else await self.driver.shows(sender, Exhibit(question.want), target, step)
            case Want.BASE if await self._is_over(step):
                return self._behaviour.shown_momentum(step, sender, self.trainer.momentum_base(step))
            case Want.VECTOR if await self._is_over(step):
                return self._behaviour.shown_vector(step, sender, self.trainer.submitted(step))
        return None

    async def _is_over(self, step: int) -> bool:
        """Whether all have committed to a step's vectors, so that they may be seen.

        One that others have finished a moment before this replica is waited for.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._rules.delay_bound_seconds):
                while step == self._roster.step:
                    self._advanced.clear()
                    await self._advanced.wait()
        return step < self._roster.step
