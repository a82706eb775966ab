"""`status`: what runs, since when, and what it has cost, all of it from tags."""

from __future__ import annotations

import json
from datetime import datetime

from rich.console import Console
from rich.table import Table

from btard.deploy.aws.cloud import Cloud
from btard.deploy.aws.fleet import Machine, MachineRole, by_slot, now, total_cost
from btard.deploy.aws.machines import Machines, wanted_of
from btard.deploy.aws.settings import FleetStatusSettings


def status(settings: FleetStatusSettings, console: Console) -> int:
    """Print the fleet; return 0 if it runs, 1 if nothing of it does."""
    machines = Machines(Cloud(settings)).list()
    time = now()
    alive = [machine for machine in machines if machine.alive]
    wanted = wanted_of(alive)
    if settings.json:
        print(json.dumps(_facts(machines, time)))
    elif not machines:
        console.print(f"nothing of {settings.experiment} is in {settings.region}", highlight=False)
    else:
        console.print(_table(machines, time))
        left = f"; ends by itself at {wanted.expires:%Y-%m-%d %H:%M} UTC" if wanted else ""
        hourly = sum(machine.price for machine in alive)
        console.print(
            f"{total_cost(machines, time):.2f} USD so far, {hourly:.2f} USD an hour now{left}",
            highlight=False,
            soft_wrap=True,
        )
    return 0 if alive else 1


def _facts(machines: list[Machine], time: datetime) -> dict[str, object]:
    wanted = wanted_of(machines)
    return {
        "machines": [
            machine.model_dump(mode="json", exclude={"wanted"}) | {"name": machine.name} for machine in machines
        ],
        "wanted": None if wanted is None else wanted.model_dump(mode="json"),
        "cost": round(total_cost(machines, time), 4),
    }


def _table(machines: list[Machine], time: datetime) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("machine", "instance", "type", "state", "behaviour", "address", "hours", "USD"):
        table.add_column(title, justify="right" if title in ("hours", "USD") else "left")
    for _, chain in sorted(by_slot(machines).items()):
        for machine in [*(m for m in chain if m.alive), *([] if any(m.alive for m in chain) else chain[-1:])]:
            hours = ((machine.ended or time) - machine.launched).total_seconds() / 3600
            table.add_row(
                machine.name,
                machine.id,
                machine.kind,
                machine.state.value if machine.alive else f"{machine.state.value} {machine.why}".strip(),
                "" if machine.role is MachineRole.COORDINATOR else machine.behaviour.removeprefix("ATTACK_TYPE="),
                " ".join(address for address in (machine.private_ip, machine.public_ip) if address),
                f"{hours:.2f}",
                f"{machine.cost(time):.2f}",
            )
    return table
