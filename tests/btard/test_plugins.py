"""Entry points of installed packages: found by name, one of a name, and only the one that is asked for is imported."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from btard.errors import UserError
from btard.plugins import Plugins

GROUP = "btard.test_plugins"
PLUGINS = Plugins(GROUP, "the thing", "thing is installed")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from tests.packages import written

    first = {"RIGHT": "first_things:RIGHT", "TWICE": "first_things:RIGHT", "RAISES": "raising_things:ANY"}
    written(tmp_path, "first-things", GROUP, first, "RIGHT = 1\n")
    written(tmp_path, "second-things", GROUP, {"TWICE": "second_things:OTHER", "ABSENT": "second_things:NO"})
    (tmp_path / "raising_things.py").write_text("raise RuntimeError('two\\nlines')\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return tmp_path


def test_names_are_those_of_all_packages(folder: Path) -> None:
    assert PLUGINS.names() == ("ABSENT", "RAISES", "RIGHT", "TWICE")
    assert not {"first_things", "second_things", "raising_things"} & sys.modules.keys()


def test_only_what_is_asked_for_is_imported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = PLUGINS.find("RIGHT")
    assert entry is not None and PLUGINS.load(entry) == 1
    assert sys.modules.pop("first_things") and "second_things" not in sys.modules


def test_an_unknown_name_is_nothing(folder: Path) -> None:
    assert PLUGINS.find("right") is None and PLUGINS.find("first_things:RIGHT") is None


def test_a_name_of_two_packages_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match=r"the thing TWICE is claimed by first-things and second-things: uninstall"):
        PLUGINS.find("TWICE")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("ABSENT", "the package second-things: AttributeError: module 'second_things' has no attribute 'NO'"),
        ("RAISES", "the package first-things: RuntimeError: two lines"),
    ],
)
def test_a_broken_package_is_one_sentence(folder: Path, name: str, reason: str) -> None:
    entry = PLUGINS.find(name)
    assert entry is not None
    with pytest.raises(UserError) as caught:
        PLUGINS.load(entry)
    assert str(caught.value) == f"the thing {name} cannot be imported from {reason}"


def test_nothing_installed_is_told() -> None:
    with pytest.raises(UserError, match="no thing is installed: install the project"):
        PLUGINS.names()
