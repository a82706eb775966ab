"""A liar is found in the step after its lie; all are killed, and go back to where that begins: it is found again.

The draws of both swarms are the same, so the first one tells which peer will be looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from btard.deploy.local.plan import local_key
from btard.round.evidence.file import load
from btard.round.proof import verify
from tests.peer.test_daemon import events, kill_all, steps, until
from tests.peer.test_restart import NAMES, Swarm

LIE = 30
EVERY = ("--checkpoint-every", str(LIE))
"""States are kept at the beginning of the step of the lie, and its minutes beside it."""


@pytest.fixture
def swarms(tmp_path: Path) -> Iterator[list[Swarm]]:
    made: list[Swarm] = []
    yield made
    kill_all(program for swarm in made for program in reversed(swarm.started))
    for program in (program for swarm in made for program in swarm.started):
        print(f"--- the end of {program.log}\n{program.log.read_text()[-3000:]}")


def disturbed(swarm: Swarm, before: int) -> bool:
    """Whether an attempt has failed before a step, as on a busy machine: then the draws are others."""
    told = [event for name in NAMES for event in events(swarm.folder / name) if event["event"] == "void"]
    return any(event["step"] < before for event in told)


def bans(swarm: Swarm, name: str) -> list[dict[str, Any]]:
    """Return the bans that a peer has logged."""
    return [event for event in events(swarm.folder / name) if event["event"] == "banned"]


def audit_after_the_lie(swarm: Swarm) -> dict[str, str]:
    """Return the target of each validator in the step after the lie, by name."""
    names = {str(local_key(7, name).peer_id): name for name in NAMES}
    told = [(name, event) for name in NAMES for event in steps(swarm.folder / name) if event["step"] == LIE + 1]
    return {name: names[event["validates"]] for name, event in told if event["validates"]}


@pytest.mark.slow
@pytest.mark.swarm
def test_a_lie_in_the_last_step_is_found_once_more(swarms: list[Swarm], tmp_path: Path) -> None:
    swarms.append(Swarm(tmp_path / "honest", *EVERY))
    swarms[0].start(("coordinator", *NAMES))
    swarms[0].wait_for(LIE + 1)
    swarms[0].kill(("coordinator", *NAMES))
    ((_, liar),) = audit_after_the_lie(swarms[0]).items()
    lies = {"ATTACK_TYPE": "SIGN_FLIPPING", "ATTACK_START": str(LIE), "ATTACK_EVERY": "1000000"}
    lying = Swarm(tmp_path / "lying", *EVERY, attacks={liar: lies})
    swarms.append(lying)
    lying.start(("coordinator", *NAMES))
    honest = [name for name in NAMES if name != liar]
    until(lambda: all(lying.newest(name) >= LIE + 3 for name in honest), *lying.running.values())
    lying.kill(("coordinator", *NAMES))
    assert max(map(lying.newest, honest)) < 2 * LIE
    if disturbed(swarms[0], LIE + 1) or disturbed(lying, LIE + 1):
        return
    assert all(
        [(ban["step"], ban["offence"]) for ban in bans(lying, name)] == [(LIE + 1, "GRADIENT")] for name in honest
    )
    lying.start(("coordinator", *NAMES))
    for name in honest:
        until(partial(_banned_twice, lying, name), *lying.running.values())
        again = bans(lying, name)[1]
        assert (again["peer"], again["step"], again["offence"]) == (
            str(local_key(7, liar).peer_id),
            LIE + 1,
            "GRADIENT",
        )
        evidence = load(Path(again["evidence"]))
        assert evidence.rules.incarnation == 1 and "signed votes" in verify(evidence)


def _banned_twice(swarm: Swarm, name: str) -> bool:
    return len(bans(swarm, name)) > 1
