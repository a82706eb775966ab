"""A recorded run, as lines of events: five honest peers and three that flip signs from step 20, banned one by one."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from btard.deploy.local.plan import SwarmPlan, make_plan
from btard.deploy.local.settings import SwarmSettings
from btard.deploy.local.status import RunStatus
from tests.swarm.events.lines import coordinator_line, peer_line

BANS = {"peer-5": 27, "peer-6": 31, "peer-7": 58}
START = 20
STEPS = 120


def settings(directory: Path, **changed: Any) -> SwarmSettings:
    """The recorded run's settings."""
    return SwarmSettings.model_validate({"directory": directory, "steps": STEPS, "experiment": "recorded", **changed})


def loss_of(step: int) -> float:
    """A curve that learns, shaken while the attack lasts."""
    return 2.4 + 2.0 * math.exp(-step / 40) + 0.05 * math.sin(7 * step)


def write_events(plan: SwarmPlan, *, bans: dict[str, int] = BANS, explodes: bool = False) -> None:
    """Write the files that the peers and the coordinator would have written."""
    for peer in plan.peers:
        lines: list[dict[str, Any]] = [peer_line("joined", time=1000.0, peer=str(peer.peer_id), step=0)]
        for step in range(plan.settings.steps):
            attacks = not peer.honest and step >= START
            members = len(plan.peers) - sum(at < step for at in bans.values())
            loss = loss_of(step) * (math.exp(min(step - START, 60)) if explodes and step >= START else 1.0)
            fields = {"loss": None if attacks else loss, "seconds": 0.5, "members": members, "attacks": attacks}
            lines.append(peer_line("step", time=1000.0 + step / 2, step=step, **fields))
            if bans.get(peer.name) == step:
                me = str(peer.peer_id)
                lines.append(peer_line("banned", time=1001.0, peer=me, step=step, reason="lottery"))
                break
        else:
            lines.append(peer_line("finished", time=2000.0, step=plan.settings.steps))
        peer.events.write_text("".join(json.dumps(line) + "\n" for line in lines))
    checkpoint = coordinator_line("checkpoint", time=2000.0, step=plan.settings.steps, evaluation_loss=2.5)
    plan.coordinator.events.write_text(json.dumps(checkpoint) + "\n")


def recorded_run(
    directory: Path, *, bans: dict[str, int] = BANS, explodes: bool = False
) -> tuple[SwarmPlan, RunStatus]:
    """Return the recorded run, read."""
    plan = make_plan(settings(directory))
    write_events(plan, bans=bans, explodes=explodes)
    status = RunStatus(plan.peers, plan.coordinator, plan.settings.steps)
    status.refresh()
    return plan, status
