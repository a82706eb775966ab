"""What the validators of a step owe in the next one: an opening of what they have recomputed, each to its target."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from btard.identity import PeerId
from btard.round.attempt.attempt import Attempt
from btard.round.messages.opening import Opening
from btard.verification.openings import direction_of


@dataclass(frozen=True)
class Debt:
    """An opening that is owed.

    Attributes:
        validator: owes it.
        target: whose vector the validator had to recompute, and knows what it gives.
        seal: what the validator has committed to; empty if it has sealed nothing.
        direction: 32 bytes that the direction of the numbers follows from.
        record: the attempt in which the target sent that vector.
    """

    validator: PeerId
    target: PeerId
    seal: bytes
    direction: bytes
    record: Attempt = field(repr=False)

    def is_paid_by(self, opening: Opening | None) -> bool:
        """Whether there is anything to compare: something was sealed, and is opened."""
        return bool(self.seal) and opening is not None


@dataclass(frozen=True)
class Debts:
    """All openings that are owed in a step, as one peer knows them.

    Attributes:
        owed: one a validator of the step before.
        known: whether this peer was in the two steps before, so that there are no others.
        vector: float32 of shape (d,), the one that this peer has recomputed as a validator, or has sent as a target.
    """

    owed: tuple[Debt, ...] = ()
    known: bool = False
    vector: torch.Tensor | None = field(default=None, repr=False, compare=False)

    def of(self, peer: PeerId) -> Debt | None:
        """Return the debt that a peer is party to; a target of a step is no validator of it."""
        return next((debt for debt in self.owed if peer in (debt.validator, debt.target)), None)

    def between(self, validator: PeerId, target: PeerId) -> Debt | None:
        """Return what a validator owes to a target."""
        return next((debt for debt in self.owed if (debt.validator, debt.target) == (validator, target)), None)


NO_DEBTS = Debts()
"""Of a peer that was not in the two steps before."""


def owed_after(record: Attempt, sealed: Attempt, vector: torch.Tensor | None) -> Debts:
    """Return what is owed once a step is over.

    A validator owes nothing if it or its target is out. One whose target showed it nothing had nothing to seal, but
    then the charge of that has cost one of the two its place.

    Args:
        record: the attempt that finished the step before.
        sealed: the attempt that finished the step.
        vector: this peer's part in it, see `Debts`.
    """
    seats, said = sealed.seats, sealed.said
    owed = []
    for validator, target in seats.validators.items():
        if target not in seats.known:
            continue
        seal, direction = said.commits[validator].seal, direction_of(sealed.results.randomness, validator)
        owed.append(Debt(validator, target, seal, direction, record))
    return Debts(tuple(owed), True, vector)
