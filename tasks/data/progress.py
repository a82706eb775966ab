"""How far the preparation of a corpus is."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class PreparationStage(StrEnum):
    """What a preparation is doing."""

    TOKENIZER = "training the tokenizer"
    TOKENS = "tokenising"


@dataclass(frozen=True, slots=True)
class PreparationProgress:
    """How far a stage is, in the source's unit (characters or rows)."""

    stage: PreparationStage
    done: int
    total: int


ProgressListener = Callable[[PreparationProgress], None]
