"""`python -m tests.images.run`: a swarm in containers, from a base image to a ban, a goodbye and an orderly end.

It needs docker or podman, and root with mmdebstrap or BASE=IMAGE; no registry. The coordinator's container has no
network but loopback and the peers share it, so that nothing can be loaded from anywhere. Everything that was made is
removed at the end, also after a failure or Ctrl-C.
"""

from __future__ import annotations

import re
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from tests.images.engine import Container, Engine, Failed, until

HONEST = 4
"""With one attacker: enough that a verdict has its majority, and that two can go afterwards."""

ATTACK_START = 3
_COORDINATOR = {
    "BTARD_PEERS": str(HONEST + 1),
    "BTARD_VALIDATORS": "1",
    "BTARD_TOTAL_STEPS": "100000",
    "BTARD_BATCH_SIZE": "2",
    "BTARD_COMMIT_TIMEOUT": "60",
}
_PEER = {"BTARD_THREADS": "1"}
_EXIT_TERMINATED_EARLY = 143
_EXIT_INTERRUPTED = 130
_EXIT_BANNED = 3
_STEPS_MORE = 5


def first(events: list[dict[str, Any]], name: str, **fields: Any) -> dict[str, Any] | None:
    """Return the first event of this name with these fields."""
    return next((e for e in events if e["event"] == name and all(e[k] == v for k, v in fields.items())), None)


def peer_id(peer: Container) -> str | None:
    """Return the id of a peer, once it has said it."""
    found = re.search(r"this peer is (\w+)", peer.log())
    return found[1] if found else None


def latest_step(coordinator: Container) -> int:
    """Return the last step that the coordinator has metrics of."""
    return max((line["step"] for line in coordinator.lines("steps.jsonl")), default=-1)


def check_early_stop(engine: Engine) -> None:
    """A stop that comes while imports run ends the container at once, though process 1 is spared unhandled signals."""
    container = engine.run("early", "btard-coordinator", network="none", environment={})

    def ended() -> bool:
        container.terminate()
        return container.exit_code() is not None

    until("a coordinator that is stopped while it starts has ended", 20, ended)
    expect("its exit code", container.exit_code(), _EXIT_TERMINATED_EARLY)


def expect(what: str, got: object, wanted: object) -> None:
    """Raise Failed if these differ."""
    if got != wanted:
        raise Failed(f"{what} is {got!r}, and should be {wanted!r}")


def start_swarm(engine: Engine) -> tuple[Container, list[Container], Container]:
    """Start the coordinator, the honest peers and the attacker, the peers when the coordinator is healthy."""
    coordinator = engine.run("coordinator", "btard-coordinator", network="none", environment=_COORDINATOR)

    def healthy() -> bool:
        if not coordinator.running():
            raise Failed(f"the coordinator has ended:\n{coordinator.log()[-2000:]}")
        return coordinator.healthy()

    until("the coordinator is healthy", 120, healthy)
    expect("the coordinator's user", coordinator.try_inside("id", "-u"), "1000\n")
    network = f"container:{coordinator.name}"
    words = ("--initial-peers", "localhost:31337")
    attack = {"ATTACK_TYPE": "SIGN_FLIPPING", "ATTACK_START": str(ATTACK_START)}
    peers = [engine.run(f"peer-{n}", "btard-peer", *words, network=network, environment=_PEER) for n in range(HONEST)]
    attacker = engine.run("attacker", "btard-peer", *words, network=network, environment=_PEER | attack)
    return coordinator, peers, attacker


def try_swarm(engine: Engine) -> None:
    """Wait for what a swarm with a liar must come to."""
    coordinator, peers, attacker = start_swarm(engine)

    def event(name: str, **fields: Any) -> Callable[[], dict[str, Any] | None]:
        return lambda: first(coordinator.lines("events.jsonl"), name, **fields)

    try:
        until("the first roster", 180, event("genesis"))
        liar = until("the attacker's name", 10, lambda: peer_id(attacker))
        until("a verdict bans the attacker", 300, event("banned", peer=liar))
        proof = until("its evidence is checked", 60, event("verified", peer=liar))
        print(f"          step {proof['step']}: it {proof['offence']}; {proof['basis']}", flush=True)
        until("the attacker has ended", 60, lambda: attacker.exit_code() is not None)
        expect("the attacker's exit code", attacker.exit_code(), _EXIT_BANNED)
        for peer in peers:
            until("an honest peer is healthy", 30, peer.healthy)

        leaver = peers[0]
        name = peer_id(leaver)
        leaver.terminate()
        until("a peer has ended after SIGTERM", 30, lambda: leaver.exit_code() is not None)
        expect("its exit code", leaver.exit_code(), _EXIT_INTERRUPTED)
        until("the coordinator notes that it left", 60, event("left", peer=name))
        begun = latest_step(coordinator)
        until(f"the others make {_STEPS_MORE} more steps", 120, lambda: latest_step(coordinator) >= begun + _STEPS_MORE)
        expect("the number of peers that run", sum(peer.running() for peer in peers), HONEST - 1)

        coordinator.terminate()
        until("the coordinator has ended after SIGTERM", 30, lambda: coordinator.exit_code() is not None)
        expect("its exit code", coordinator.exit_code(), 0)
    except Failed:
        for container in (coordinator, attacker, *peers):
            print(f"--- the end of {container.name}:\n{container.log()[-1500:]}", flush=True)
        raise


def _stop(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def main() -> int:
    """Build, try, remove; 0 when all went as it must."""
    signal.signal(signal.SIGTERM, _stop)
    began = time.monotonic()
    engine: Engine | None = None
    try:
        engine = Engine.find()
        print(f"with {engine.name}", flush=True)
        base = engine.make_base()
        print(f"{time.monotonic() - began:6.1f} s  base image {base}", flush=True)
        print(engine.build(base), flush=True)
        check_early_stop(engine)
        try_swarm(engine)
    except Failed as error:
        print(f"FAILED: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return _EXIT_INTERRUPTED
    finally:
        if engine is not None:
            engine.close()
    print(f"all of it in {time.monotonic() - began:.0f} s, and nothing is left behind")
    return 0


if __name__ == "__main__":
    sys.exit(main())
