"""The console scripts: help, dispatch, exit codes, and what help does not import."""

from __future__ import annotations

import subprocess
import sys
import types
from collections.abc import Sequence

import pytest

from btard.cli import coordinator, main, peer
from btard.cli.program import guarded
from btard.errors import UserError

HEAVY = ("torch", "hivemind", "pydantic", "transformers", "numpy", "yaml", "datasets")


def fake_module(monkeypatch: pytest.MonkeyPatch, name: str, function: str, outcome: int | BaseException) -> list[str]:
    """Put a module in place whose function records its words and then returns or raises."""
    seen: list[str] = []

    def run(argv: Sequence[str]) -> int:
        seen.extend(argv)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    module = types.ModuleType(name)
    setattr(module, function, run)
    monkeypatch.setitem(sys.modules, name, module)
    return seen


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]])
def test_help_has_one_line_for_each_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, command in main.COMMANDS.items():
        shown = [line for line in lines if line.split()[:1] == [name]]
        assert len(shown) == (1 if command.summary else 0)
        assert all(command.summary in line for line in shown if command.summary)


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; from btard.cli.main import main; main(['--help'])\n"
        f"sys.exit(' '.join(name for name in {HEAVY} if name in sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.stderr.strip() == ""
    assert "usage: btard" in result.stdout


def test_configuration_imports_no_torch() -> None:
    script = (
        "import sys, btard.byzantine.settings, btard.configuration, btard.cli.docs\n"
        "sys.exit(' '.join(name for name in ('torch', 'hivemind', 'transformers', 'numpy') if name in sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.stderr.strip() == ""


def test_an_unknown_command_is_one_sentence_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["swram"]) == 2
    assert capsys.readouterr().err == "btard: there is no command 'swram'; perhaps swarm was meant\n"
    assert main.main(["zzzzzz"]) == 2
    assert capsys.readouterr().err == "btard: there is no command 'zzzzzz'; btard --help lists the commands\n"


def test_a_command_gets_its_words_and_gives_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = fake_module(monkeypatch, "btard.cli.swarm", "main", 7)
    assert main.main(["swarm", "--peers", "3"]) == 7
    assert seen == ["--peers", "3"]


@pytest.mark.parametrize(
    ("outcome", "code", "message"),
    [
        (UserError("tau is bad"), 2, "btard: tau is bad\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_errors_of_a_command(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    outcome: BaseException,
    code: int,
    message: str,
) -> None:
    fake_module(monkeypatch, "btard.cli.swarm", "main", outcome)
    assert main.main(["swarm"]) == code
    assert capsys.readouterr().err == message


def test_a_bug_is_not_hidden() -> None:
    def broken() -> int:
        raise RuntimeError("bug")

    with pytest.raises(RuntimeError, match="bug"):
        guarded("btard", broken)


@pytest.mark.parametrize(
    ("name", "script", "daemon"),
    [("peer", peer, "btard.pipeline.live.daemon"), ("coordinator", coordinator, "btard.coordinator.daemon")],
)
def test_the_daemons_run_with_the_command_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    script: types.ModuleType,
    daemon: str,
) -> None:
    monkeypatch.setattr(sys, "argv", [f"btard-{name}", "--dht-port", "1"])
    seen = fake_module(monkeypatch, daemon, "run", 0)
    assert script.main() == 0
    assert seen == ["--dht-port", "1"]
    fake_module(monkeypatch, daemon, "run", UserError("no"))
    assert script.main() == 2
    assert capsys.readouterr().err == f"btard-{name}: no\n"
