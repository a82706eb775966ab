from pathlib import Path

import pytest
from pydantic import ValidationError

from btard.errors import UserError
from btard.tasks.data.spec import DataSpec, SourceKind

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_what_a_user_types(tmp_path: Path) -> None:
    text = tmp_path / "a.txt"
    text.write_text("words")
    saved = tmp_path / "saved"
    saved.mkdir()
    (saved / "state.json").write_text("{}")
    assert DataSpec.parse("builtin") == DataSpec()
    assert DataSpec.parse(str(text)) == DataSpec(kind=SourceKind.TEXT, location=str(text))
    assert DataSpec.parse(str(tmp_path)).kind is SourceKind.TEXT
    assert DataSpec.parse(str(saved)).kind is SourceKind.SAVED
    tables = tmp_path / "tables" / "deep"
    tables.mkdir(parents=True)
    (tables / "train.jsonl").write_text("")
    assert DataSpec.parse(str(tables.parent)).kind is SourceKind.TABLES
    hub = DataSpec.parse("Salesforce/wikitext:wikitext-103-raw-v1", tokenizer="tok")
    assert (hub.kind, hub.location, hub.configuration) == (SourceKind.HUB, "Salesforce/wikitext", "wikitext-103-raw-v1")
    assert hub.tokenizer == "tok"
    assert DataSpec.parse("hub:owner/name") == DataSpec(kind=SourceKind.HUB, location="owner/name")
    assert DataSpec.parse("hub:owner/name:part").configuration == "part"
    exact = DataSpec.parse(f"owner/name@{COMMIT}")
    assert (exact.location, exact.configuration, exact.revision) == ("owner/name", None, COMMIT)


def test_a_relative_path_is_kept_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("words")
    monkeypatch.chdir(tmp_path)
    assert DataSpec.parse("a.txt").location == str((tmp_path / "a.txt").resolve())


@pytest.mark.parametrize("target", ["nowhere", "link.txt"])
def test_a_link_to_nothing_is_called_that(tmp_path: Path, target: str) -> None:
    (tmp_path / "link.txt").symlink_to(target)
    with pytest.raises(UserError, match=r"link\.txt is a link to nothing"):
        DataSpec.parse(str(tmp_path / "link.txt"))


@pytest.mark.parametrize(
    "source",
    [
        *("", "missing.txt", "/no/such/folder", "hub:", ":part", "wikitext:raw", "hub:mnist", "hub:a/b/c", "hub:../b"),
        *("owner/name:../x", "owner/name:a/b", f"owner/name@{COMMIT[1:]}", "owner/name@main", "x" * 5000, "a\0b"),
    ],
)
def test_anything_else_is_refused(source: str) -> None:
    with pytest.raises(UserError, match="neither 'builtin', an existing file or folder, nor a Hub data set"):
        DataSpec.parse(source)


@pytest.mark.parametrize(
    "fields",
    [
        {"location": "x"},
        {"kind": "text"},
        {"kind": "text", "location": "x", "configuration": "y"},
        {"kind": "other", "location": "x"},
        {"kind": "hub", "location": "/etc"},
        {"kind": "hub", "location": "owner/../name"},
        {"kind": "text", "location": "x", "revision": COMMIT},
        {"surprise": 1},
    ],
)
def test_contradicting_fields_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        DataSpec.model_validate(fields)


def test_it_travels_as_json() -> None:
    spec = DataSpec(kind=SourceKind.HUB, location="a/b", configuration="raw", revision=COMMIT, tokenizer="tok")
    assert DataSpec.model_validate_json(spec.model_dump_json()) == spec


def test_a_hub_name_is_never_a_path_even_if_one_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert DataSpec.parse("hub:owner/name").kind is SourceKind.HUB
    assert DataSpec.parse("owner/name").kind is SourceKind.TEXT
    for path in ("hub:owner", f"hub:{tmp_path}"):
        with pytest.raises(UserError, match="give a path without hub:"):
            DataSpec.parse(path)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.parquet", "a.jsonl.gz"])
def test_a_file_of_rows_is_no_prose(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("")
    assert DataSpec.parse(str(tmp_path / name)).kind is SourceKind.TABLES


@pytest.mark.parametrize("name", ["a.tsv", "a.ndjson", "a.arrow", "a.tsv.gz"])
def test_rows_in_another_form_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("")
    with pytest.raises(UserError, match=f"{name} has rows in a form that is not read; convert it to parquet, jsonl"):
        DataSpec.parse(str(tmp_path / name))


def test_text_and_rows_in_one_folder_are_not_guessed(tmp_path: Path) -> None:
    for name in ("README.txt", "train.jsonl"):
        (tmp_path / name).write_text("")
    with pytest.raises(UserError, match=r"files of text, such as README.txt, and of rows, such as train.jsonl; name"):
        DataSpec.parse(str(tmp_path))


@pytest.mark.parametrize("path", ["~nobody-has-this-name/x", "bad\udcff.txt"])
def test_a_path_that_cannot_be_one_is_a_sentence(path: str) -> None:
    for arguments in ((path,), ("builtin", path)):
        with pytest.raises(UserError, match=r"home folder is not known here|must be a path in UTF-8"):
            DataSpec.parse(*arguments)
