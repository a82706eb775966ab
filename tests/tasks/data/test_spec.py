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
