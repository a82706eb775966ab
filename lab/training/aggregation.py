"""From many vectors to one: the rule on whole vectors, or on every part of a butterfly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from btard.aggregation import BadRow, CenteredClip, Rows, Rule, centered_clip, make_rule
from btard.aggregation.any_rows import NoFiniteRow, of_finite_rows
from btard.aggregation.rows import rows_made_in
from btard.errors import UserError
from btard.lab.training.choices import Topology
from btard.lab.training.settings import ExperimentSettings
from btard.lab.training.workers.problem import device_of
from btard.vectors.partition import Partition
from btard.vocabulary import WireType


class Diverged(UserError):
    """Training has left the finite numbers: no honest worker can be heard any more, whatever follows."""


@dataclass(frozen=True)
class Combined:
    """What the rule has made of a step's vectors.

    Attributes:
        value: (d,) float32, shared with no row.
        residual: the largest of all parts.
        left_out: how many rows were not finite.
        selected: positions of the rows that the value is the average of; None where it is not of single rows.
        clipped: the most rows that were clipped in a part; None for a rule that clips none.
        iterations: the most that a part took; None for a rule in closed form.
    """

    value: torch.Tensor
    residual: float
    left_out: int
    selected: tuple[int, ...] | None = None
    clipped: int | None = None
    iterations: int | None = None


class Combiner:
    """The rule of an experiment, and the shape in which workers apply it.

    Attributes:
        rule: the rule.
    """

    def __init__(self, settings: ExperimentSettings, dimension: int) -> None:
        """Raises UserError when there is no such rule, or it cannot make one vector of so many."""
        self.rule: Rule = make_rule(settings.rule)
        self._now, self._seed, self._text = self.rule, settings.seed, settings.rule
        self._butterfly = settings.topology is Topology.BUTTERFLY
        self._device = device_of(settings.rule_device)
        self._dimension, self._rows_in = dimension, settings.rows_in
        self._check(settings.workers, settings.f)

    def begin(self, step: int) -> None:
        """Let a rule that draws make the draws of a step."""
        self._now = self.rule.at(step, self._seed)

    def _check(self, n: int, f: int) -> None:
        refusal = self.rule.check(n, f)
        if refusal is not None:
            raise UserError(f"{refusal}: change --rule, --workers or --declared")

    def combine(self, rows: Sequence[torch.Tensor], f: int) -> Combined:
        """Return what the rule makes of rows (d,) float32, f of which may lie; the same row may occur several times.

        Rows that are not finite are left out, and count among the f.

        Raises:
            Diverged: no row is finite, or more than f are not and the rule cannot make one of those that are left.
            UserError: the rule cannot make one of so many, or not where they are.
        """
        home = rows[0].device
        moved = {id(row): row.to(self._device) for row in rows}

        def make(some: Rows, declared: int) -> Combined:
            out = len(rows) - len(some)
            if out > f and self.rule.check(len(some), 0) is not None:
                raise Diverged(f"{out} workers' vectors are not finite any more, more than the rule allows for")
            return self._all([torch.as_tensor(row) for row in some], declared, home)

        try:
            with rows_made_in(self._rows_in):
                found, kept = of_finite_rows(make, [moved[id(row)] for row in rows], f)
        except NoFiniteRow:
            raise Diverged(
                "no worker's vector is finite any more: a lower --learning-rate or a --gradient-clip helps"
            ) from None
        except BadRow as error:
            raise UserError(
                f"the rule {self._text} cannot be used with --rule-device {self._device}: {error}"
            ) from error
        selected = None if found.selected is None else tuple(kept[index] for index in found.selected)
        return replace(found, left_out=len(rows) - len(kept), selected=selected)

    def _all(self, rows: Sequence[torch.Tensor], f: int, home: torch.device) -> Combined:
        self._check(len(rows), f)
        if self._butterfly:
            return self._of_parts(rows, f, home)
        found = self._one(rows, f)
        return replace(found, value=found.value.to(home))

    def _of_parts(self, rows: Sequence[torch.Tensor], f: int, home: torch.device) -> Combined:
        partition = Partition(self._dimension, len(rows), WireType.FLOAT32)
        value, parts = torch.empty(self._dimension, device=home), []
        for part in range(min(partition.count, self._dimension)):
            start, end = partition.bounds(part)
            views = {id(row): row[start:end] for row in rows}
            found = self._one([views[id(row)] for row in rows], f)
            value[start:end] = found.value
            parts.append(found)
        clipped = [part.clipped for part in parts if part.clipped is not None]
        iterations = [part.iterations for part in parts if part.iterations is not None]
        return Combined(
            value,
            max(part.residual for part in parts),
            0,
            None,
            max(clipped, default=None),
            max(iterations, default=None),
        )

    def _one(self, rows: Sequence[torch.Tensor], f: int) -> Combined:
        if isinstance(self._now, CenteredClip):
            clip = centered_clip(rows, tau=self._now.tau)
            return Combined(clip.value, clip.residual, 0, None, clip.n_clipped, clip.iterations)
        found = self._now.aggregate(rows, n_byzantine=f)
        return Combined(found.value, found.residual, 0, found.selected)
