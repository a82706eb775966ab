"""Rows of files: which files, which rows, and that no file can make a reader take more than it is allowed."""

import gzip
import json
import re
import resource
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from btard.errors import UserError
from btard.tasks.data import tables
from btard.tasks.data.tables import Table, training_files

ROWS = [{"text": "one", "more": 1}, {"text": None, "more": 2}, {"text": "ü three", "more": 3}]


def lines() -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)


def write(folder: Path, name: str) -> Path:
    file = folder / name
    match name:
        case "rows.parquet":
            parquet.write_table(pa.Table.from_pylist(ROWS), file)
        case "rows.json":
            file.write_text(json.dumps(ROWS, indent=1))
        case "rows.jsonl":
            file.write_text("\n" + lines())
        case "rows.jsonl.gz":
            file.write_bytes(gzip.compress(lines().encode()))
        case "rows.csv":
            file.write_text('text,more\none,1\n,2\n"ü three",3\n')
    return file


@pytest.mark.parametrize("name", ["rows.parquet", "rows.json", "rows.jsonl", "rows.jsonl.gz", "rows.csv"])
def test_every_format_gives_the_same_rows_again_and_again(tmp_path: Path, name: str) -> None:
    table = Table([write(tmp_path, name)], "it")
    assert table.column_names == ["text", "more"]
    for _ in range(2):
        assert [row["text"] or None for row in table.select_columns(["text"])] == ["one", None, "ü three"]
    assert [set(row) for row in table.select_columns(["text"])] == [{"text"}] * 3
    assert len(table) == 3


@pytest.mark.parametrize("name", ["rows.parquet", "rows.json", "rows.jsonl", "rows.jsonl.gz", "rows.csv"])
def test_what_is_unpacked_counts_against_the_limit(tmp_path: Path, name: str) -> None:
    file = write(tmp_path, name)
    with pytest.raises(UserError, match=r"it unpacks to more than that, but --max-data allows .* GiB"):
        list(Table([file], "it", most=8))
    assert len(Table([file], "it", most=1 << 20)) == 3


def test_an_array_is_read_an_element_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the chunks end: within words, escapes, numbers and blanks."""
    rows = [{"text": f'"\u00fc\\{number}', "more": [number * 1.5, True, None]} for number in range(50)]
    for chunk in (1, 2, 3, 7, 1 << 20):
        monkeypatch.setattr(tables, "_CHUNK", chunk)
        for indent in (None, 1):
            (tmp_path / "a.json").write_text(" \n" + json.dumps(rows, indent=indent) + "\n ")
            assert list(Table([tmp_path / "a.json"], "it")) == rows
    (tmp_path / "a.json").write_text(" [ ] ")
    assert list(Table([tmp_path / "a.json"], "it")) == []


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv"])
def test_a_row_is_never_too_long_for_memory(tmp_path: Path, name: str) -> None:
    row = "text\n" + "x" * (17 << 20) if name == "a.csv" else json.dumps({"text": "x" * (17 << 20)})
    (tmp_path / name).write_text(f"[{row}]" if name == "a.json" else row)
    with pytest.raises(UserError, match=r"cannot be read: (a line|an element of an array) is longer than 16 MiB"):
        list(Table([tmp_path / name], "it"))


def test_a_long_field_of_csv_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,more\n" + "x y " * 100_000 + "\n")
    assert list(Table([tmp_path / "a.csv"], "it")) == [{"text": "x y " * 100_000, "more": None}]


def test_a_repeated_text_of_parquet_is_in_memory_once(tmp_path: Path) -> None:
    """A few kilobytes of a stranger's stand for gigabytes; the limit is reached before they are unpacked."""
    long = pa.array(["x" * (4 << 20)]).dictionary_encode()
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 1024, pa.int32()), long.dictionary)
    parquet.write_table(pa.table({"text": column}), tmp_path / "train.parquet", store_schema=False)
    assert (tmp_path / "train.parquet").stat().st_size < 1 << 20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match="unpacks to more"):
        list(Table([tmp_path / "train.parquet"], "it", most=16 << 20))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10


def test_lists_of_parquet_are_read(tmp_path: Path) -> None:
    rows = [{"input_ids": [1, 2], "text": "a"}, {"input_ids": None, "text": None}]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert list(Table([tmp_path / "a.parquet"], "it")) == rows
    assert list(Table([tmp_path / "a.parquet"], "it", columns=["input_ids"])) == [
        {"input_ids": [1, 2]},
        {"input_ids": None},
    ]


def test_a_packed_bomb_is_not_unpacked(tmp_path: Path) -> None:
    bomb = tmp_path / "train.jsonl.gz"
    with gzip.open(bomb, "wb", compresslevel=1) as stream:
        for _ in range(200):
            stream.write(b'{"text": "' + b" " * (1 << 20) + b'"}\n')
    assert bomb.stat().st_size < 4 << 20
    read = 0
    with pytest.raises(UserError, match="unpacks to more"):
        for _ in Table([bomb], "it", most=8 << 20):
            read += 1
    assert read <= 8


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.parquet", b"PAR1 nothing PAR1"),
        ("a.jsonl", b"{\n"),
        ("a.jsonl", b"\xff\xfe"),
        ("a.jsonl", b"3\n"),
        ("a.jsonl.gz", b"no gzip"),
        ("a.json", b"[1, 2]"),
        ("a.json", b"[" * 100_000),
        ("a.json", b'[{"text": "a"} {"text": "b"}]'),
        ("a.json", b'[{"text": "a"}'),
        ("a.json", b'[{"text": "a"},]'),
        ("a.json", b'[{"text": "a"}] {"text": "b"}'),
        ("a.json", b'[{"text": "a'),
        ("a.jsonl", '{"text": "a"}\n'.encode("utf-16-le")),
        ("a.csv", "text\na\n".encode("utf-16-le")),
        ("a.csv", b"text\nHello, world\n"),
        ("a.csv", b'text\n"never closed\nmore\n'),
        ("a.csv", b"text,text\na,b\n"),
    ],
)
def test_a_damaged_file_is_named_in_one_sentence(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"^it: {name} cannot be read: ") as refusal:
        list(Table([tmp_path / name], "it"))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("names", "configuration", "chosen"),
    [
        (["README.md", "train.jsonl", "test.jsonl"], None, ["train.jsonl"]),
        (["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet", "data/test-0.parquet"], None, 2),
        (["raw/train-0.parquet", "small/train-0.parquet"], "raw", ["raw/train-0.parquet"]),
        (["en/c4-train.00000-of-01024.json.gz", "en/c4-validation.0.json.gz"], "en", 1),
        (["a.csv", "b.csv", "dataset_infos.json"], None, ["a.csv", "b.csv"]),
        (["train.csv", "train.parquet"], None, ["train.parquet"]),
        (["training.jsonl", "constraints.jsonl"], None, ["training.jsonl"]),
        (["default/train/0000.parquet", "default/test/0000.parquet"], None, ["default/train/0000.parquet"]),
        (["train (1).jsonl", "train §.jsonl"], None, ["train (1).jsonl", "train §.jsonl"]),
    ],
)
def test_the_training_part_is_found_by_names(
    names: list[str], configuration: str | None, chosen: list[str] | int
) -> None:
    found = training_files(names, configuration, "it")
    assert len(found) == chosen if isinstance(chosen, int) else found == chosen


@pytest.mark.parametrize(
    ("names", "configuration", "says"),
    [
        ([], None, "it has no parquet, jsonl, json, csv files"),
        (["README.md", "run.py", "train.txt"], None, "it has no parquet"),
        (["test.jsonl", "dev.jsonl"], None, r"it has no split 'train' \(it has dev.jsonl, test.jsonl\)"),
        (["a/train.jsonl", "b/train.jsonl"], None, r"it has several parts \(a, b\)"),
        (["a/train.jsonl"], "c", r"it has no folder c \(it has a\)"),
    ],
)
def test_an_unclear_training_part_is_refused(names: list[str], configuration: str | None, says: str) -> None:
    with pytest.raises(UserError, match=says):
        training_files(names, configuration, "it")


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz", "rows.csv", "rows.json"])
def test_rows_of_another_encoding_are_called_by_its_name(tmp_path: Path, name: str) -> None:
    content = lines().encode("utf-16")
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    says = f"{name} cannot be read: it is UTF-16; convert it to UTF-8, for example with iconv -f UTF-16 -t UTF-8"
    with pytest.raises(UserError, match=re.escape(says)):
        list(Table([tmp_path / name], "it"))


def test_a_line_that_is_no_json_is_named(tmp_path: Path) -> None:
    for torn in ('{"text": "abc', "{'text': 1}", '{"text": ' + "[" * 10**5):
        (tmp_path / "rows.jsonl").write_text(lines() + torn)
        with pytest.raises(UserError, match="line 4 is no row of JSON") as caught:
            list(Table([tmp_path / "rows.jsonl"], "it"))
        assert "\n" not in str(caught.value)


def test_a_row_lacks_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(lines() + '{"more": 3}\n')
    assert list(Table([tmp_path / "rows.jsonl"], "it", columns=["text"]))[2:] == [{"text": "ü three"}, {}]
