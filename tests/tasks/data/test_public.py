"""What a stranger's manifest may name: nothing of the machine that reads it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from btard.errors import UserError
from btard.tasks.data.names import is_configuration, is_hub_name
from btard.tasks.data.public import PublicData, PublicKind
from btard.tasks.data.spec import DataSpec, SourceKind

COMMIT = "0123456789abcdef0123456789abcdef01234567"
HUB = {"kind": "hub", "name": "owner/name", "revision": COMMIT}
MARK = "ab" * 32


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "text", "location": "/etc/passwd"},
        {"kind": "saved", "location": "http://127.0.0.1:9/x"},
        {"kind": "tables", "location": "/tmp"},
        {"location": "/etc/passwd"},
        {"tokenizer": "/etc/passwd"},
        {"name": "owner/name"},
        {"kind": "own", "name": "owner/name"},
        {"kind": "hub"},
        {"kind": "hub", "name": "owner/name"},
        *(
            HUB | {"name": name}
            for name in (
                *("name", "/etc/passwd", "../name", "owner/..", "./name", "owner/name/more", "owner//name", "~/name"),
                *("http://host/x", "owner/name.git", "owner/na--me", "owner/name\n", "öwner/name", "a" * 97 + "/b", ""),
            )
        ),
        *(HUB | {"configuration": word} for word in ("..", "a/b", "/etc", "a\n", "", "x" * 97)),
        *(HUB | {"revision": word} for word in ("main", "../x", COMMIT + "\n", COMMIT.upper(), "")),
        HUB | {"trust_remote_code": True},
        HUB | {"data_files": "/etc/passwd"},
    ],
    ids=str,
)
def test_whatever_else_a_manifest_names_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PublicData.model_validate_json(json.dumps(fields))


@given(st.text(max_size=20), st.text(max_size=20))
def test_no_name_leads_out_of_where_it_belongs(name: str, configuration: str) -> None:
    if is_hub_name(name):
        assert name.count("/") == 1 and ".." not in name and not name.startswith(("/", ".", "~")) and name.isascii()
    if is_configuration(configuration):
        assert "/" not in configuration and ".." not in configuration and configuration.isascii()


def test_everybodys_data_are_named_and_the_own_are_not() -> None:
    for spec in (DataSpec(), DataSpec(kind=SourceKind.HUB, location="owner/name", configuration="x", revision=COMMIT)):
        assert PublicData.of(spec).spec(None, None, MARK) == spec
    for kind in (SourceKind.TEXT, SourceKind.TABLES, SourceKind.SAVED):
        told = PublicData.of(DataSpec(kind=kind, location="/home/me/corpus"))
        assert told == PublicData(kind=PublicKind.OWN)
        assert "/home" not in told.model_dump_json()
    told = PublicData.of(DataSpec(tokenizer="/home/me/tokenizer.json"))
    assert told.own_tokenizer and "/home" not in told.model_dump_json()


def test_what_the_owner_names_wins() -> None:
    own = DataSpec(kind=SourceKind.TEXT, location="/mine")
    for told in (PublicData(), PublicData(kind=PublicKind.OWN), PublicData.model_validate(HUB)):
        assert told.spec(own, None, MARK) == own
        assert told.spec(own, "t.json", MARK) == own.model_copy(update={"tokenizer": "t.json"})
    assert PublicData().spec(None, "t.json", MARK) == DataSpec(tokenizer="t.json")
    assert PublicData.model_validate(HUB).spec(None, "t.json", MARK).tokenizer == "t.json"


def test_what_the_owner_must_name_is_asked_for() -> None:
    with pytest.raises(UserError) as refusal:
        PublicData(kind=PublicKind.OWN).spec(None, None, MARK)
    assert str(refusal.value) == (
        "the run trains on a corpus of its coordinator's own, with the fingerprint abababababababab: get it from "
        "the owner of the coordinator, and say where it is by --data"
    )
    with pytest.raises(UserError, match=r"by --data and --tokenizer$"):
        PublicData(kind=PublicKind.OWN, own_tokenizer=True).spec(None, "t.json", MARK)
    with pytest.raises(UserError, match=r"a tokenizer of its coordinator's own: .* by --tokenizer$"):
        PublicData(own_tokenizer=True).spec(DataSpec(), None, MARK)
