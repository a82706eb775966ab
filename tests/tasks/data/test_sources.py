import bz2
import gzip
import json
import lzma
import re
from pathlib import Path

import datasets
import pytest

from btard.errors import UserError
from btard.tasks.data.sources import TokenRows, corpus_identity, open_source
from btard.tasks.data.spec import DataSpec, SourceKind
from btard.tasks.data.text_files import TextSource


@pytest.fixture(autouse=True)
def own_datasets_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets-cache")


def documents(spec: DataSpec) -> list[str]:
    """The corpus's documents, each piece joined to its document."""
    source = open_source(spec)
    assert isinstance(source, TextSource)
    found, current = [], ""
    for piece in source.pieces():
        current += piece.text
        if piece.ends_document:
            found.append(current)
            current = ""
    assert current == ""
    return found


def segments(source: TokenRows) -> list[list[list[int]]]:
    return [[tokens.tolist() for tokens in row.segments] for row in source.rows()]


def text(location: Path) -> DataSpec:
    return DataSpec(kind=SourceKind.TEXT, location=str(location))


def test_shakespeare_is_42_works_in_one_spelling() -> None:
    plays = documents(DataSpec())
    assert len(plays) == 42
    assert 5_000_000 < sum(map(len, plays)) < 5_100_000
    assert sum("To be, or not to be,--that is the question" in play for play in plays) == 1


def test_the_builtin_corpus_keeps_its_identity() -> None:
    """Peers of any version train on the same bytes, those of the package from which the texts were taken."""
    assert corpus_identity(DataSpec()) == "6b4fab8fc4410fc602c356d813d8ad0faede2c5625b26f378686f7e277cddd64"


def test_a_folder_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    for name, content in (
        ("b.txt", "second\r\nline"),
        ("a.txt", "\ufefffirst"),
        ("sub/c.txt", "third"),
        ("d.md", "no"),
    ):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content.encode())
    assert documents(text(tmp_path)) == ["first", "second\nline", "third"]
    assert documents(text(tmp_path / "a.txt")) == ["first"]


def test_a_long_document_comes_in_pieces_that_end_at_lines(tmp_path: Path) -> None:
    content = "".join(f"line {number} äöü\n" for number in range(60_000))
    (tmp_path / "long.txt").write_text(content, encoding="utf-8")
    source = open_source(text(tmp_path / "long.txt"))
    assert isinstance(source, TextSource)
    pieces = list(source.pieces())
    assert len(pieces) > 2
    assert all(piece.text.endswith("\n") for piece in pieces)
    assert [piece.ends_document for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert "".join(piece.text for piece in pieces) == content


def test_unreadable_text_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no \.txt files"):
        open_source(text(tmp_path))
    with pytest.raises(UserError, match="gone is not there"):
        open_source(text(tmp_path / "gone"))
    (tmp_path / "latin.txt").write_bytes("Grüße".encode("latin-1"))
    with pytest.raises(UserError, match=r"latin.txt is not UTF-8 text"):
        documents(text(tmp_path))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            "words".encode("utf-16-le"),
            "has NUL characters, as UTF-16 or UTF-32 without a mark has; convert it to UTF-8",
        ),
        ("words".encode("utf-16"), "is UTF-16; convert it to UTF-8, for example with iconv -f UTF-16 -t UTF-8"),
        ("words".encode("utf-32"), "is UTF-32; convert it to UTF-8, for example with iconv -f UTF-32 -t UTF-8"),
        (b"\0\0\xfe\xff" + "words".encode("utf-32-be"), "is UTF-32"),
        ("words".encode("utf-32-le"), "has NUL characters, as UTF-16 or UTF-32 without a mark has"),
        (gzip.compress(b"words", mtime=0), "is packed by gzip; unpack it"),
        (bz2.compress(b"words"), "is packed by bzip2; unpack it"),
        (lzma.compress(b"words"), "is packed by xz; unpack it"),
        (b"\x28\xb5\x2f\xfd\x04", "is packed by zstd; unpack it"),
        (b"PAR1\xff\xffPAR1", "is parquet; give it the ending .parquet"),
        (b"PK\x03\x04\xff", "is a zip archive; unpack it"),
        (b"%PDF-1.7 \xff", "is a PDF"),
    ],
)
def test_what_is_no_text_is_called_by_its_name(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(UserError, match=re.escape(f"a.txt {says}")):
        documents(text(tmp_path))


def test_a_long_line_is_cut_at_a_blank(tmp_path: Path) -> None:
    """However long a line is, no piece is longer than half a million characters, and no word is torn if it need not."""
    long = " ".join(f"word{number}" for number in range(200_000))
    (tmp_path / "a.txt").write_text(long)
    (tmp_path / "b.jsonl").write_text(json.dumps({"text": long}))
    for name in ("a.txt", "b.jsonl"):
        source = open_source(DataSpec.parse(str(tmp_path / name)))
        assert isinstance(source, TextSource)
        pieces = list(source.pieces())
        assert len(pieces) > 3
        assert max(len(piece.text) for piece in pieces) <= 1 << 19
        assert all(piece.text.endswith(" ") for piece in pieces[:-1])
        assert [piece.ends_document for piece in pieces] == [False] * (len(pieces) - 1) + [True]
        assert "".join(piece.text for piece in pieces) == long
    (tmp_path / "a.txt").write_text("x" * (1 << 21))
    assert documents(text(tmp_path / "a.txt")) == ["x" * (1 << 21)]


def test_the_identity_follows_the_contents_not_the_place(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.txt").write_text("same")
    one, two = text(tmp_path / "one"), text(tmp_path / "two")
    assert corpus_identity(one) == corpus_identity(two)
    (tmp_path / "two" / "a.txt").write_text("Same")
    assert corpus_identity(one) != corpus_identity(two)


def test_a_saved_data_set_of_text(tmp_path: Path) -> None:
    rows = datasets.Dataset.from_dict({"text": ["one", "  ", "two\n"], "other": [1, 2, 3]})
    rows.save_to_disk(str(tmp_path / "plain"))
    datasets.DatasetDict({"train": rows}).save_to_disk(str(tmp_path / "splits"))
    for name in ("plain", "splits"):
        assert documents(DataSpec.parse(str(tmp_path / name))) == ["one", "two"]


def test_a_saved_data_set_of_tokens_has_its_swaps_undone(tmp_path: Path) -> None:
    datasets.Dataset.from_dict(
        {
            "input_ids": [[2, 10, 11, 3, 12, 3], [2, 12, 3, 10, 11, 3]],
            "token_type_ids": [[0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1]],
            "sentence_order_label": [0, 1],
        }
    ).save_to_disk(str(tmp_path / "tokens"))
    source = open_source(DataSpec.parse(str(tmp_path / "tokens")))
    assert isinstance(source, TokenRows)
    assert segments(source) == [[[2, 10, 11, 3], [12, 3]], [[10, 11, 3], [2, 12, 3]]]


def test_unusable_data_sets_are_refused_in_a_sentence(tmp_path: Path) -> None:
    datasets.Dataset.from_dict({"label": [1]}).save_to_disk(str(tmp_path / "labels"))
    with pytest.raises(UserError, match=r"has no column 'text' or 'input_ids' \(it has label\)"):
        open_source(DataSpec.parse(str(tmp_path / "labels")))
    rows = datasets.Dataset.from_dict({"text": ["a"]})
    datasets.DatasetDict({"test": rows}).save_to_disk(str(tmp_path / "untrained"))
    with pytest.raises(UserError, match=r"has no split 'train' \(it has test\)"):
        open_source(DataSpec.parse(str(tmp_path / "untrained")))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "state.json").write_text("{}")
    with pytest.raises(UserError, match="is not a data set written by save_to_disk"):
        open_source(DataSpec.parse(str(tmp_path / "broken")))


def test_a_folder_of_tables_is_read_anew_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "train.jsonl"
    file.write_text('{"text": "one"}\n{"text": ""}\n{"text": null}\n{"text": "two"}\n')
    spec = DataSpec.parse(str(tmp_path))
    assert spec.kind is SourceKind.TABLES
    assert documents(spec) == ["one", "two"]
    before = corpus_identity(spec)
    file.write_text('{"text": "other"}\n')
    assert documents(spec) == ["other"]
    assert corpus_identity(spec) != before


def test_tokenised_tables_are_read_as_tokens(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"input_ids": [1, 2]}\n{"input_ids": [3]}\n')
    source = open_source(DataSpec.parse(str(tmp_path)))
    assert isinstance(source, TokenRows)
    assert (source.total_units, segments(source)) == (2, [[[1, 2], []], [[3], []]])
    (tmp_path / "rows.jsonl").write_text('{"label": 1}\n')
    with pytest.raises(UserError, match=r"has no column 'text' or 'input_ids' \(it has label\)"):
        open_source(DataSpec.parse(str(tmp_path)))


def test_a_null_row_is_no_document(tmp_path: Path) -> None:
    datasets.Dataset.from_dict({"text": ["one", None, "two"]}).save_to_disk(str(tmp_path / "saved"))
    assert documents(DataSpec.parse(str(tmp_path / "saved"))) == ["one", "two"]


def test_a_file_of_rows_is_a_corpus_by_itself(tmp_path: Path) -> None:
    """It is not taken for prose, whatever the folder around it has, and its name makes no difference."""
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    for file in (one, two):
        file.write_text('{"text": "a row"}\n')
    assert DataSpec.parse(str(one)).kind is SourceKind.TABLES
    assert documents(DataSpec.parse(str(one))) == ["a row"]
    assert corpus_identity(DataSpec.parse(str(one))) == corpus_identity(DataSpec.parse(str(two)))


def test_every_file_of_a_folder_of_rows_is_read(tmp_path: Path) -> None:
    for name, row in (("part 1.jsonl", "one"), ("part(2).jsonl", "two"), ("§.jsonl", "three"), (".hidden.jsonl", "no")):
        (tmp_path / name).write_text(json.dumps({"text": row}))
    assert documents(DataSpec.parse(str(tmp_path))) == ["one", "two", "three"]


def test_damaged_rows_of_a_saved_data_set_are_told(tmp_path: Path) -> None:
    datasets.Dataset.from_dict({"text": ["some words"] * 2000}).save_to_disk(str(tmp_path / "cut"))
    (arrow,) = (tmp_path / "cut").glob("*.arrow")
    arrow.write_bytes(arrow.read_bytes()[: arrow.stat().st_size // 2])
    with pytest.raises(UserError, match=f"^{tmp_path}/cut is not a data set written by save_to_disk: "):
        documents(DataSpec.parse(str(tmp_path / "cut")))


def test_a_saved_format_makes_no_difference(tmp_path: Path) -> None:
    rows = datasets.Dataset.from_dict({"input_ids": [[1, 2], [3]]})
    rows.with_format("numpy").save_to_disk(str(tmp_path / "rows"))
    source = open_source(DataSpec.parse(str(tmp_path / "rows")))
    assert isinstance(source, TokenRows)
    assert segments(source) == [[[1, 2], []], [[3], []]]
