"""Rounds of the protocol, or of less of it, among peers on loopback whose vectors are given."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import lru_cache

import torch

from benchmarks.given import GivenVectors
from benchmarks.loopback import LoopbackPeer
from benchmarks.usage import PATIENCE_SECONDS
from btard.behaviour import Behaviour
from btard.hashing import digest
from btard.round.actions import Finished
from btard.round.roster import Roster, first_randomness
from btard.round.rules import NONCE_SIZE, AggregationRules, StepRules, VerificationRules
from btard.round.session import Session
from btard.transport.driver import SessionDriver
from btard.vectors.buffers import BufferPool
from btard.vocabulary import WireType


class Protocol:
    """One peer of such rounds; its vector is `vector_of` its index.

    Args:
        validators: mean number a round.
        begins_early: whether to enter the step before the round's start, as a peer without a barrier must.
    """

    def __init__(
        self,
        session: type[Session],
        me: LoopbackPeer,
        values: int,
        *,
        validators: float,
        rule: str = "centered_clip",
        begins_early: bool = False,
    ) -> None:
        self._node, self._vector, self._begins_early = me.node, vector_of(values, me.index), begins_early
        self._started = asyncio.Event()
        aggregation = AggregationRules(rule, tau=1.0, reference_peers=len(me.peers))
        verification = VerificationRules(validators=validators)
        rules = StepRules(
            bytes(NONCE_SIZE), values, WireType.FLOAT32, *[PATIENCE_SECONDS] * 5, aggregation, verification
        )
        order = {peer: number for number, peer in enumerate(me.peers)}
        executor = GivenVectors(
            rules, me.key.peer_id, me.worker, self._own, lambda peer: vector_of(values, order[peer])
        )
        machine = session(rules, me.key, Behaviour(), BufferPool())
        self._driver = SessionDriver(machine, me.node.transport, executor, me.node.transport.charge)
        self._roster = Roster(0, tuple(sorted(me.peers)), frozenset(), first_randomness(0, 0))

    async def prepare(self) -> Callable[[], Awaitable[None]]:
        """Make ready for a round, and return what runs it, which raises RuntimeError where it takes another attempt."""
        self._node.transport.attach(self._driver)
        early = asyncio.create_task(self._step()) if self._begins_early else None
        await asyncio.sleep(0)

        async def run() -> None:
            self._started.set()
            await (early or self._step())
            self._started.clear()

        return run

    async def _own(self) -> torch.Tensor:
        await self._started.wait()
        return self._vector

    async def _step(self) -> None:
        outcome = await self._driver.run_step(self._roster, digest(b"state"))
        if not isinstance(outcome, Finished) or outcome.attempt:
            raise RuntimeError(f"the round did not succeed at once: {outcome}")
        self._roster = outcome.roster


def vector_of(values: int, index: int) -> torch.Tensor:
    """Return the vector of a peer, (values,) float32: a window of one long vector, so that a validator's recomputation
    costs nothing; in a real step it takes the place of computing an own gradient."""
    return _long_vector(values)[1009 * index :][:values]


@lru_cache(maxsize=1)
def _long_vector(values: int) -> torch.Tensor:
    return torch.randn(values + 1009 * 256, generator=torch.Generator().manual_seed(7))
