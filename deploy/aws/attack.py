"""`attack`: changes who attacks, in a run that goes on or from a checkpoint of it."""

from __future__ import annotations

import time

from rich.console import Console

from btard.deploy.aws.cloud import Cloud
from btard.deploy.aws.fleet import HONEST, now
from btard.deploy.aws.launcher import behaviour_of
from btard.deploy.aws.machines import Machines, running_coordinator, wanted_of
from btard.deploy.aws.reconcile import decide
from btard.deploy.aws.settings import LACKS_ATTACK, AttackSettings
from btard.errors import UserError
from btard.vocabulary import NO_ATTACK


def attack(settings: AttackSettings, console: Console) -> None:
    """Write down what is wanted from now on, and wait until the launcher, which `up` is, has brought it about.

    A peer's behaviour is fixed when it starts, so an honest machine is replaced by an attacking one. From a checkpoint
    all machines are replaced, the coordinator too.

    Raises:
        UserError: no such run, or it would leave nobody honest, or there is no bucket with checkpoints, or no launcher.
    """
    if settings.attackers and settings.attack_type == NO_ATTACK:
        raise UserError(LACKS_ATTACK)
    cloud = Cloud(settings)
    machines = Machines(cloud, settings.poll, settings.patience)
    found = machines.list()
    wanted = wanted_of([machine for machine in found if machine.alive])
    coordinator = running_coordinator(found, wanted) if wanted is not None else None
    if wanted is None or coordinator is None:
        raise UserError(f"no coordinator of {settings.experiment} runs in {settings.region}; start it by up")
    if settings.attackers >= wanted.workers:
        raise UserError(f"{settings.attackers} attackers of {wanted.workers} peers leave nobody honest")
    spec = machines.spec(found)
    changed = {"attackers": settings.attackers, "behaviour": behaviour_of(settings) if settings.attackers else HONEST}
    if settings.checkpoint is not None:
        if spec.bucket is None:
            raise UserError("--checkpoint needs a run that was started with a --bucket, where its checkpoints are")
        changed |= {"generation": wanted.generation + 1, "checkpoint": settings.checkpoint}
    wanted = wanted.model_copy(update=changed)
    machines.want(coordinator, wanted)
    console.print("what is wanted is written down; waiting until the launcher has seen to it", highlight=False)
    deadline = time.monotonic() + settings.patience
    while True:
        decision = decide(wanted, machines.list(), now(), restorable=spec.bucket is not None)
        if decision.settled:
            break
        if decision.end is not None or time.monotonic() > deadline:
            why = decision.end or f"after {settings.patience:g} s the machines are still the old ones"
            raise UserError(f"{why}: does up still run? Started again, it goes on from what is written down")
        time.sleep(settings.poll)
    who = f"{settings.attackers} of {wanted.workers} peers attack" if settings.attackers else "nobody attacks"
    console.print(f"{who}: {wanted.behaviour}" if settings.attackers else who, highlight=False, soft_wrap=True)
