"""`btard deploy`: runs on other people's machines."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

COMMANDS = {
    "up": "start a coordinator and peers, replace lost ones, terminate everything at the end",
    "status": "show the machines and what they have cost",
    "logs": "print what the machines say",
    "attack": "turn peers into attackers, now or from a checkpoint",
    "down": "terminate and delete everything that carries the experiment's tag",
    "experiment": "run all runs of an experiment's file, here or on AWS, and write the report",
}
_USAGE = "\n".join(
    [
        "usage: btard deploy aws COMMAND ...",
        "",
        "A run on AWS: one coordinator, and peers on spot instances.",
        "",
        *(f"  {name:<10}  {summary}" for name, summary in COMMANDS.items()),
        "",
        "`btard deploy aws COMMAND --help` tells more.",
    ]
)


def main(argv: Sequence[str]) -> int:
    """Run `btard deploy aws COMMAND ...` and return the exit code.

    Raises:
        UserError: the words are wrong, or AWS refused.
    """
    from btard.errors import UserError
    from btard.home import document

    words = list(argv)
    if words and words[0] == "aws":
        words = words[1:]
    elif words and words[0] not in ("-h", "--help"):
        raise UserError(f"btard deploy knows aws, not {words[0]!r}; {document('kubernetes')} tells of Kubernetes")
    if not words or words[0] in ("-h", "--help", "help"):
        print(_USAGE)
        return 0
    name, *rest = words
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        raise UserError(f"there is no command {name!r}; perhaps {close[0]} was meant" if close else _USAGE)
    return _run(name, rest)


def _run(name: str, words: list[str]) -> int:
    from btard.configuration import load_settings
    from btard.deploy.aws import settings

    program = f"btard deploy aws {name}"
    if name == "experiment":
        from btard.cli.experiment import main as experiment

        return experiment(words, program)
    if name == "up":
        up = load_settings(settings.UpSettings, words, program=program)
        from btard.deploy.aws.launcher import up as run_up

        run_up(up, _console())
    elif name == "status":
        wanted = load_settings(settings.FleetStatusSettings, words, program=program)
        from btard.deploy.aws.status import status

        return status(wanted, _console())
    elif name == "logs":
        read = load_settings(settings.LogsSettings, words, program=program)
        from btard.deploy.aws.logs import logs

        logs(read, _console())
    elif name == "attack":
        change = load_settings(settings.AttackSettings, words, program=program)
        from btard.deploy.aws.attack import attack

        attack(change, _console())
    else:
        end = load_settings(settings.DownSettings, words, program=program)
        from btard.deploy.aws.teardown import down

        down(end, _console())
    return 0


def _console() -> Console:
    from rich.console import Console

    return Console()
