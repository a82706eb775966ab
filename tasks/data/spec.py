"""Names a corpus and a tokenizer, as the owner of a machine does by its flags; see `public` for what strangers may."""

from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

from btard.errors import UserError
from btard.tasks.data.files import exists, expanded, files_below
from btard.tasks.data.names import Configuration, Revision, is_configuration, is_hub_name, is_revision
from btard.tasks.data.tables import FORMATS, format_of

HUB_PREFIX = "hub:"
TEXT_ENDING = ".txt"
_OTHER_TABLES = ("tsv", "ndjson", "arrow", "feather", "orc", "xls", "xlsx")


class SourceKind(StrEnum):
    """Where the documents come from."""

    BUILTIN = "builtin"
    """What the task ships with: Shakespeare's plays for language models, scikit-learn's digits for `digits`."""
    TEXT = "text"
    """A UTF-8 text file, or a folder with .txt files (one document each)."""
    TABLES = "tables"
    """A parquet, JSON or CSV file, or a folder of them; a column `text`, or `input_ids` if it is tokenised."""
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
        if tokenizer is not None:
            tokenizer = str(expanded(tokenizer, "the tokenizer"))
        if source == SourceKind.BUILTIN:
            return cls(tokenizer=tokenizer)
        path = expanded(source, "the data source")
        if source and not source.startswith(HUB_PREFIX) and exists(path):
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
        if source.startswith(HUB_PREFIX) and name and exists(expanded(name, "the data source")):
            raise UserError(f"{source!r} names no Hub data set, which is OWNER/NAME; give a path without {HUB_PREFIX}")
        raise UserError(
            f"the data source {source!r} is neither 'builtin', an existing file or folder, nor a Hub data set "
            f"written as OWNER/NAME:CONFIGURATION or {HUB_PREFIX}OWNER/NAME"
        )


def is_saved_dataset(folder: Path) -> bool:
    """Whether `datasets` wrote this folder with `save_to_disk`; raises OSError where it cannot be looked at."""
    return (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file()


def _kind_of(path: Path) -> SourceKind:
    """Look at names alone; raises UserError where they do not tell what is meant."""
    if not path.is_dir():
        if not path.is_file():
            raise UserError(f"{path} is no ordinary file; a corpus is a file, or a folder of files")
        return _kind_of_file(path)
    try:
        if is_saved_dataset(path):
            return SourceKind.SAVED
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    names = [file.name for file in files_below(path)]
    tables = [name for name in names if format_of(name)]
    texts = [name for name in names if name.endswith(TEXT_ENDING)]
    if tables and texts:
        raise UserError(
            f"the folder {path} has files of text, such as {texts[0]}, and of rows, such as {tables[0]}; name one of "
            "them, or put one kind into a folder of its own"
        )
    return SourceKind.TABLES if tables else SourceKind.TEXT


def _kind_of_file(path: Path) -> SourceKind:
    if format_of(path.name):
        return SourceKind.TABLES
    ending = path.name.removesuffix(".gz").rpartition(".")[2]
    if ending in _OTHER_TABLES:
        raise UserError(f"{path} has rows in a form that is not read; convert it to {', '.join(FORMATS)}")
    return SourceKind.TEXT
