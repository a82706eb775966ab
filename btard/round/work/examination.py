"""Whether a peer's vector of the step before is what it had to send: a recomputation against what was published."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from btard.identity import PeerId
from btard.round.attempt.attempt import Attempt
from btard.round.messages.accusations import Opinion
from btard.round.rules import AggregationRules
from btard.round.work.rows import aggregates_of, encode_parts
from btard.vectors.momentum import Link
from btard.vectors.partition import rows_from_wire
from btard.verification.projection import projection_of
from btard.verification.scalars import clipped, distance_excess, scalars_excess, sketch_distance
from btard.verification.thresholds import COVER_UP, SCALARS, Thresholds
from btard.vocabulary import Validation, WireType


@dataclass(frozen=True)
class Finding:
    """What a recomputation says about a peer's vector of the step before.

    Attributes:
        opinion: the vote that follows.
        accuse: whether it is off so far that a validator accuses.
        distance: `distance_excess` from the recomputed vector; 0 when all hashes are equal, infinite if unknown.
        withheld: the target does not show the momentum that its vector was built on.
        accomplices: owners that hold a row and have accepted false scalars about it, ascending.
    """

    opinion: Opinion
    accuse: bool
    distance: float
    accomplices: tuple[PeerId, ...] = ()
    withheld: bool = False


UNKNOWN = Finding(Opinion.UNSURE, False, math.inf)
"""The finding of a peer that does not hold the state of the step before."""

UNSEEN = Finding(Opinion.UNSURE, False, math.inf, withheld=True)
"""The finding of a peer that has not been shown the momentum."""


def continues(base: torch.Tensor, link: Link | None, wire: WireType, rules: AggregationRules) -> bool:
    """Whether a momentum, float32 of shape (d,), is what its owner submitted last, going by the hashes of its parts.

    Args:
        link: what is known of that, None for a peer that has not been seen to submit anything: it begins with zeros.
    """
    if link is None:
        return not bool(base.any())
    return encode_parts(base, link.count, wire, rules)[1] == link.digests


def examine(previous: Attempt, target: PeerId, vector: torch.Tensor) -> Finding:
    """Compare a recomputed vector, float32 of shape (d,), with what `target` committed to and published.

    With equal hashes the rows are known, and the published scalars are checked against them. Otherwise `exact` rules
    convict; `tolerant` ones estimate the distance from the scalars, which the owners have checked against the rows: so
    no row has to travel.
    """
    seats = previous.seats
    rules, partition, tau = seats.rules, seats.partition, seats.tau
    parts, digests = encode_parts(vector, partition.count, partition.wire, rules.aggregation)
    commit, scalars = previous.said.commits[target], previous.said.scalars[target]
    equal = [ours == theirs for ours, theirs in zip(digests, commit.parts, strict=True)]
    projection = projection_of(previous.results.randomness, partition)
    rows = rows_from_wire(parts, partition.wire)
    measures = projection.vector(rows, aggregates_of(partition, previous.carried.flat))
    lies = {
        part: scalars_excess(scalars.products[part], scalars.norms[part], (clipped(measure, tau), measure.norm), tau)
        for part, measure in enumerate(measures)
        if equal[part]
    }
    covered = [part for part, excess in lies.items() if excess > COVER_UP and target in seats.workers]
    accomplices = tuple(sorted(seats.owners[part] for part in covered if seats.owners[part] != target))
    if all(equal):
        return judged([(SCALARS, excess) for excess in lies.values()], 0.0, accomplices)
    if rules.verification.validation is Validation.EXACT:
        return Finding(Opinion.GUILTY, True, math.inf, accomplices)
    claims = [(s, n, m) for s, n, m in zip(scalars.products, scalars.norms, measures, strict=True)]
    size = float(torch.linalg.vector_norm(torch.cat(rows), dtype=torch.float64))
    distance = sketch_distance(claims, tau)
    relative = distance_excess(distance, size, len(vector), partition.wire, rules.verification.accuse)
    measured = [(SCALARS, excess) for excess in lies.values()]
    return judged([*measured, (rules.verification.gradient, relative)], relative, accomplices)


def judged(measured: Sequence[tuple[Thresholds, float]], distance: float, accomplices: tuple[PeerId, ...]) -> Finding:
    """Return what follows from several measures of one vector: the worst decides."""
    opinions = {opinion_on(thresholds, excess) for thresholds, excess in measured}
    accuse = any(thresholds.accuses(excess) for thresholds, excess in measured)
    for opinion in (Opinion.GUILTY, Opinion.UNSURE):
        if opinion in opinions:
            return Finding(opinion, accuse, distance, accomplices)
    return Finding(Opinion.INNOCENT, accuse, distance, accomplices)


def opinion_on(thresholds: Thresholds, excess: float) -> Opinion:
    """Return what a judge finds by one measure."""
    if thresholds.convicts(excess):
        return Opinion.GUILTY
    return Opinion.INNOCENT if thresholds.acquits(excess) else Opinion.UNSURE
