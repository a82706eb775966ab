"""What daemons print of themselves: lines for people, or a JSON object a line for programs that collect logs."""

from __future__ import annotations

import json
import logging
import sys
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from btard.errors import UserError
from btard.printable import printable_lines
from btard.vocabulary import LogFormat

logger = logging.getLogger(__name__)

_LEVELS = {10: "DEBUG", 20: "INFO", 30: "WARNING", 40: "ERROR", 50: "CRITICAL"}
"""The names of levels, which hivemind changes for a whole process."""

_TEXT = "%(asctime)s %(levelname)s %(message)s"


@dataclass
class Moment:
    """What a process is busy with, for the readers of its log.

    One a process: a daemon takes part in one step at a time, and lines about it come from tasks and threads that a
    context variable would not reach.

    Attributes:
        peer: id of this process's peer, None before it is known.
        step: None outside of steps.
    """

    peer: str | None = None
    step: int | None = None


MOMENT = Moment()
"""Of this process; set it when a step begins."""


class JsonFormatter(logging.Formatter):
    """A JSON object a record: time (UTC, ISO 8601), level, logger, message; peer, step and exception if there are."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object in one line of ASCII."""
        time = datetime.fromtimestamp(record.created, UTC)
        fields: dict[str, Any] = {
            "time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": _LEVELS.get(record.levelno, record.levelname),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if MOMENT.peer is not None:
            fields["peer"] = MOMENT.peer
        if MOMENT.step is not None:
            fields["step"] = MOMENT.step
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            fields["stack"] = self.formatStack(record.stack_info)
        return json.dumps(fields)


class TextFormatter(logging.Formatter):
    """A line a record for people. Messages quote strangers: nothing in them moves the cursor or begins another line."""

    def __init__(self) -> None:
        super().__init__(_TEXT)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, further ones of the message and of an exception indented below it."""
        return printable_lines(super().format(record))


def configure_logging(form: LogFormat) -> None:
    """Send this process's log to standard error; with JSON also warnings, and exceptions that nobody has caught."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form is LogFormat.JSON else TextFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    if form is LogFormat.JSON:
        logging.captureWarnings(True)
        sys.excepthook = _uncaught
        threading.excepthook = lambda died: _uncaught(died.exc_type, died.exc_value, died.exc_traceback)


def adopt_libraries() -> None:
    """With JSON, let libraries that were imported print through the one handler, where they have brought their own."""
    if not writes_json():
        return
    for known in list(logging.root.manager.loggerDict.values()):
        if isinstance(known, logging.Logger):
            for handler in list(known.handlers):
                if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
                    known.removeHandler(handler)
                    known.propagate = True


def tell_error(program: str, error: UserError) -> None:
    """Print the sentence with which a program ends."""
    if writes_json():
        logging.getLogger(program).error("%s", error)
    else:
        print(printable_lines(f"{program}: {error}"), file=sys.stderr)


def writes_json() -> bool:
    """Whether `configure_logging` has chosen JSON."""
    return any(isinstance(handler.formatter, JsonFormatter) for handler in logging.root.handlers)


def _uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt | SystemExit):
        return
    told = (kind, error, trace) if error is not None else None
    logger.critical("ended by an exception that nobody caught", exc_info=told)
