"""Has one accident happen again and again to a swarm of real processes, and tells how long the others stood.

python -m btard.deploy.chaos.table --accident kill --times 20 --peers 5
python -m btard.deploy.chaos.table --accident kill --times 20 --peers 5 --deadlines coordinator
"""

from __future__ import annotations

import argparse
import contextlib
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from btard.coordinator.settings import CoordinatorSettings
from btard.deploy.chaos.accidents import STOPPED_SECONDS, Accident, hit_by, mend, strike
from btard.deploy.chaos.programs import Program, Programs
from btard.deploy.chaos.standstill import stood, usual_step_seconds
from btard.deploy.local.nursery_client import NurseryClient
from btard.deploy.local.plan import SwarmPlan, make_plan
from btard.deploy.local.settings import SwarmSettings
from btard.errors import UserError
from btard.program import guarded

_STEPS_AFTER = 6
_LONGEST_SECONDS = 900.0
_ENDLESS = 10**6


@dataclass(frozen=True)
class Strike:
    """One accident.

    Attributes:
        stood_seconds: the longest time for which one of the others stood, beside a step's own time.
        back_seconds: until all that were hit were members again, None if they were not within the time given.
        step_seconds: the usual length of a step before.
    """

    stood_seconds: float
    back_seconds: float | None
    step_seconds: float


def settings_for(peers: int, seed: int, directory: Path, deadlines: str) -> SwarmSettings:
    """Return the settings of a swarm of honest peers that goes on until it is ended.

    Args:
        deadlines: `swarm` or `coordinator`, of which program the default deadlines are.
    """
    own = CoordinatorSettings.model_fields
    given = {
        "commit_timeout": own["commit_timeout"].default,
        "exchange_timeout": own["scatter_timeout"].default,
        "agree_timeout": own["agree_timeout"].default,
        "settle_timeout": own["settle_timeout"].default,
    }
    return SwarmSettings(
        peers=peers,
        byzantine=0,
        task="digits",
        size="tiny",
        batch_size=8,
        steps=_ENDLESS,
        warmup_steps=0,
        probation=5,
        seed=seed,
        directory=directory,
        **(given if deadlines == "coordinator" else {}),
    )


def temporary_files(directory: Path) -> Path:
    """Return the folder of the temporary files and sockets of the processes of a swarm."""
    return directory / "tmp"


@contextlib.contextmanager
def running(plan: SwarmPlan) -> Iterator[Programs]:
    """Inside, a swarm runs; on leaving every process of it is ended. What it puts among temporary files is its own."""
    temporary = temporary_files(plan.directory)
    temporary.mkdir(parents=True)
    environment = plan.environment() | {"TMPDIR": str(temporary)}
    with NurseryClient(plan.preload, environment, plan.directory / "nursery.log") as nursery:
        nursery.wait_ready()
        swarm = Programs(plan, nursery)
        swarm.start()
        yield swarm


def strike_once(accident: Accident, swarm: Programs, chance: random.Random) -> Strike:
    """Have an accident happen at a random moment, wait until the others go on, and until those that it hit are back.

    Raises:
        UserError: the others do not go on.
    """
    hit = hit_by(accident, swarm, chance)
    others = [program for program in swarm.running() if program not in hit]
    swarm.look(chance.random() * 2 * usual_step_seconds(others[0].steps, time.time()))
    since, step = time.time(), usual_step_seconds(others[0].steps, time.time())
    strike(accident, swarm, hit)
    at_once = 2 * len(others) <= len(swarm.peers)  # the others cannot go on without them
    mended = time.time()
    if at_once:
        mend(accident, swarm, hit)
    if not swarm.wait_for_steps(_STEPS_AFTER, others, _LONGEST_SECONDS):
        raise UserError(f"the others stand still {_LONGEST_SECONDS:g} s after {accident}; see {swarm.directory}")
    stood_seconds = stood([program.steps for program in others], since, time.time())
    if accident in (Accident.STOP, Accident.FILL_DISK, Accident.FILL_COORDINATOR_DISK):
        swarm.wait(lambda: time.time() > since + STOPPED_SECONDS, STOPPED_SECONDS)
    if not at_once:
        mended = time.time()
        mend(accident, swarm, hit)
    trained = hit if accident.sends_away else ()
    back = swarm.wait(lambda: all(_is_back(program, mended) for program in trained), _LONGEST_SECONDS)
    returned = max((max(program.joined) - mended for program in trained), default=0.0) if back else None
    swarm.wait_for_steps(_STEPS_AFTER, swarm.running(), _LONGEST_SECONDS)
    return Strike(stood_seconds, returned, step)


def _is_back(program: Program, since: float) -> bool:
    return any(when >= since for when in program.joined) and program.steps[-1][0] > since


def _shown(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds):.2f} s in the median, {max(seconds):.2f} s at most"


def main(argv: Sequence[str]) -> int:
    """Run the accidents and print one line each, then the medians."""
    parser = argparse.ArgumentParser(
        prog="python -m btard.deploy.chaos.table", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--accident", type=Accident, choices=list(Accident), required=True)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--peers", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--deadlines", choices=("swarm", "coordinator"), default="swarm")
    given = parser.parse_args(argv)
    chance = random.Random(given.seed)
    with tempfile.TemporaryDirectory(prefix="btard-table-") as folder:
        plan = make_plan(settings_for(given.peers, given.seed, Path(folder) / "run", given.deadlines))
        with running(plan) as swarm:
            if not swarm.wait(lambda: all(program.step >= 20 for program in swarm.peers), _LONGEST_SECONDS):
                raise UserError("the swarm does not train")
            strikes = []
            for number in range(given.times):
                strikes.append(strike_once(given.accident, swarm, chance))
                back = strikes[-1].back_seconds
                print(
                    f"{number + 1:3}: the others stood {strikes[-1].stood_seconds:6.2f} s, back after "
                    f"{'never' if back is None else f'{back:6.2f} s'}; a step takes {strikes[-1].step_seconds:.3f} s",
                    flush=True,
                )
    stands = [each.stood_seconds for each in strikes]
    backs = [each.back_seconds for each in strikes if each.back_seconds is not None]
    print(f"{given.accident}, {given.peers} peers, deadlines of the {given.deadlines}: stood {_shown(stands)}")
    if backs:
        print(f"back after {_shown(backs)}, {len(backs)} of {len(strikes)} times")
    return 0


if __name__ == "__main__":
    sys.exit(guarded("python -m btard.deploy.chaos.table", lambda: main(sys.argv[1:])))
