"""The result of a check."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class CheckOutcome(StrEnum):
    """How a check ended."""

    OK = "ok"
    FAILED = "failed"
    UNTESTED = "untested"
    """It could not be tested, or there was nothing to compare with; the sentence says why."""


@dataclass(frozen=True)
class CheckResult:
    """What a check found: a sentence that names the hop, and after a failure what to do."""

    check: str
    outcome: CheckOutcome
    sentence: str


def ok(check: str, sentence: str) -> CheckResult:
    """Return the finding of a check that holds."""
    return CheckResult(check, CheckOutcome.OK, sentence)


def failed(check: str, sentence: str) -> CheckResult:
    """Return the finding of a check that does not hold."""
    return CheckResult(check, CheckOutcome.FAILED, sentence)


def untested(check: str, sentence: str) -> CheckResult:
    """Return the finding of a check that could not be made."""
    return CheckResult(check, CheckOutcome.UNTESTED, sentence)
