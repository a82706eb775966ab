"""The log of a daemon: with JSON every line is an object, whatever is said."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from btard.errors import UserError
from btard.logs import MOMENT, JsonFormatter, TextFormatter, tell_error
from btard.vocabulary import LogFormat


@pytest.fixture(autouse=True)
def _moment() -> Iterator[None]:
    yield
    MOMENT.peer = MOMENT.step = None


def record(message: str, *arguments: object, **more: Any) -> logging.LogRecord:
    fields = {"name": "a.b", "levelno": logging.INFO, "levelname": "INF", "msg": message, "args": arguments}
    return logging.makeLogRecord(fields | more)


def test_a_line_has_its_moment() -> None:
    MOMENT.peer, MOMENT.step = "12D3", 7
    fields = json.loads(JsonFormatter().format(record("loss %.1f", 1.25, created=0.5)))
    assert fields == {
        "time": "1970-01-01T00:00:00.500Z",
        "level": "INFO",
        "logger": "a.b",
        "message": "loss 1.2",
        "peer": "12D3",
        "step": 7,
    }


def test_outside_of_a_step_there_is_none() -> None:
    assert {"peer", "step", "exception"}.isdisjoint(json.loads(JsonFormatter().format(record("x"))))


def test_whatever_is_said_stays_in_one_line() -> None:
    try:
        raise ValueError("one\ntwo\u2028three \ud800")
    except ValueError:
        line = JsonFormatter().format(record('a "b"\r\n\x00\x1b[31m', exc_info=sys.exc_info()))
    assert line.isascii() and line.isprintable()
    fields = json.loads(line)
    assert fields["message"] == 'a "b"\r\n\x00\x1b[31m'
    assert fields["exception"].startswith("Traceback") and "ValueError: one\ntwo" in fields["exception"]


def test_no_text_moves_the_cursor_or_begins_another_line() -> None:
    said = "gone\n2026-01-01 00:00:00,000 ERROR step 5: banned\x1b[2J"
    try:
        raise ValueError(said)
    except ValueError:
        text = TextFormatter().format(record("%s", said, exc_info=sys.exc_info()))
    first, *further = text.split("\n")
    assert first.endswith(" gone") and all(line.startswith("    ") for line in further)
    assert all(line.isprintable() for line in (first, *further))
    assert further[0] == "    2026-01-01 00:00:00,000 ERROR step 5: banned?[2J"


def test_the_sentence_of_an_error_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    tell_error("btard-peer", UserError("no run\x1b]0;owned\x07\nbtard-peer: all is well"))
    assert capsys.readouterr().err == "btard-peer: no run?]0;owned?\n    btard-peer: all is well\n"


NOISE = """
import logging, sys, threading, warnings
from btard.errors import UserError
from btard.logs import adopt_libraries, configure_logging
from btard.vocabulary import LogFormat
from btard.program import guarded

configure_logging(LogFormat(sys.argv[1]))
library = logging.getLogger("library")
library.addHandler(logging.StreamHandler())
library.propagate = False
adopt_libraries()
library.warning("from a library")
warnings.warn("take care")
dying = threading.Thread(target=lambda: 1 / 0)
dying.start()
dying.join()

def refuse():
    raise UserError("this is nonsense")

guarded("btard-peer", refuse)
raise RuntimeError("nobody catches this")
"""


def noise(form: LogFormat) -> list[str]:
    words = [sys.executable, "-c", NOISE, form.value]
    result = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1 and result.stdout == ""
    return result.stderr.splitlines()


def test_all_that_a_program_says_is_lines_of_json() -> None:
    said = [json.loads(line) for line in noise(LogFormat.JSON)]
    assert [(entry["level"], entry["logger"]) for entry in said] == [
        ("WARNING", "library"),
        ("WARNING", "py.warnings"),
        ("CRITICAL", "btard.logs"),
        ("ERROR", "btard-peer"),
        ("CRITICAL", "btard.logs"),
    ]
    assert "ZeroDivisionError" in said[2]["exception"] and said[3]["message"] == "this is nonsense"
    assert "RuntimeError: nobody catches this" in said[4]["exception"]


def test_text_is_for_people() -> None:
    said = noise(LogFormat.TEXT)
    assert said[0] == "from a library" and "btard-peer: this is nonsense" in said
    assert said[-1] == "RuntimeError: nobody catches this"
