"""Which stages a step passes by, and which do not learn from it, once a stage has raised an alarm.

Lu et al., "Position: Exploring the Robustness of Pipeline-Parallelism-Based Decentralized Training", ICML 2024. Stage e
checks stage e - 1 against its duplicate of it, on what stage e - 2 has sent to both.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Recovery:
    """How a step goes on after an alarm.

    Attributes:
        skipped: stages that the redone step passes by.
        frozen: stages whose weights stay as they are, with their duplicates; all that are skipped are among them.
    """

    skipped: frozenset[int]
    frozen: frozenset[int]


NO_ALARM = Recovery(frozenset(), frozenset())
"""A step in which all take part."""


def recovery(stages: int, alarmed: int, *, trusted_relay: bool) -> Recovery:
    """Return what follows from an alarm.

    With a relay that all trust, what stage e - 2 has sent is known, so either e - 1 has lied or e accuses it falsely.
    Without one e - 2 may have sent them different values, and is a suspect too. The one stage more that is frozen has
    its duplicate on a skipped stage, and would else differ from it.

    Args:
        stages: how many there are; the first and the last are never passed by.
        alarmed: e, the stage that has raised the alarm, from 2.
        trusted_relay: whether all activations come over one relay.

    Raises:
        ValueError: that stage checks no other.
    """
    if not 2 <= alarmed < stages:
        raise ValueError(f"stage {alarmed} of {stages} checks no other; stages from 2 do")
    suspects = 1 if trusted_relay else 2
    return Recovery(
        _middle(stages, alarmed - suspects, alarmed),
        _middle(stages, alarmed - suspects - 1, alarmed),
    )


def _middle(stages: int, low: int, high: int) -> frozenset[int]:
    """Return the stages from low to high that are neither first nor last."""
    return frozenset(range(max(low, 1), min(high, stages - 2) + 1))
