from pathlib import Path

import pytest
from pydantic import ValidationError

from btard.errors import UserError
from tasks.data.spec import DataSpec, SourceKind


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
    hub = DataSpec.parse("wikitext:wikitext-103-raw-v1", tokenizer="tok")
    assert (hub.kind, hub.location, hub.configuration) == (SourceKind.HUB, "wikitext", "wikitext-103-raw-v1")
    assert hub.tokenizer == "tok"
    assert DataSpec.parse("hub:owner/name") == DataSpec(kind=SourceKind.HUB, location="owner/name")
    assert DataSpec.parse("hub:owner/name:part").configuration == "part"


def test_a_relative_path_is_kept_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("words")
    monkeypatch.chdir(tmp_path)
    assert DataSpec.parse("a.txt").location == str((tmp_path / "a.txt").resolve())


@pytest.mark.parametrize("source", ["", "missing.txt", "/no/such/folder", "hub:", ":part"])
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
        {"surprise": 1},
    ],
)
def test_contradicting_fields_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        DataSpec.model_validate(fields)


def test_it_travels_as_json() -> None:
    spec = DataSpec(kind=SourceKind.HUB, location="wikitext", configuration="raw", tokenizer="tok")
    assert DataSpec.model_validate_json(spec.model_dump_json()) == spec
