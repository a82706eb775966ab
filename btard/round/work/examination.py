"""Whether a peer's vector of the step before is what it had to send: a recomputation against what was published.

Of the attempt that finished, hashes and scalars decide. Of attempts that failed, what was published after the hashes
may have reached some members only, and judges must come to one finding: there the hashes decide, and where machines may
differ the vector itself, which its author shows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from btard.identity import Malformed, PeerId
from btard.round.attempt.attempt import Attempt
from btard.round.attempt.pledges import Hashes
from btard.round.messages.accusations import Opinion
from btard.round.rules import AggregationRules, StepRules
from btard.round.work.rows import aggregates_of, encode_parts
from btard.vectors.momentum import Link, vector_from_bytes
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
        withheld: the target does not show the momentum that its vector was built on, or its vector.
        accomplices: owners that hold a row and have accepted false scalars about it, ascending.
    """

    opinion: Opinion
    accuse: bool
    distance: float
    accomplices: tuple[PeerId, ...] = ()
    withheld: bool = False


@dataclass(frozen=True)
class Recomputed:
    """A vector of the step before, recomputed.

    Attributes:
        vector: float32 of shape (d,).
        digest: of its bytes.
    """

    vector: torch.Tensor = field(repr=False, compare=False)
    digest: bytes


UNKNOWN = Finding(Opinion.UNSURE, False, math.inf)
"""The finding of a peer that does not hold the state of the step before."""

UNSEEN = Finding(Opinion.UNSURE, False, math.inf, withheld=True)
"""The finding of a peer that has not been shown the momentum, or the vector of a failed attempt."""

CAUGHT = Finding(Opinion.GUILTY, True, math.inf)
"""The finding about a vector whose hashes differ where all machines are alike."""


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
    size = _length(torch.cat(rows))
    distance = sketch_distance(claims, tau)
    relative = distance_excess(distance, size, len(vector), partition.wire, rules.verification.accuse)
    measured = [(SCALARS, excess) for excess in lies.values()]
    return judged([*measured, (rules.verification.gradient, relative)], relative, accomplices)


def unlike(pledged: Sequence[Hashes], vector: torch.Tensor, rules: StepRules) -> tuple[Hashes, ...]:
    """Return what a peer has committed to in failed attempts that is not a recomputed vector."""
    counts = {len(hashes) for hashes in pledged}
    true = {count: encode_parts(vector, count, rules.wire, rules.aggregation)[1] for count in counts}
    return tuple(hashes for hashes in pledged if hashes != true[len(hashes)])


def examine_shown(pledged: Sequence[Hashes], shown: bytes | None, vector: torch.Tensor, rules: StepRules) -> Finding:
    """Compare what a target sent in failed attempts with a recomputed vector, float32 of shape (d,).

    An honest peer sends one vector in all attempts, so the one that is shown has to be that of every pledge.

    Args:
        pledged: what the target has committed to that is not the recomputed vector; not none.
        shown: the vector that the target shows, 4 d bytes; None for none.
    """
    if shown is None or not is_pledged(pledged, shown, rules):
        return UNSEEN
    sent = vector_from_bytes(shown, len(vector))
    return worst([_distant(sent, vector, count, rules) for count in sorted({len(hashes) for hashes in pledged})])


def is_pledged(pledged: Sequence[Hashes], shown: bytes, rules: StepRules) -> bool:
    """Whether bytes are a vector that is all of what a target has committed to."""
    try:
        sent = vector_from_bytes(shown, rules.dimension)
    except Malformed:
        return False
    return all(encode_parts(sent, len(hashes), rules.wire, rules.aggregation)[1] == hashes for hashes in pledged)


def _distant(sent: torch.Tensor, vector: torch.Tensor, count: int, rules: StepRules) -> Finding:
    """Compare two vectors as they travel in so many parts."""
    encoded = (encode_parts(each, count, rules.wire, rules.aggregation)[0] for each in (sent, vector))
    theirs, true = (torch.cat(rows_from_wire(parts, rules.wire)) for parts in encoded)
    off = _length(theirs - true)
    distance = off if math.isfinite(off) else math.inf
    relative = distance_excess(distance, _length(true), len(vector), rules.wire, rules.verification.accuse)
    return judged([(rules.verification.gradient, relative)], relative, ())


def worst(findings: Sequence[Finding]) -> Finding:
    """Return what follows from findings about all attempts of one step: the worst decides, and a proven lie more than
    what is withheld."""
    opinions = {finding.opinion for finding in findings}
    accuse = any(finding.accuse for finding in findings)
    return Finding(
        next(o for o in (Opinion.GUILTY, Opinion.UNSURE, Opinion.INNOCENT) if o in opinions),
        accuse,
        max(finding.distance for finding in findings),
        tuple(sorted({peer for finding in findings for peer in finding.accomplices})),
        withheld=not accuse and any(finding.withheld for finding in findings),
    )


def _length(vector: torch.Tensor) -> float:
    return float(torch.linalg.vector_norm(vector, dtype=torch.float64))


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
