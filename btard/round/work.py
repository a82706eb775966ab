"""The heavy work that a step asks its driver for: encoding the own vector, and aggregating the own part's rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from btard.aggregation import RuleName, finite_rows, get_rule
from btard.hashing import digest
from btard.round.partition import Partition, WireType, rows_from_wire, to_wire
from btard.transport.base import Payload


@dataclass(frozen=True)
class AggregationRules:
    """How parts are aggregated.

    Attributes:
        rule: the aggregation rule.
        tau: clipping radius of a part when the roster has `reference_peers` members. With n members a part has
            d/n coordinates, and an honest deviation shrinks or grows with sqrt(1/n): so does the radius.
    """

    rule: RuleName
    tau: float
    reference_peers: int

    def part_tau(self, members: int) -> float:
        """Return the clipping radius of a part in an attempt with `members` members."""
        return self.tau * math.sqrt(self.reference_peers / members)


def encode_parts(vector: torch.Tensor, count: int, wire: WireType) -> tuple[tuple[memoryview, ...], tuple[bytes, ...]]:
    """Cut a float32 vector of shape (d,) into the wire bytes of `count` parts, and hash each."""
    flat = to_wire(vector, wire)
    partition = Partition(len(vector), count, wire)
    parts = tuple(partition.view(flat, part) for part in range(count))
    return parts, tuple(digest(part) for part in parts)


def aggregate_rows(
    rows: Sequence[Payload], members: int, wire: WireType, rules: AggregationRules
) -> tuple[memoryview, tuple[int, ...]]:
    """Aggregate the rows of one part.

    A row with NaN or infinity is left out: which rows those are follows from the committed bytes, so all who hold them
    agree. With no row left the aggregate is zero.

    Returns:
        The aggregate's wire bytes, and the positions of the rows left out.
    """
    vectors = rows_from_wire(rows, wire)
    if len(vectors[0]) == 0:
        return to_wire(vectors[0], wire), ()
    finite = finite_rows(vectors)
    kept = [vector for vector, good in zip(vectors, finite, strict=True) if good]
    refused = tuple(i for i, good in enumerate(finite) if not good)
    if not kept:
        return to_wire(torch.zeros_like(vectors[0]), wire), refused
    value = get_rule(rules.rule).aggregate(kept, tau=rules.part_tau(members)).value
    return to_wire(value, wire), refused
