"""A finished attempt of honest peers, to measure and examine."""

from __future__ import annotations

import dataclasses

import torch

from btard.hashing import Payload, digest
from btard.identity import PeerId
from btard.round.actions import AggregateAgain, AggregateRows, MeasureRows
from btard.round.attempt.attempt import Attempt
from btard.round.attempt.seats import Seats
from btard.round.messages.bodies import Commit, Scalars
from btard.round.roster import Roster, first_randomness
from btard.round.rules import StepRules, VerificationRules
from btard.round.work.examination import Finding, examine
from btard.round.work.rows import aggregate_rows, compare_again, encode_parts, measure_rows
from btard.vectors.partition import from_wire
from btard.vocabulary import Validation, WireType
from tests.btard.round.swarm import RULES, keys, seeded_gradient


def length(payload: Payload, wire: WireType = WireType.FLOAT32) -> float:
    return float(torch.linalg.vector_norm(from_wire(payload, wire), dtype=torch.float64))


PEERS = tuple(key.peer_id for key in keys(5))
R = digest(b"randomness")


class Scene:
    """A finished attempt of five honest peers, as the validator of one of them holds it."""

    def __init__(self, rules: StepRules = RULES, *, newcomers: tuple[PeerId, ...] = ()) -> None:
        probation = tuple((peer, 9) for peer in newcomers)
        roster = Roster(3, PEERS, frozenset(), first_randomness(0, 3), (), probation)
        self.attempt = Attempt(Seats(rules, roster, 0, PEERS, PEERS[0]))
        self.attempt.results.randomness = R
        self.vectors = {peer: seeded_gradient(roster.batch_seed(peer), torch.zeros(rules.dimension)) for peer in PEERS}
        self.aggregate()

    def aggregate(self) -> None:
        """Let everyone send its vector, and owners aggregate."""
        attempt, rules = self.attempt, self.attempt.seats.rules
        count = attempt.seats.partition.count
        self.parts = {}
        for peer, vector in self.vectors.items():
            self.parts[peer], digests = encode_parts(vector, count, rules.wire, rules.aggregation)
            attempt.said.commits[peer] = Commit(
                attempt.seats.attempt_id, bytes(32), bytes(32), digests, bytes(32), b"", ()
            )
        for part in range(count):
            column = AggregateRows(0, attempt.seats.aggregation, self.column(part), count)
            attempt.seats.partition.view(attempt.carried.flat, part)[:] = aggregate_rows(column, rules.wire).payload
        for peer in PEERS:
            own = self.measured(peer).own
            products, norms = zip(*own, strict=True)
            attempt.said.scalars[peer] = Scalars(attempt.seats.attempt_id, products, norms, ())

    def column(self, part: int) -> tuple[memoryview, ...]:
        return tuple(self.parts[peer][part] for peer in self.attempt.seats.workers)

    def measured(self, peer: PeerId, part: int | None = None):  # type: ignore[no-untyped-def]
        attempt = self.attempt
        column = () if part is None else self.column(part)
        return measure_rows(
            MeasureRows(
                0, R, attempt.seats.partition, attempt.seats.tau, self.parts[peer], part, column, attempt.carried.flat
            )
        )

    def publish(self, peer: PeerId, part: int, product: float, norm: float) -> None:
        scalars = self.attempt.said.scalars[peer]
        products, norms = list(scalars.products), list(scalars.norms)
        products[part], norms[part] = product, norm
        self.attempt.said.scalars[peer] = Scalars(scalars.attempt_id, tuple(products), tuple(norms), ())

    def again(self, part: int) -> float:
        attempt = self.attempt
        seats = attempt.seats
        action = AggregateAgain(0, seats.aggregation, seats.partition, part, self.column(part), attempt.carried.flat)
        return compare_again(action)

    def found(self, peer: PeerId, vector: torch.Tensor | None = None) -> Finding:
        return examine(self.attempt, peer, self.vectors[peer] if vector is None else vector)


def under(validation: Validation = Validation.TOLERANT, **fields: object) -> StepRules:
    return dataclasses.replace(RULES, verification=VerificationRules(validation=validation), **fields)  # type: ignore[arg-type]
