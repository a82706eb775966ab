"""A Hub data set is asked for by its name, never taken for a path, and never larger than its reader's owner allows."""

import gzip
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest

from btard.errors import UserError
from btard.tasks.data import hub
from btard.tasks.data.hub import HubAccess, HuggingFaceHub, Listing, RepositoryKind, open_hub, pinned
from btard.tasks.data.prepare import prepare
from btard.tasks.data.spec import DataSpec, SourceKind
from btard.tasks.gpt import GptTask

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SPEC = DataSpec(kind=SourceKind.HUB, location="owner/name", revision=COMMIT)


@dataclass
class StandIn:
    """A Hub with one data set, which lies in a folder."""

    folder: Path
    told: dict[str, int | None] = field(default_factory=dict)
    newest: str = COMMIT
    asked: list[tuple[str, str, bool]] = field(default_factory=list)

    def listing(self, name: str, revision: str | None, *, signed_in: bool) -> Listing:
        self.asked.append(("listing", name, signed_in))
        files = [file for file in self.folder.rglob("*") if file.is_file()]
        sizes = {file.relative_to(self.folder).as_posix(): file.stat().st_size for file in files}
        return Listing(revision or self.newest, {**sizes, **self.told})

    def fetch(self, name: str, revision: str, files: Sequence[str], *, signed_in: bool) -> list[Path]:
        self.asked.append(("fetch", name, signed_in))
        return [self.folder / file for file in files]


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    folder = tmp_path / "remote"
    folder.mkdir()
    (folder / "train.jsonl").write_text('{"text": "from the Hub"}\n' * 200)
    made = StandIn(folder)
    monkeypatch.setattr(hub, "HUB", made)
    return made


def texts(spec: DataSpec, access: HubAccess) -> set[str]:
    return {row["text"] for row in open_hub(spec, access)}


def test_a_folder_of_the_same_name_is_not_read(
    remote: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = tmp_path / "owner" / "name"
    local.mkdir(parents=True)
    (local / "train.jsonl").write_text('{"text": "from this machine"}\n')
    monkeypatch.chdir(tmp_path)
    assert texts(SPEC, HubAccess()) == {"from the Hub"}


def test_a_large_data_set_is_refused_before_anything_is_fetched(remote: StandIn) -> None:
    remote.told["train.jsonl"] = 5 << 30
    with pytest.raises(UserError) as refusal:
        open_hub(SPEC, HubAccess())
    sentence = "owner/name has 5.0 GiB, but --max-data allows 4 GiB on this machine; raise it to take it"
    assert str(refusal.value) == sentence
    assert [what for what, _, _ in remote.asked] == ["listing"]
    remote.told["train.jsonl"] = None
    with pytest.raises(UserError, match="the Hub does not tell how large owner/name is"):
        open_hub(SPEC, HubAccess())
    assert texts(SPEC, HubAccess(most_bytes=None)) == {"from the Hub"}


def test_a_data_set_larger_than_told_is_refused(remote: StandIn) -> None:
    remote.told["train.jsonl"] = 10
    with pytest.raises(UserError, match="but --max-data allows"):
        open_hub(SPEC, HubAccess(most_bytes=1000))


def test_a_data_set_that_unpacks_to_too_much_is_refused(remote: StandIn) -> None:
    (remote.folder / "train.jsonl").unlink()
    (remote.folder / "train.jsonl.gz").write_bytes(gzip.compress(b'{"text": "' + b"a" * 10_000 + b'"}\n' * 1))
    with pytest.raises(UserError, match="unpacks to more"):
        list(open_hub(SPEC, HubAccess(most_bytes=5_000)))


def test_files_with_odd_names_are_passed_over(remote: StandIn) -> None:
    odd = ["../train.jsonl", "/train.jsonl", ".x/train.jsonl", "a/../train.jsonl", "http://host/train.jsonl"]
    remote.told |= dict.fromkeys((*odd, "a\ntrain.jsonl", "t*rain.jsonl", "a train.jsonl"), 1)
    assert texts(SPEC, HubAccess()) == {"from the Hub"}


def test_the_account_is_used_only_for_what_its_owner_named(remote: StandIn) -> None:
    texts(SPEC, HubAccess())
    assert {signed_in for *_, signed_in in remote.asked} == {False}
    texts(SPEC, HubAccess(signed_in=True))
    assert remote.asked[-1] == ("fetch", "owner/name", True)


def test_an_unnamed_commit_is_the_newest(remote: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    loose = DataSpec.parse("hub:owner/name")
    assert pinned(loose, HubAccess()) == SPEC
    assert pinned(DataSpec(), HubAccess()) == DataSpec()

    def offline(*_: object, **__: object) -> Listing:
        raise UserError("no network")

    monkeypatch.setattr(remote, "listing", offline)
    assert pinned(SPEC, HubAccess()) == SPEC
    with pytest.raises(UserError, match=r"no network .*without the Hub by @COMMIT"):
        pinned(loose, HubAccess())


def test_what_was_prepared_is_used_without_the_hub(remote: StandIn, tmp_path: Path) -> None:
    wanted = GptTask.shapes["tiny"].tokenised()
    first = prepare(SPEC, wanted, tmp_path / "cache")
    remote.asked.clear()
    assert prepare(SPEC, wanted, tmp_path / "cache").meta == first.meta
    assert remote.asked == []


@pytest.mark.parametrize("kind", RepositoryKind)
def test_the_package_is_asked_by_name_and_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: RepositoryKind
) -> None:
    asked: list[tuple[object, ...]] = []

    class Api:
        def __init__(self, token: object) -> None:
            asked.append(("token", token))

        def repo_info(self, name: str, repo_type: str, revision: str | None, files_metadata: bool) -> SimpleNamespace:
            asked.append(("info", name, repo_type, revision, files_metadata))
            return SimpleNamespace(sha=COMMIT, siblings=[SimpleNamespace(rfilename="train.csv", size=7)])

    def download(name: str, file: str, **chosen: object) -> str:
        asked.append(("file", name, file, chosen["repo_type"], chosen["revision"], chosen["token"]))
        return str(tmp_path / file)

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    real = HuggingFaceHub(kind)
    assert real.listing("a/b", None, signed_in=True) == Listing(COMMIT, {"train.csv": 7})
    assert real.fetch("a/b", COMMIT, ["train.csv"], signed_in=False) == [tmp_path / "train.csv"]
    assert asked == [
        ("token", None),
        ("info", "a/b", kind.value, None, True),
        ("file", "a/b", "train.csv", kind.value, COMMIT, False),
    ]


def test_a_hub_that_does_not_answer_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ConnectionError("no way there\nand more")

    monkeypatch.setattr(huggingface_hub.HfApi, "repo_info", fails)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fails)
    for kind, told in ((RepositoryKind.DATASET, "the data set"), (RepositoryKind.MODEL, "the model")):
        remote = HuggingFaceHub(kind)
        for call in (
            partial(remote.listing, "a/b", None, signed_in=False),
            partial(remote.fetch, "a/b", COMMIT, ["x"], signed_in=False),
        ):
            with pytest.raises(UserError, match=rf"^{told} a/b could not be loaded: no way there$"):
                call()
