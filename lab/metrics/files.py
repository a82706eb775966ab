"""Tables as files: CSV row by row, parquet at the end."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from btard.lab.metrics.tables import SCHEMA, Row, TableName, Tables, TableSink

if TYPE_CHECKING:
    from _csv import Writer


class CsvFiles(TableSink):
    """`TABLE.csv` for each table, with a header; every row is on disk when the next one comes. Numbers are written in
    full, so that the same run gives the same bytes."""

    def __init__(self, directory: Path) -> None:
        """Begin files anew."""
        self._files: dict[TableName, TextIO] = {}
        self._writers: dict[TableName, Writer] = {}
        for table, columns in SCHEMA.items():
            file = (directory / f"{table}.csv").open("w", encoding="utf-8", newline="")
            self._files[table], self._writers[table] = file, csv.writer(file, lineterminator="\n")
            self._writers[table].writerow([column.name for column in columns])
            file.flush()

    def write(self, table: TableName, row: Row) -> None:
        self._writers[table].writerow([row[column.name] for column in SCHEMA[table]])
        self._files[table].flush()

    def close(self) -> None:
        for file in self._files.values():
            file.close()


class ParquetFiles(TableSink):
    """`TABLE.parquet` for each table, written at the end; its metadata hold units, meanings and the digest of the
    settings."""

    def __init__(self, directory: Path, tables: Tables, settings_digest: str) -> None:
        """Args: `tables` are what is written."""
        self._directory, self._tables, self._digest = directory, tables, settings_digest

    def write(self, table: TableName, row: Row) -> None:
        return

    def close(self) -> None:
        """Write the tables."""
        import pyarrow
        import pyarrow.parquet

        for table, columns in SCHEMA.items():
            made = pyarrow.Table.from_pandas(self._tables.frame(table), preserve_index=False)
            for index, column in enumerate(columns):
                about = {"meaning": column.meaning, "unit": column.unit}
                made = made.set_column(index, made.schema.field(index).with_metadata(about), made.column(index))
            made = made.replace_schema_metadata({"settings": self._digest})
            pyarrow.parquet.write_table(made, self._directory / f"{table}.parquet")
