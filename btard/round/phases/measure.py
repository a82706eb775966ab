"""Phase 5, measure: random projections of all deviations, and verifications 1 and 2 (paper, section 3.1)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from btard.identity import MessageKind, PeerId
from btard.round.actions import Action, MeasureRows
from btard.round.attempt.attempt import Attempt
from btard.round.attempt.columns import suspect_columns
from btard.round.context import StepContext
from btard.round.messages.accusations import Charge, ChargeKind, Fault
from btard.round.messages.bodies import Phase, Scalars
from btard.round.work.rows import Measured
from btard.verification.scalars import aggregate_error, published_sum_tolerance, scalars_excess, sum_excess
from btard.verification.thresholds import SCALARS, SUM


class MeasurePhase:
    """Broadcast products and norms of the own vector; compare everyone's with the rows of the own part."""

    phase = Phase.MEASURE

    def __init__(self, context: StepContext, attempt: Attempt) -> None:
        self._context = context
        self._attempt = attempt
        self._seats = attempt.seats
        self._said = attempt.said
        self._carried = attempt.carried
        self._results = attempt.results
        self._measured = False

    def enter(self) -> list[Action]:
        """Ask for the projections."""
        seats, carried = self._seats, self._carried
        count = seats.partition.count if self._submits else 0
        own = tuple(carried.rows[seats.me, part] for part in range(count))
        column = () if seats.my_part is None else tuple(carried.rows[p, seats.my_part] for p in seats.workers)
        return [
            MeasureRows(
                seats.number,
                self._results.randomness,
                seats.partition,
                seats.tau,
                own,
                seats.my_part,
                column,
                carried.flat,
            )
        ]

    @property
    def _submits(self) -> bool:
        return self._seats.me in self._seats.submitters

    def measured(self, result: Measured) -> list[Action]:
        """The projections are ready: broadcast the own ones, keep those of the column to compare with."""
        results = self._results
        attempt, context = self._attempt, self._context
        self._measured = True
        results.aggregate_norms = result.aggregate_norms
        results.excess.update((part, math.inf) for part in result.not_finite)
        results.column.update(zip(self._seats.workers, result.column, strict=False))
        if not self._submits:
            return []
        products, norms = (tuple(values) for values in zip(*result.own, strict=True))
        scalars = Scalars(self._seats.attempt_id, products, norms, result.doubts)
        return context.publish(
            attempt, MessageKind.SCALARS, context.behaviour.scalars(context.number, scalars, attempt.view)
        )

    def busy(self) -> bool:
        """Whether the own projections are not ready."""
        return not self._measured

    def complete(self) -> bool:
        """Whether the numbers of all submitters are here."""
        return len(self._said.scalars) == len(self._seats.submitters) and not self.missing()

    def halfway(self) -> bool:
        """Whether the numbers of most submitters are here."""
        return self._seats.most_submitters_have_sent(self._said.scalars)

    def missing(self) -> dict[PeerId, Fault]:
        """Return whose numbers have not come, or belong to another membership."""
        return {
            p: Fault.NO_SCALARS for p in self._seats.submitters if p != self._seats.me and p not in self._said.scalars
        }

    def charge(self) -> Charge | None:
        """Return the accusation: of a sender whose number is not that of its row, else of an owner whose column does
        not add up."""
        seats, results = self._seats, self._results
        attempt = self._attempt
        for part in sorted(results.excess):
            if seats.owners[part] != seats.me:
                return Charge(ChargeKind.WRONG_AGGREGATE, seats.owners[part], part)
        if seats.my_part is not None:
            for peer in seats.workers:
                excess = row_excess(attempt, peer, seats.my_part, results.column[peer])
                if peer != seats.me and SCALARS.accuses(excess):
                    return Charge(ChargeKind.FALSE_SCALARS, peer, seats.my_part)
        for part in self.spoilt_sums(SUM.accuses):
            return Charge(ChargeKind.WRONG_SUM, seats.owners[part], part)
        return None

    def spoilt_sums(self, off: Callable[[float], bool]) -> Iterator[int]:
        """Yield the parts of others whose products add up to something that is `off`, by its excess."""
        for part in self._suspect_sums():
            if self._seats.owners[part] != self._seats.me and off(column_excess(self._attempt, part)):
                yield part

    def _suspect_sums(self) -> tuple[int, ...]:
        """Return the parts whose products do not clearly add up to zero, where they must."""
        seats = self._seats
        if seats.equation is None:
            return ()
        bodies = tuple(self._said.signed[MessageKind.SCALARS, peer].body for peer in seats.workers)
        norms, residual = self._results.aggregate_norms, seats.equation.residual
        return suspect_columns(bodies, norms, seats.partition, seats.tau, residual)

    def seconds(self) -> float:
        """How long the phase may take, measuring included."""
        return self._seats.rules.gather_seconds


def row_excess(attempt: Attempt, peer: PeerId, part: int, true: tuple[float, float]) -> float:
    """Verification 1: how many times their tolerance a peer's product or norm of a part is off.

    Args:
        true: (product, norm) as measured on the bytes of the row that it sent.
    """
    scalars = attempt.said.scalars[peer]
    return scalars_excess(scalars.products[part], scalars.norms[part], true, attempt.seats.tau)


def column_excess(attempt: Attempt, part: int) -> float:
    """Verification 2: how many times its tolerance the sum of a part's products is off zero, over all workers; 0 under
    rules whose products need not add up to anything."""
    if attempt.seats.equation is None:
        return 0.0
    return sum_excess(
        (attempt.said.scalars[peer].products[part] for peer in attempt.seats.workers), column_tolerance(attempt, part)
    )


def column_tolerance(attempt: Attempt, part: int) -> float:
    """Verification 2: how far from zero the sum of an honest owner's column can be, where the rule solves an
    equation."""
    seats = attempt.seats
    assert seats.equation is not None
    norms = [attempt.said.scalars[peer].norms[part] for peer in seats.workers]
    start, stop = seats.partition.bounds(part)
    error = aggregate_error(attempt.results.aggregate_norms[part], stop - start, seats.partition.wire)
    residual = seats.equation.residual
    return float(published_sum_tolerance(norms, seats.tau, residual=residual, error=error))
