"""`btard docs`: the tables of settings follow the code, and the committed guide is up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest

from btard.cli import docs
from btard.configuration import Option, Settings
from btard.errors import UserError

GUIDE = "before\n<!-- begin settings of prog -->\nstale\n<!-- end settings of prog -->\nafter\n"


class Small(Settings):
    port: Annotated[int, Option("a | b", unit="port", group="Network")] = 1
    quiet: Annotated[bool, Option("say less", group="Output", env=("QUIET",))] = False


def test_the_committed_guide_is_up_to_date() -> None:
    assert docs.main(["--check"]) == 0, "run `btard docs`"


def test_tables_stand_between_their_markers() -> None:
    text = docs.with_tables(GUIDE, {"prog": Small})
    assert "stale" not in text and text.startswith("before\n") and text.endswith("\nafter\n")
    assert "| `--port N` | `BTARD_PORT` | 1 | port | a \\| b |" in text
    assert "| `--[no-]quiet` | `QUIET` | false |  | say less |" in text
    assert docs.with_tables(text, {"prog": Small}) == text


def test_check_tells_and_a_plain_run_repairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    guide = tmp_path / "operations.md"
    guide.write_text(GUIDE)
    monkeypatch.setattr(docs, "GUIDE", guide)
    monkeypatch.setattr(docs, "installed_settings", lambda: {"prog": Small})
    assert docs.main(["--check"]) == 1
    assert capsys.readouterr().out == f"{guide} is out of date: run `btard docs`\n"
    assert guide.read_text() == GUIDE
    assert docs.main([]) == 0
    assert docs.main(["--check"]) == 0


def test_what_is_wrong_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="takes nothing but --check, not --chekc"):
        docs.main(["--chekc"])
    with pytest.raises(UserError, match="begin settings of other"):
        docs.with_tables(GUIDE, {"other": Small})
    monkeypatch.setattr(docs, "GUIDE", tmp_path / "absent.md")
    with pytest.raises(UserError, match="needs a checkout"):
        docs.main([])
