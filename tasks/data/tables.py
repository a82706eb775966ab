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
from pathlib import Path
from typing import Any, TextIO

from btard.errors import UserError

GIB = 1 << 30
_FORMATS = ("parquet", "jsonl", "json", "csv")
"""Where a data set has several, the first of these is read."""

_ASIDE = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")
_NAME = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.=+,-]*/)*[A-Za-z0-9_][A-Za-z0-9_.=+,-]*")
_TRAIN = re.compile(r"(?<![a-z])train(?:ing)?(?![a-z])")
_OTHER_SPLITS = re.compile(r"(?<![a-z])(?:test|testing|eval|evaluation|dev|val|valid|validation)(?![a-z])")
_BATCH_ROWS = 256
_MOST_LINE = 64 << 20
_MOST_ARRAY = 512 << 20


def format_of(name: str) -> str | None:
    """Return the format of a file by its name, None for one that is not read."""
    last = name.rsplit("/", 1)[-1].removesuffix(".gz")
    known = last.rpartition(".")[2] if "." in last and last not in _ASIDE else ""
    return known if known in _FORMATS and not (known == "parquet" and name.endswith(".gz")) else None


def has_tables(folder: Path) -> bool:
    """Whether a folder has files of rows and no text files, which are read rather."""
    files = [file.name for file in folder.rglob("*") if file.is_file()]
    return any(map(format_of, files)) and not any(name.endswith(".txt") for name in files)


def training_files(names: Iterable[str], configuration: str | None, described_as: str) -> list[str]:
    """Return the files of a data set's training part, ascending.

    Args:
        names: all files of the data set, relative to it. Those with unusual names are passed over.
        configuration: the folder that is wanted, None where there is only one.
        described_as: the data set, for sentences.

    Raises:
        UserError: there are none, or the configuration is not known or not clear.
    """
    usable = sorted(name for name in names if _NAME.fullmatch(name) and format_of(name))
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
        raise UserError(f"{described_as} has no {', '.join(_FORMATS)} files")
    best = min((format_of(name) or "" for name in chosen), key=_FORMATS.index)
    chosen = [name for name in chosen if format_of(name) == best]
    homes = sorted({name.rpartition("/")[0] for name in chosen})
    if configuration is None and len(homes) > 1:
        raise UserError(f"{described_as} has several parts ({_listed(homes)}): choose one as its configuration")
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
            except Exception as error:  # the formats' parsers have no common base
                raise UserError(f"{self._described_as}: {file.name} cannot be read: {_first_line(error)}") from error

    def _rows_of(self, file: Path, allowance: "Allowance") -> Iterator[Mapping[str, Any]]:
        match format_of(file.name):
            case "parquet":
                yield from _parquet(file, self._columns, allowance)
            case "csv":
                with _opened(file) as stream:
                    yield from (self._selected(row) for row in csv.DictReader(allowance.lines(stream)))
            case _:
                with _opened(file) as stream:
                    yield from (self._selected(row) for row in _json(stream, allowance))

    def _selected(self, row: Any) -> Mapping[str, Any]:
        if not isinstance(row, dict):
            raise ValueError("a row is no object with columns")
        return row if self._columns is None else {name: row.get(name) for name in self._columns}


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
        """Yield the lines of a file, each of which fits into memory."""
        while line := stream.readline(_MOST_LINE):
            self.take(len(line))
            if len(line) == _MOST_LINE:
                raise ValueError(f"a line is longer than {_MOST_LINE >> 20} MiB")
            yield line

    def whole(self, stream: TextIO) -> str:
        """Return the rest of a file; raises ValueError if it is too long to be read at once."""
        text = stream.read(_MOST_ARRAY + 1)
        self.take(len(text))
        if len(text) > _MOST_ARRAY:
            raise ValueError(f"an array is longer than {_MOST_ARRAY >> 20} MiB; use a line for each row")
        return text


def too_large(described_as: str, size: int | None, most: int) -> str:
    """Return the sentence for a corpus that is larger than the owner of this machine allows."""
    has = f"has {size / GIB:.1f} GiB" if size is not None else "unpacks to more than that"
    return f"{described_as} {has}, but --max-data allows {most / GIB:g} GiB on this machine; raise it to take it"


def _opened(file: Path) -> TextIO:
    if file.name.endswith(".gz"):
        return io.TextIOWrapper(gzip.open(file, "rb"), encoding="utf-8-sig", newline="")
    return file.open(encoding="utf-8-sig", newline="")


def _json(stream: TextIO, allowance: Allowance) -> Iterator[Any]:
    """Yield the rows of a file that is an array, or has a row a line."""
    lines = allowance.lines(stream)
    first = next((line for line in lines if line.strip()), "")
    if first.lstrip().startswith("["):
        yield from json.loads(first + allowance.whole(stream))
        return
    if first:
        yield json.loads(first)
    yield from (json.loads(line) for line in lines if line.strip())


def _parquet(file: Path, columns: Collection[str] | None, allowance: Allowance) -> Iterator[Mapping[str, Any]]:
    from pyarrow import parquet

    with parquet.ParquetFile(file) as opened:
        wanted = None if columns is None else [name for name in opened.schema_arrow.names if name in columns]
        for batch in opened.iter_batches(batch_size=_BATCH_ROWS, columns=wanted):
            allowance.take(batch.nbytes)
            yield from batch.to_pylist()


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
