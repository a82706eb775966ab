"""The `btard` program: dispatches to one module a command, which is imported only when it runs."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from btard import __version__
from btard.cli.program import call, guarded
from btard.errors import UserError

PROGRAM = "btard"


@dataclass(frozen=True)
class Command:
    """A command: the module whose `main(argv)` runs it, and its line in the help; without one it is for maintainers."""

    module: str
    summary: str | None


COMMANDS = {
    "demo": Command("btard.cli.demo", "see three of eight peers turn, and be banned"),
    "swarm": Command("btard.cli.swarm", "start a coordinator and peers on this machine"),
    "doctor": Command("btard.cli.doctor", "test what keeps this machine out of a swarm"),
    "status": Command("btard.cli.status", "show the peers of a running swarm"),
    "verdict": Command("btard.cli.verdict", "check the evidence of bans, offline"),
    "key": Command("btard.cli.key", "show, back up and restore the key that is a peer's name"),
    "replay": Command("btard.cli.replay", "show a run that is over as a page in the browser"),
    "roster": Command("btard.cli.roster", "tell why the roster of a run is as it is"),
    "simulate": Command("btard.cli.simulate", "run the protocol among simulated peers, some of whom lie"),
    "lab": Command("btard.cli.lab", "train among simulated workers, some of whom lie, and measure it"),
    "data": Command("btard.cli.data", "list the tasks, and prepare the data that they train on"),
    "calibrate": Command("btard.cli.calibrate", "measure how far honest gradients differ on this machine"),
    "pipeline": Command("btard.cli.pipeline", "cut a model too large for one peer into stages"),
    "deploy": Command("btard.cli.deploy", "run on AWS: machines are started, replaced and ended"),
    "docs": Command("btard.cli.docs", None),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run `btard COMMAND ...` and return its exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    return guarded(PROGRAM, lambda: _dispatch(words))


def _dispatch(words: Sequence[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_help())
        return 0
    if words[0] == "--version":
        print(f"{PROGRAM} {__version__}")
        return 0
    name, *rest = words
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"perhaps {close[0]} was meant" if close else f"{PROGRAM} --help lists the commands"
        raise UserError(f"there is no command {name!r}; {hint}")
    return call(COMMANDS[name].module, "main", rest)


def _help() -> str:
    shown = {name: command.summary for name, command in COMMANDS.items() if command.summary}
    width = max(map(len, shown))
    return "\n".join(
        [
            f"usage: {PROGRAM} COMMAND ...",
            "",
            "Train one model with strangers, some of whom lie.",
            "",
            *(f"  {name:<{width}}  {summary}" for name, summary in shown.items()),
            "",
            f"`{PROGRAM} COMMAND --help` tells more, `{PROGRAM} --version` the version. The daemons are",
            "btard-coordinator and btard-peer.",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
