"""Phase 5, measure: random projections of all deviations, and verifications 1 and 2 (paper, section 3.1)."""

from __future__ import annotations

import math

from btard.identity import MessageKind, PeerId
from btard.round.actions import Action, MeasureRows
from btard.round.attempt.attempt import Attempt
from btard.round.attempt.columns import questionable
from btard.round.messages.accusations import Charge, ChargeKind, Fault
from btard.round.messages.bodies import Phase, Scalars
from btard.round.phases.phase import StepContext
from btard.round.vectors.work import Measured
from btard.verification.scalars import aggregate_error, published_sum_tolerance, scalars_excess, sum_excess
from btard.verification.thresholds import SCALARS, SUM


class MeasurePhase:
    """Broadcast products and norms of the own vector; compare everyone's with the rows of the own part."""

    phase = Phase.MEASURE

    def __init__(self, step: StepContext, attempt: Attempt) -> None:
        self._step = step
        self._attempt = attempt
        self._measured = False

    def enter(self) -> list[Action]:
        """Ask for the projections."""
        attempt = self._attempt
        count = attempt.partition.count if self._submits else 0
        own = tuple(attempt.rows[attempt.me, part] for part in range(count))
        column = () if attempt.my_part is None else tuple(attempt.rows[p, attempt.my_part] for p in attempt.workers)
        return [
            MeasureRows(
                attempt.number,
                attempt.randomness,
                attempt.partition,
                attempt.tau,
                own,
                attempt.my_part,
                column,
                attempt.flat,
            )
        ]

    @property
    def _submits(self) -> bool:
        return self._attempt.me in self._attempt.submitters

    def measured(self, result: Measured) -> list[Action]:
        """The projections are ready: broadcast the own ones, keep those of the column to compare with."""
        attempt, step = self._attempt, self._step
        self._measured = True
        attempt.aggregate_norms = result.aggregate_norms
        attempt.excess.update((part, math.inf) for part in result.not_finite)
        attempt.column.update(zip(attempt.workers, result.column, strict=False))
        if not self._submits:
            return []
        products, norms = (tuple(values) for values in zip(*result.own, strict=True))
        scalars = Scalars(attempt.context, products, norms, result.doubts)
        return step.publish(attempt, MessageKind.SCALARS, step.behaviour.scalars(step.number, scalars, attempt.view))

    def busy(self) -> bool:
        """Whether the own projections are not ready."""
        return not self._measured

    def complete(self) -> bool:
        """Whether the numbers of all submitters are here."""
        return len(self._attempt.scalars) == len(self._attempt.submitters) and not self.missing()

    def missing(self) -> dict[PeerId, Fault]:
        """Return whose numbers have not come, or belong to another membership."""
        attempt = self._attempt
        return {p: Fault.NO_SCALARS for p in attempt.submitters if p != attempt.me and p not in attempt.scalars}

    def charge(self) -> Charge | None:
        """Return whom to accuse: a sender whose number is not that of its row, else an owner whose column does not add
        up."""
        attempt = self._attempt
        for part in sorted(attempt.excess):
            if attempt.owners[part] != attempt.me:
                return Charge(ChargeKind.WRONG_AGGREGATE, attempt.owners[part], part)
        if attempt.my_part is not None:
            for peer in attempt.workers:
                excess = row_excess(attempt, peer, attempt.my_part, attempt.column[peer])
                if peer != attempt.me and SCALARS.accuses(excess):
                    return Charge(ChargeKind.FALSE_SCALARS, peer, attempt.my_part)
        for part in self._suspect_sums():
            if attempt.owners[part] != attempt.me and SUM.accuses(column_excess(attempt, part)):
                return Charge(ChargeKind.WRONG_SUM, attempt.owners[part], part)
        return None

    def _suspect_sums(self) -> tuple[int, ...]:
        """Return the parts whose products do not clearly add up to zero, where they must."""
        attempt = self._attempt
        if attempt.equation is None:
            return ()
        bodies = tuple(attempt.signed[MessageKind.SCALARS, peer].body for peer in attempt.workers)
        residual = attempt.equation.residual
        return questionable(bodies, attempt.aggregate_norms, attempt.partition, attempt.tau, residual)

    def seconds(self) -> float:
        """How long the phase may take, measuring included."""
        return self._attempt.rules.gather_seconds


def row_excess(attempt: Attempt, peer: PeerId, part: int, true: tuple[float, float]) -> float:
    """Verification 1: how many times their tolerance a peer's product or norm of a part is off.

    Args:
        true: (product, norm) as measured on the bytes of the row that it sent.
    """
    scalars = attempt.scalars[peer]
    return scalars_excess(scalars.products[part], scalars.norms[part], true, attempt.tau)


def column_excess(attempt: Attempt, part: int) -> float:
    """Verification 2: how many times its tolerance the sum of a part's products is off zero, over all workers; 0 under
    rules whose products need not add up to anything."""
    if attempt.equation is None:
        return 0.0
    return sum_excess(
        (attempt.scalars[peer].products[part] for peer in attempt.workers), column_tolerance(attempt, part)
    )


def column_tolerance(attempt: Attempt, part: int) -> float:
    """Verification 2: how far from zero the sum of an honest owner's column can be, where the rule solves an
    equation."""
    assert attempt.equation is not None
    norms = [attempt.scalars[peer].norms[part] for peer in attempt.workers]
    start, stop = attempt.partition.bounds(part)
    error = aggregate_error(attempt.aggregate_norms[part], stop - start, attempt.partition.wire)
    residual = attempt.equation.residual
    return float(published_sum_tolerance(norms, attempt.tau, residual=residual, error=error))
