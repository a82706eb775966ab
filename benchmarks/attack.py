"""Train the tiny GPT with 16 peers, 7 of which flip the signs of their gradients, and compare with no attack.

Three real swarms on this machine, one after another, with the same seed: no attack, the attack with plain averaging
(nobody is ever banned), the attack with BTARD (verdicts ban, with one validator a step). Prints the training
loss at the end (mean of the last ten steps over the honest peers) and the loss on held-out data, and their ratios to
the run without an attack; draws one figure.

    python -m benchmarks.attack --directory runs/attack
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from btard.deploy.local.figure import draw_comparison
from btard.deploy.local.settings import SwarmSettings
from btard.deploy.local.swarm import SwarmOutcome, report, run_swarm


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, required=True, help="where the runs are written")
    parser.add_argument("--peers", type=int, default=16)
    parser.add_argument("--byzantine", type=int, default=7)
    parser.add_argument("--attack", nargs="+", default=["SIGN_FLIPPING"])
    parser.add_argument("--attack-start", type=int, default=100, help="step")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tau", type=float, default=None)
    arguments = parser.parse_args()
    common = {
        "peers": arguments.peers,
        "byzantine": arguments.byzantine,
        "attack": arguments.attack,
        "attack_start": arguments.attack_start,
        "validators": 1.0,
        "steps": arguments.steps,
        "seed": arguments.seed,
        "tau": arguments.tau,
        "size": "tiny",
        "task": "gpt",
    }
    changes: dict[str, dict[str, object]] = {
        "no attack": {"byzantine": 0},
        "attack, plain averaging": {"rule": "mean", "validators": 0.0},
        "attack, BTARD": {},
    }
    console = Console()
    outcomes: dict[str, SwarmOutcome] = {}
    for words, changed in changes.items():
        name = words.replace(",", "").replace(" ", "-")
        directory = (arguments.directory / name).absolute()
        settings = SwarmSettings.model_validate({**common, "experiment": name, "directory": directory, **changed})
        outcomes[words] = run_swarm(settings, console)
        report(outcomes[words], console)
    curves = [outcome.curve.renamed(words) for words, outcome in outcomes.items()]
    title = f"tiny GPT: {arguments.byzantine} of {arguments.peers} peers attack by {' and '.join(arguments.attack)}"
    draw_comparison(curves, arguments.directory.absolute(), title=title)
    reference = outcomes["no attack"].summary
    for words, outcome in outcomes.items():
        summary = outcome.summary
        print(
            f"{words}: training loss {_ratio(summary.final_loss, reference.final_loss)}, "
            f"held-out loss {_ratio(summary.evaluation_loss, reference.evaluation_loss)}, "
            f"{summary.step_seconds} s a step, banned at steps {[ban.step for ban in summary.bans]}"
        )


def _ratio(loss: float | None, reference: float | None) -> str:
    if loss is None or reference is None:
        return "not finite"
    return f"{loss:.4f} ({loss / reference:.4f} of the run without an attack)"


if __name__ == "__main__":
    main()
