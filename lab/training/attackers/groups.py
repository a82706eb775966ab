"""Groups of attackers as a user writes them: which attack, how many workers, and when.

A group is `[COUNT*]ATTACK[@KEY=VALUE,...]`, and several are joined by semicolons:

    little:factor=1.5,negative=true
    3*little:factor=1.5@start=100;2*sign_flipping@every=5,probability=0.5
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from btard.configuration.named import Named
from btard.errors import UserError
from btard.hashing import tagged_digest

_TIMES = {"start": int, "stop": int, "every": int, "probability": float}


@dataclass(frozen=True)
class Times:
    """The steps in which a worker attacks.

    Attributes:
        start: the first one.
        stop: the first one after which there is none; None for no end.
        every: only each so many-th step from the first on.
        probability: how likely each of these is attacked.
    """

    start: int = 0
    stop: int | None = None
    every: int = 1
    probability: float = 1.0

    @property
    def always(self) -> bool:
        """Whether every step of a run is attacked."""
        return self == Times()

    def attacks(self, step: int, seed: int, worker: int) -> bool:
        """Return whether a worker attacks in a step; a draw depends on seed, step and worker alone."""
        if step < self.start or (self.stop is not None and step >= self.stop) or (step - self.start) % self.every:
            return False
        return self.probability >= 1 or chance("attack", seed, step, worker) < self.probability


@dataclass(frozen=True)
class AttackGroup:
    """Attackers of one kind.

    Attributes:
        attack: the attack's text, as `make_attack` reads it.
        workers: how many; None for an equal share of those that no group counts.
        times: when they attack.
    """

    attack: str
    workers: int | None
    times: Times


def chance(purpose: str, seed: int, step: int, worker: int) -> float:
    """Return a uniform number in [0, 1) that its arguments alone decide."""
    drawn = tagged_digest(
        f"btard experiment {purpose}", seed.to_bytes(8, "big"), step.to_bytes(8, "big"), worker.to_bytes(8, "big")
    )
    return (int.from_bytes(drawn[:8], "big") >> 11) / 2**53


def read_groups(text: str, times: Times) -> list[AttackGroup]:
    """Return the groups that a text names.

    Args:
        times: of groups that say nothing of it.

    Raises:
        ValueError: it has another form; a phrase that begins with "must".
    """
    return [_group(part.strip(), times) for part in text.split(";")]


def _group(text: str, times: Times) -> AttackGroup:
    match = re.fullmatch(r"(?:(\d+)\s*\*\s*)?([^@*]+?)(?:\s*@\s*([^@]*))?", text)
    if match is None:
        raise ValueError(
            f"must be groups such as 3*little:factor=1.5@start=10, joined by semicolons, which {text!r} is not"
        )
    count, attack, when = match.groups()
    if count is not None and int(count) < 1:
        raise ValueError("must give every group at least one worker")
    return AttackGroup(attack, None if count is None else int(count), _times(when, times))


def _times(text: str | None, times: Times) -> Times:
    if not text:
        return times
    try:
        given = Named.parse(f"times:{text}", "the times of an attack").values
    except UserError:
        raise ValueError(f"must give times as start=10,every=2, not as {text!r}") from None
    found: dict[str, int | float] = {}
    for key, value in given.items():
        if key not in _TIMES:
            raise ValueError(f"must give times by {', '.join(_TIMES)}, not by {key!r}")
        try:
            found[key] = _TIMES[key](str(value))
        except ValueError:
            raise ValueError(f"must give {key} a number, not {value!r}") from None
    made = replace(times, **found)  # type: ignore[arg-type]
    if made.start < 0 or made.every < 1 or not 0 <= made.probability <= 1:
        raise ValueError("must start at step 0 or later, attack every 1 or more steps, with a probability from 0 to 1")
    if made.stop is not None and made.stop <= made.start:
        raise ValueError(f"must stop after its start, not at step {made.stop} where it starts at {made.start}")
    return made


def dealt(groups: list[AttackGroup], attackers: int) -> list[int]:
    """Return how many workers each group has, `attackers` in all.

    Raises:
        ValueError: the groups' numbers do not add up, or a group is left without one; a whole sentence.
    """
    counted = sum(group.workers or 0 for group in groups)
    open_groups = [index for index, group in enumerate(groups) if group.workers is None]
    left = attackers - counted
    if left < len(open_groups) or (left > 0 and not open_groups):
        raise ValueError(
            f"--attackers is {attackers}, which {len(groups)} groups of attackers with {counted} counted cannot be"
        )
    share, more = divmod(left, len(open_groups)) if open_groups else (0, 0)
    return [
        group.workers if group.workers is not None else share + (open_groups.index(index) < more)
        for index, group in enumerate(groups)
    ]
