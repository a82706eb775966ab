"""What the launcher and the nursery tell each other: one JSON object a line."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class Wave(StrEnum):
    """When a program is told to end: the peers first, since they say goodbye to the coordinator."""

    PEERS = "peers"
    COORDINATOR = "coordinator"


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def encode(self) -> bytes:
        """Return the line, with its end."""
        return self.model_dump_json().encode() + b"\n"


class Start(_Line):
    """Fork a program.

    Attributes:
        name: of the program in reports; unique.
        target: `module:function`; the function takes the words of the command line and returns an exit code.
        argv: the words.
        environment: what is added to the nursery's own environment.
        log: the file that standard output and error are appended to.
        identity: the key file, whose p2pd and sockets are removed when the program has ended.
        wave: when it is told to end.
    """

    do: Literal["start"] = "start"
    name: str
    target: Annotated[str, Field(pattern=r"^[\w.]+:\w+$")]
    argv: list[str] = []
    environment: dict[str, str] = {}
    log: str
    identity: str | None = None
    wave: Wave = Wave.PEERS


class EndWave(_Line):
    """Ask the programs of a wave to end, and kill those that do not."""

    do: Literal["end"] = "end"
    wave: Wave


Command = Start | EndWave


class Ready(_Line):
    """The nursery has imported what it was told to."""

    what: Literal["ready"] = "ready"
    pid: int


class Started(_Line):
    """A program runs."""

    what: Literal["started"] = "started"
    name: str
    pid: int


class Ended(_Line):
    """A program has ended, and nothing of it is left.

    Attributes:
        code: its exit code, or minus the signal that killed it.
    """

    what: Literal["ended"] = "ended"
    name: str
    pid: int
    code: int


class Refused(_Line):
    """The nursery could not do as told."""

    what: Literal["refused"] = "refused"
    reason: str


NurseryReport = Ready | Started | Ended | Refused

_COMMANDS: TypeAdapter[Command] = TypeAdapter(Annotated[Start | EndWave, Field(discriminator="do")])
_REPORTS: TypeAdapter[NurseryReport] = TypeAdapter(
    Annotated[Ready | Started | Ended | Refused, Field(discriminator="what")]
)


def read_command(line: bytes) -> Command:
    """Return the command of a line; raises pydantic's ValidationError."""
    return _COMMANDS.validate_json(line)


def read_report(line: bytes) -> NurseryReport:
    """Return the report of a line; raises pydantic's ValidationError."""
    return _REPORTS.validate_json(line)
