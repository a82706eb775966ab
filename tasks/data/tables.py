"""Reads rows from parquet, JSON and CSV files, nothing else beside them: no script, no card, no cache.

The files may be a stranger's. Each is opened by the path that the caller gives, and what is read of it, unpacked, is
counted against a limit.
"""

import csv
import gzip
import io
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Any, TextIO

from btard.errors import UserError
from btard.tasks.data.text_files import LONGEST_MARK, what_it_is

GIB = 1 << 30
FORMATS = ("parquet", "jsonl", "json", "csv")
"""Where a data set has several, the first of these is read."""

_ASIDE = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")
_TRAIN = re.compile(r"(?<![a-z])train(?:ing)?(?![a-z])")
_OTHER_SPLITS = re.compile(r"(?<![a-z])(?:test|testing|eval|evaluation|dev|val|valid|validation)(?![a-z])")
_BLANKS = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()
_BATCH_ROWS = 256
_BATCH_BYTES = 32 << 20
_MOST_ROW = 16 << 20
_CHUNK = 1 << 20
_LONGEST_WORD = 16
"""Characters of the longest word of JSON, such as a part of a number, that a chunk may have cut."""


def format_of(name: str) -> str | None:
    """Return the format of a file by its name, None for one that is not read."""
    last = name.rsplit("/", 1)[-1].removesuffix(".gz")
    known = last.rpartition(".")[2] if "." in last and last not in _ASIDE else ""
    return known if known in FORMATS and not (known == "parquet" and name.endswith(".gz")) else None


def training_files(
    names: Iterable[str], configuration: str | None, described_as: str, choose: str = "choose one as its configuration"
) -> list[str]:
    """Return the files of a data set's training part, ascending.

    Args:
        names: all files of the data set, relative to it.
        configuration: the folder that is wanted, None where there is only one.
        described_as: the data set, for sentences.
        choose: what to do where there are several, for the sentence.

    Raises:
        UserError: there are none, or the configuration is not known or not clear.
    """
    usable = sorted(name for name in names if format_of(name))
    if configuration is not None:
        folders = sorted({part for name in usable for part in name.split("/")[:-1]})
        usable = [name for name in usable if configuration in name.split("/")[:-1]]
        if not usable:
            raise UserError(f"{described_as} has no folder {configuration} (it has {_listed(folders)})")
    chosen = [name for name in usable if _TRAIN.search(name.lower())]
    if not chosen and usable:
        chosen = [name for name in usable if not _OTHER_SPLITS.search(name.lower())]
        if not chosen:
            raise UserError(f"{described_as} has no split 'train' (it has {_listed(usable)})")
    if not chosen:
        raise UserError(f"{described_as} has no {', '.join(FORMATS)} files")
    best = min((format_of(name) or "" for name in chosen), key=FORMATS.index)
    chosen = [name for name in chosen if format_of(name) == best]
    homes = sorted({name.rpartition("/")[0] for name in chosen})
    if configuration is None and len(homes) > 1:
        raise UserError(f"{described_as} has several parts ({_listed(homes)}): {choose}")
    return chosen


def _listed(names: Sequence[str]) -> str:
    return (", ".join(names[:8]) + (", ..." if len(names) > 8 else "")) or "none"


class Table:
    """Rows of files, read again from the first at every iteration, each as a dict of the selected columns.

    Attributes:
        column_names: of the first file.
    """

    def __init__(
        self, files: Sequence[Path], described_as: str, most: int | None = None, columns: Collection[str] | None = None
    ) -> None:
        """
        Args:
            files: absolute paths, all of one format.
            described_as: the data set, for sentences.
            most: bytes that may be read of it, unpacked; None for no limit.
            columns: those that are wanted, None for all.
        """
        self._files = files
        self._described_as = described_as
        self._most = most
        self._columns = columns

    @cached_property
    def column_names(self) -> list[str]:
        """The columns of the first row.

        Raises:
            UserError: it cannot be read.
        """
        return list(next(iter(self), {}))

    def select_columns(self, names: Collection[str]) -> "Table":
        """Return the same rows with these columns alone."""
        return Table(self._files, self._described_as, self._most, names)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        allowance = Allowance(self._most, self._described_as)
        for file in self._files:
            try:
                yield from self._rows_of(file, allowance)
            except UserError:
                raise
            except UnicodeDecodeError:
                raise UserError(f"{self._described_as}: {file.name} cannot be read: it {_encoded(file)}") from None
            except Exception as error:  # the formats' parsers have no common base
                raise UserError(f"{self._described_as}: {file.name} cannot be read: {_first_line(error)}") from error

    def _rows_of(self, file: Path, allowance: "Allowance") -> Iterator[Mapping[str, Any]]:
        match format_of(file.name):
            case "parquet":
                yield from _parquet(file, self._columns, allowance)
            case "csv":
                with _opened(file) as stream:
                    yield from (self._selected(row) for row in _csv(stream, allowance))
            case _:
                with _opened(file) as stream:
                    yield from (self._selected(row) for row in _json(stream, allowance))

    def _selected(self, row: Any) -> Mapping[str, Any]:
        if not isinstance(row, dict):
            raise ValueError("a row is no object with columns")
        return row if self._columns is None else {name: row[name] for name in self._columns if name in row}


class Allowance:
    """Counts what is read of a corpus."""

    def __init__(self, most: int | None, described_as: str) -> None:
        self._most = most
        self._described_as = described_as
        self._taken = 0

    def take(self, count: int) -> None:
        """Note that so many bytes are read; raises UserError beyond the limit."""
        self._taken += count
        if self._most is not None and self._taken > self._most:
            raise UserError(too_large(self._described_as, None, self._most))

    def lines(self, stream: TextIO) -> Iterator[str]:
        """Yield the lines of a file; raises ValueError for one that is too long to be a row, or no text."""
        while line := stream.readline(_MOST_ROW):
            self.take(len(line))
            if len(line) == _MOST_ROW:
                raise ValueError(f"a line is longer than {_MOST_ROW >> 20} MiB")
            if "\0" in line:
                raise ValueError("it has NUL characters, as UTF-16 has; convert it to UTF-8, for example with iconv")
            yield line

    def read(self, stream: TextIO, characters: int) -> str:
        """Return what follows in a file, no more than so many characters."""
        text = stream.read(characters)
        self.take(len(text))
        return text


def too_large(described_as: str, size: int | None, most: int) -> str:
    """Return the sentence for a corpus that is larger than the owner of this machine allows."""
    has = f"has {size / GIB:.1f} GiB" if size is not None else "unpacks to more than that"
    return f"{described_as} {has}, but --max-data allows {most / GIB:g} GiB on this machine; raise it to take it"


def _opened(file: Path) -> io.TextIOWrapper:
    if file.name.endswith(".gz"):
        return io.TextIOWrapper(gzip.open(file, "rb"), encoding="utf-8-sig", newline="")
    return file.open(encoding="utf-8-sig", newline="")


def _encoded(file: Path) -> str:
    if format_of(file.name) == "parquet":
        return "has text that is not UTF-8"
    with _opened(file) as stream:
        return what_it_is(bytes(stream.buffer.read(LONGEST_MARK)))


def _csv(stream: TextIO, allowance: Allowance) -> Iterator[dict[str, str | None]]:
    """Yield the rows below the line of names; a field that a short row lacks is None."""
    csv.field_size_limit(_MOST_ROW)
    rows = csv.reader(allowance.lines(stream), strict=True)
    names = next(rows, [])
    if len(set(names)) < len(names):
        raise ValueError("two columns have the same name")
    for row in rows:
        if len(row) > len(names):
            raise ValueError(
                f"line {rows.line_num} has {len(row)} fields, but the first has {len(names)} names; put text with "
                "commas in quotes"
            )
        if row:
            yield dict(zip_longest(names, row))


def _json(stream: TextIO, allowance: Allowance) -> Iterator[Any]:
    """Yield the rows of a file that is an array, or has a row a line."""
    start = stream.read(1)
    while start.isspace():
        start = stream.read(1)
    if start == "[":
        yield from _Array(stream, allowance).elements()
        return
    for number, line in enumerate(allowance.lines(stream), 1):
        if (whole := start + line).strip():
            try:
                row = json.loads(whole)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"line {number} is no row of JSON: {_first_line(error)}") from None
            yield row
        start = ""


class _Array:
    """Reads an array of JSON an element at a time."""

    def __init__(self, stream: TextIO, allowance: Allowance) -> None:
        """`stream`: of the file behind the opening bracket."""
        self._text = ""
        self._at = 0
        self._stream = stream
        self._allowance = allowance

    def elements(self) -> Iterator[Any]:
        """Yield them; raises ValueError for what is no array, or an element that is too long to be a row."""
        if self._next() != "]":
            yield self._element()
            while self._next() == ",":
                self._at += 1
                self._next()
                yield self._element()
        if self._next() != "]":
            raise ValueError("an array has no end" if not self._next() else "a comma is missing in an array")
        self._at += 1
        if self._next():
            raise ValueError("something follows behind the array")

    def _next(self) -> str:
        """The next character that is no blank, empty at the end; it stays where it is."""
        while True:
            rest = _BLANKS.match(self._text, self._at)
            self._at = rest.end() if rest else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def _element(self) -> Any:
        while True:
            try:
                found, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                is_cut = error.msg.startswith("Unterminated") or error.pos > len(self._text) - _LONGEST_WORD
                if not (is_cut and self._more()):
                    raise
                continue
            self._check_length(end - self._at)
            self._at = end
            return found

    def _more(self) -> bool:
        """Read on, twice as far each time, so that a long element is looked at a few times only."""
        left = self._text[self._at :]
        self._check_length(len(left))
        chunk = self._allowance.read(self._stream, max(_CHUNK, len(left)))
        self._text, self._at = left + chunk, 0
        return bool(chunk)

    @staticmethod
    def _check_length(characters: int) -> None:
        if characters > _MOST_ROW:
            raise ValueError(f"an element of an array is longer than {_MOST_ROW >> 20} MiB")


def _parquet(file: Path, columns: Collection[str] | None, allowance: Allowance) -> Iterator[Mapping[str, Any]]:
    from pyarrow import parquet

    with parquet.ParquetFile(file) as opened:
        described, schema = opened.metadata, opened.schema
        wanted = [name for name in opened.schema_arrow.names if columns is None or name in columns]
    leaves = [schema.column(number) for number in range(len(schema))]
    texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY" and leaf.path in wanted]
    groups = [described.row_group(number) for number in range(described.num_row_groups)]
    longest = max((group.total_byte_size / max(1, group.num_rows) for group in groups), default=1.0)
    at_once = int(min(max(_BATCH_BYTES / max(1.0, longest), 1), _BATCH_ROWS))
    # As dictionaries, a long text that is repeated is in memory once, however often a stranger's file repeats it.
    with parquet.ParquetFile(file, read_dictionary=texts) as opened:
        for batch in opened.iter_batches(batch_size=at_once, columns=wanted):
            yield from _batch_rows(batch, allowance)


def _batch_rows(batch: Any, allowance: Allowance) -> Iterator[Mapping[str, Any]]:
    repeated = [hasattr(column, "dictionary") for column in batch.columns]
    allowance.take(sum(column.nbytes for column, shared in zip(batch.columns, repeated, strict=True) if not shared))
    for number in range(batch.num_rows):
        values = [column[number].as_py() for column in batch.columns]
        allowance.take(sum(len(value or "") for value, shared in zip(values, repeated, strict=True) if shared))
        yield dict(zip(batch.schema.names, values, strict=True))


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
