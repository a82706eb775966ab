"""A folder is read as a whole or not at all, and nothing that is no ordinary file is opened."""

import os
from pathlib import Path

import pytest

from btard.errors import UserError
from btard.tasks.data.files import check_ordinary, content_digest, expanded, files_below


def test_files_come_in_the_order_of_names_without_hidden(tmp_path: Path) -> None:
    for name in ("b/c.txt", "b.txt", "a.txt", ".git/x.txt", "b/.x.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "c.txt").symlink_to(tmp_path / "a.txt")
    (tmp_path / "x.txt").mkdir()
    assert [file.relative_to(tmp_path).as_posix() for file in files_below(tmp_path)] == [
        "a.txt",
        "b.txt",
        "b/c.txt",
        "c.txt",
    ]


def test_a_link_to_a_folder_is_told_not_left_out(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "loop").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(UserError, match="loop is a link to a folder, which is not followed"):
        files_below(tmp_path / "in")


def test_an_unreadable_folder_is_told_not_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's answer is played, since root may read everything."""
    (tmp_path / "in").mkdir()
    real = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("/in"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(UserError, match="/in cannot be read: Permission denied"):
        files_below(tmp_path)


def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    for path in (tmp_path / "pipe.txt", tmp_path, Path("/dev/zero")):
        with pytest.raises(UserError, match=f"^{path} is no ordinary file"):
            check_ordinary(path)


def test_links_to_nothing_and_in_circles_are_told(tmp_path: Path) -> None:
    (tmp_path / "x.txt").symlink_to(tmp_path / "gone")
    (tmp_path / "y.txt").symlink_to("y.txt")
    for name, says in (("x.txt", "is a link to nothing"), ("y.txt", "cannot be read: Too many levels")):
        assert tmp_path / name in files_below(tmp_path)
        with pytest.raises(UserError, match=f"{name} {says}"):
            check_ordinary(tmp_path / name)


def test_the_digest_is_of_contents_and_of_their_order(tmp_path: Path) -> None:
    for name, content in (("a", "1"), ("b", "2"), ("c", "1"), ("d", "12"), ("e", "")):
        (tmp_path / name).write_text(content)

    def digest(names: str) -> str:
        return content_digest([tmp_path / name for name in names])

    assert digest("ab") == digest("cb")
    assert len({digest("ab"), digest("ba"), digest("d"), digest("de"), digest("a")}) == 5


def test_a_home_folder_is_put_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded("~/x", "--cache-dir") == tmp_path / "x"
    with pytest.raises(UserError, match=r"^--cache-dir is '~nobody-has-this-name', but that home folder is not known"):
        expanded("~nobody-has-this-name", "--cache-dir")
