"""Names a corpus and a tokenizer, as the owner of a machine does by its flags; see `public` for what strangers may."""

from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

from btard.errors import UserError
from btard.tasks.data.names import Configuration, Revision, is_configuration, is_hub_name, is_revision
from btard.tasks.data.tables import has_tables

HUB_PREFIX = "hub:"


class SourceKind(StrEnum):
    """Where the documents come from."""

    BUILTIN = "builtin"
    """What the task ships with: Shakespeare's plays for language models, scikit-learn's digits for `digits`."""
    TEXT = "text"
    """A UTF-8 text file, or a folder with .txt files (one document each)."""
    TABLES = "tables"
    """A folder of parquet, JSON or CSV files; a column `text`, or `input_ids` if it is tokenised."""
    SAVED = "saved"
    """A data set that `datasets` wrote with `save_to_disk`; columns as those of TABLES."""
    HUB = "hub"
    """A data set of the Hub that consists of such files."""


class DataSpec(BaseModel):
    """A corpus and, unless one is to be trained from it, a tokenizer.

    Attributes:
        kind: where the documents come from.
        location: path for TEXT, TABLES and SAVED, `owner/name` for HUB, empty for BUILTIN.
        configuration: the configuration of a HUB data set, such as `wikitext-103-raw-v1`.
        revision: the commit of a HUB data set; None takes the newest.
        tokenizer: path of a tokenizer.json or of a folder that holds one; None trains a tokenizer from the corpus.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: SourceKind = SourceKind.BUILTIN
    location: str = ""
    configuration: Configuration | None = None
    revision: Revision | None = None
    tokenizer: str | None = None

    @model_validator(mode="after")
    def _fields_fit_the_kind(self) -> Self:
        if (self.kind is SourceKind.BUILTIN) != (self.location == ""):
            raise ValueError("a built-in corpus has no location, every other kind needs one")
        if self.kind is SourceKind.HUB and not is_hub_name(self.location):
            raise ValueError("a Hub data set is named owner/name")
        if self.kind is not SourceKind.HUB and (self.configuration is not None or self.revision is not None):
            raise ValueError("only a Hub data set has a configuration or a revision")
        return self

    @classmethod
    def parse(cls, source: str, tokenizer: str | None = None) -> Self:
        """Reads what a user types: `builtin`, a path, or `[hub:]OWNER/NAME[:CONFIGURATION][@COMMIT]` for the Hub.

        An existing path wins over a Hub name, unless `hub:` says what is meant: that is never a path.

        Raises:
            UserError: neither of these.
        """
        if source == SourceKind.BUILTIN:
            return cls(tokenizer=tokenizer)
        path = Path(source).expanduser()
        if source and not source.startswith(HUB_PREFIX) and _exists(path):
            return cls(kind=_kind_of(path), location=str(path.resolve()), tokenizer=tokenizer)
        rest, at, revision = source.removeprefix(HUB_PREFIX).partition("@")
        name, colon, configuration = rest.partition(":")
        named = is_hub_name(name) and (colon or at or source.startswith(HUB_PREFIX))
        if named and (is_configuration(configuration) or not colon) and (is_revision(revision) or not at):
            return cls(
                kind=SourceKind.HUB,
                location=name,
                configuration=configuration or None,
                revision=revision or None,
                tokenizer=tokenizer,
            )
        if source.startswith(HUB_PREFIX) and name and _exists(Path(name).expanduser()):
            raise UserError(f"{source!r} names no Hub data set, which is OWNER/NAME; give a path without {HUB_PREFIX}")
        raise UserError(
            f"the data source {source!r} is neither 'builtin', an existing file or folder, nor a Hub data set "
            f"written as OWNER/NAME:CONFIGURATION or {HUB_PREFIX}OWNER/NAME"
        )


def is_saved_dataset(folder: Path) -> bool:
    """Whether `datasets` wrote this folder with `save_to_disk`."""
    return (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file()


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long for a path, or with a NUL
        return False


def _kind_of(path: Path) -> SourceKind:
    if is_saved_dataset(path):
        return SourceKind.SAVED
    return SourceKind.TABLES if path.is_dir() and has_tables(path) else SourceKind.TEXT
