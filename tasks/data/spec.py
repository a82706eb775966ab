"""Names a corpus and a tokenizer; small enough to travel in the run manifest."""

from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

from btard.errors import UserError

HUB_PREFIX = "hub:"


class SourceKind(StrEnum):
    """Where the documents come from."""

    BUILTIN = "builtin"
    """What the task ships with: Shakespeare's plays for language models, scikit-learn's digits for `digits`."""
    TEXT = "text"
    """A UTF-8 text file, or a folder with .txt files (one document each)."""
    SAVED = "saved"
    """A data set that `datasets` wrote with `save_to_disk`; a column `text`, or `input_ids` if it is tokenised."""
    HUB = "hub"
    """Whatever `datasets.load_dataset` takes: a Hub data set, or a local folder of json, csv or parquet files."""


class DataSpec(BaseModel):
    """A corpus and, unless one is to be trained from it, a tokenizer.

    Attributes:
        kind: where the documents come from.
        location: path for TEXT and SAVED, data set name for HUB, empty for BUILTIN.
        configuration: the configuration of a HUB data set, such as `wikitext-103-raw-v1`.
        tokenizer: path of a tokenizer.json or of a folder that holds one; None trains a tokenizer from the corpus.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: SourceKind = SourceKind.BUILTIN
    location: str = ""
    configuration: str | None = None
    tokenizer: str | None = None

    @model_validator(mode="after")
    def _fields_fit_the_kind(self) -> Self:
        if (self.kind is SourceKind.BUILTIN) != (self.location == ""):
            raise ValueError("a built-in corpus has no location, every other kind needs one")
        if self.configuration is not None and self.kind is not SourceKind.HUB:
            raise ValueError("only a Hub data set has a configuration")
        return self

    @classmethod
    def parse(cls, source: str, tokenizer: str | None = None) -> Self:
        """Reads what a user types: `builtin`, a path, or `NAME:CONFIGURATION` or `hub:NAME` for a Hub data set.

        An existing path wins over a Hub name.

        Raises:
            UserError: neither of these.
        """
        if source == SourceKind.BUILTIN:
            return cls(tokenizer=tokenizer)
        path = Path(source).expanduser()
        if source and path.exists():
            kind = SourceKind.SAVED if is_saved_dataset(path) else SourceKind.TEXT
            return cls(kind=kind, location=str(path.resolve()), tokenizer=tokenizer)
        name, colon, configuration = source.removeprefix(HUB_PREFIX).partition(":")
        if name and (colon or source.startswith(HUB_PREFIX)):
            return cls(kind=SourceKind.HUB, location=name, configuration=configuration or None, tokenizer=tokenizer)
        raise UserError(
            f"the data source {source!r} is neither 'builtin', an existing file or folder, nor a Hub data set "
            f"written as NAME:CONFIGURATION or {HUB_PREFIX}NAME"
        )


def is_saved_dataset(folder: Path) -> bool:
    """Whether `datasets` wrote this folder with `save_to_disk`."""
    return (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file()
