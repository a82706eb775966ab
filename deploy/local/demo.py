"""`btard demo`: a swarm in which three of eight peers turn; with `--scenarios all`, what it is worth to notice it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from rich.console import Console

from btard.byzantine.settings import AttackStart
from btard.configuration import Group, Option, Seed, load_settings
from btard.configuration.shared.training import Steps, TaskName
from btard.deploy.local.settings import SwarmSettings
from btard.deploy.local.swarm import SwarmOutcome, report, run_swarm
from btard.swarm.telemetry.settings import DashboardSettings

PEERS, BYZANTINE = 8, 3

VALIDATORS = 1.0
"""Peers that sit a step out and recompute what another has sent: the attackers last about 14 steps on average."""


class Scenarios(StrEnum):
    """What is run."""

    BTARD = "btard"
    ALL = "all"


class DemoSettings(DashboardSettings):
    """Settings of the demonstration; `make demo NAME=VALUE` passes them on."""

    scenarios: Annotated[
        Scenarios,
        Option("btard: the attack with BTARD; all: also without an attack, and with plain averaging", group=Group.DEMO),
    ] = Scenarios.BTARD
    task: TaskName = "gpt"
    steps: Steps = 300
    attack_start: AttackStart = 20
    # Its weights do not stumble by themselves at the peak learning rate, as those of seed 0 do.
    seed: Annotated[Seed, Option("of everything that is drawn", group=Group.DEMO)] = 9
    directory: Annotated[
        Path | None, Option("where the runs are written; runs/demo-TIME if not given", group=Group.DEMO)
    ] = None


def scenarios(settings: DemoSettings, directory: Path) -> dict[str, SwarmSettings]:
    """Return the swarms to run, by the words that a figure calls them."""

    def swarm(name: str, **changed: object) -> SwarmSettings:
        return SwarmSettings.model_validate(
            {
                "experiment": name,
                "directory": directory if settings.scenarios is Scenarios.BTARD else directory / name,
                "peers": PEERS,
                "byzantine": BYZANTINE,
                "attack": ["SIGN_FLIPPING"],
                "attack_start": settings.attack_start,
                "validators": VALIDATORS,
                "task": settings.task,
                "steps": settings.steps,
                "batch_size": 16,
                "seed": settings.seed,
                "dashboard": settings.dashboard,
                "dashboard_token_file": settings.dashboard_token_file,
                **changed,
            }
        )

    btard = {"attack, BTARD": swarm("btard")}
    if settings.scenarios is Scenarios.BTARD:
        return btard
    return {
        "no attack": swarm("no-attack", byzantine=0),
        "attack, plain averaging": swarm("plain-averaging", rule="mean", validators=0.0),
        **btard,
    }


def main(argv: Sequence[str]) -> int:
    """Run the demonstration and return the exit code.

    Raises:
        UserError: the words are wrong, or a swarm failed.
    """
    settings = load_settings(DemoSettings, argv, program="btard demo")
    console = Console()
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    directory = (settings.directory or Path("runs") / f"demo-{stamp}").absolute()
    outcomes: dict[str, SwarmOutcome] = {}
    for words, swarm in scenarios(settings, directory).items():
        console.rule(words)
        outcomes[words] = run_swarm(swarm, console)
        report(outcomes[words], console)
    if len(outcomes) > 1:
        _compare(outcomes, directory, settings, console)
    return 0


def _compare(outcomes: dict[str, SwarmOutcome], directory: Path, settings: DemoSettings, console: Console) -> None:
    from btard.deploy.local.figure import draw_comparison

    curves = [outcome.curve.renamed(words) for words, outcome in outcomes.items()]
    title = f"{settings.task}: {BYZANTINE} of {PEERS} peers flip the signs of their gradients"
    _, png = draw_comparison(curves, directory, title=title)
    console.rule("comparison")
    for words, outcome in outcomes.items():
        console.print(f"{words}: {outcome.summary.sentence}", highlight=False, soft_wrap=True)
    console.print(f"figure {png}", highlight=False, soft_wrap=True)
