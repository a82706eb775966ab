"""What a planted bug is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One planted bug.

    Attributes:
        name: what is wrong, in words.
        file: the source file, from the top of the repository.
        old: text that occurs in it once.
        new: what it is replaced by.
        test: the pytest node that passes without the bug and fails with it.
    """

    name: str
    file: str
    old: str
    new: str
    test: str
