import json
import shutil
from pathlib import Path

import pytest

from btard.errors import UserError
from btard.tasks.albert import AlbertTask
from btard.tasks.data.tokenised import TokenisedCorpus

FILES = ["tokens.npy", "boundaries.npy", "tokenizer.json", "meta.json"]


@pytest.fixture
def folder(albert: AlbertTask, tmp_path: Path) -> Path:
    return Path(shutil.copytree(albert.corpus.folder, tmp_path / "copy"))


def test_an_unchanged_copy_opens(folder: Path, albert: AlbertTask) -> None:
    copy = TokenisedCorpus(folder)
    assert copy.meta == albert.corpus.meta
    assert (copy.tokens == albert.corpus.tokens).all()
    assert {file.name for file in folder.iterdir()} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_cut_file_is_refused(folder: Path, name: str) -> None:
    file = folder / name
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(UserError, match=r"is damaged .* delete the folder and prepare it again"):
        TokenisedCorpus(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(UserError, match="is damaged"):
        TokenisedCorpus(folder)


@pytest.mark.parametrize("name", ["tokens.npy", "boundaries.npy", "tokenizer.json"])
def test_one_flipped_bit_is_refused(folder: Path, name: str) -> None:
    file = folder / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match="do not match its fingerprint"):
        TokenisedCorpus(folder)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format_version": 2}, "format version 2 instead of 1"),
        ({"sample_tokens": 62}, "do not match its fingerprint"),
        ({"samples": 10**6}, "cannot reshape"),
        ({"samples": "many"}, "meta.json is invalid"),
        ({"held_out": 10**6}, "meta.json is invalid"),
        ({"vocabulary_size": 7}, "vocabulary"),
    ],
)
def test_a_false_meta_file_is_refused(folder: Path, change: dict[str, object], says: str) -> None:
    file = folder / "meta.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(UserError, match=says):
        TokenisedCorpus(folder)


def test_a_form_that_may_not_be_read_is_not_called_damaged(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's answer is played, since root may read everything."""

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(UserError, match=f"^the tokenised data in {folder} cannot be read: Permission denied$"):
        TokenisedCorpus(folder)
