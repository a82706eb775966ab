"""A line of each event, as the version before the events had types wrote it, and events made of such lines."""

from __future__ import annotations

import json
from typing import Any

from btard.swarm.events.coordinator import CoordinatorEvent
from btard.swarm.events.peer import PeerEvent
from btard.swarm.events.reading import parse_coordinator, parse_peer

A, B, C = (f"12D3KooW{letter * 44}" for letter in "ABC")
DIGEST = "5c" * 32

PEER_LINES: dict[str, dict[str, Any]] = {
    "joined": {
        **{"peer": A, "step": 3, "members": [A, B], "banned": [C], "roster": DIGEST, "rules": DIGEST},
        **{"incarnation": 1},
    },
    "admitted": {"peer": B, "step": 7, "probation": 27},
    "step": {
        **{"step": 3, "loss": 2.25, "seconds": 1.5, "members": 8, "newcomers": 1, "attacks": False, "attempt": 0},
        **{"roster": DIGEST, "validates": B, "state": DIGEST},
    },
    "void": {"step": 4, "attempt": 0, "suspended": [[A, "was late"]], "banned": [[B, "lied"]], "left": [C]},
    "banned": {"peer": B, "step": 4, "reason": "lied", "offence": "GRADIENT", "evidence": "/run/bans/4.json"},
    "left": {"step": 9, "reason": "shutdown"},
    "stopped": {"step": 5, "kind": "suspended", "reason": "was late"},
    "finished": {"step": 20},
    "seated": {"peer": A, "number": 2, "stage": 1, "step": 12, "fetched": 4096},
    "stage": {"number": 2, "stage": 3, "step": 12, "loss": 2.25, "seconds": 1.5, "alarm": None},
}
COORDINATOR_LINES: dict[str, dict[str, Any]] = {
    "started": {
        **{"run_id": "0a1b", "rules": DIGEST, "experiment": "trial", "peer": A},
        **{"addresses": ["/ip4/127.0.0.1/tcp/1"], "resumed": False},
    },
    "welcomed": {"peer": A, "count": 1, "wanted": 2},
    "awaited": {"here": 1, "wanted": 2},
    "refused": {"peer": A, "reason": "its key is banned"},
    "genesis": {"step": 0, "members": [A, B]},
    "roster": {"step": 5, "members": [A]},
    "seating": {"number": 2, "step": 5, "seats": [A, B], "changed": [1]},
    "unseated": {"step": 5, "stages": [1]},
    "joined": {"peer": A, "step": 6},
    "left": {"peer": A, "step": 6},
    "banned": {"peer": B, "step": 6},
    "verified": {
        **{"peer": B, "step": 4, "offence": "GRADIENT", "words": "lied", "basis": "by votes"},
        **{"evidence": "/run/bans/4.json"},
    },
    "unproven": {"peer": B, "step": 6},
    "excluded": {"peer": C, "step": 3, "reason": "was silent"},
    "examined": {"validator": A, "peer": B, "step": 8, "found": "differs"},
    "unvalidated": {"step": 4, "words": "3 voters"},
    "validated": {"step": 9},
    "dashboard": {"address": "http://127.0.0.1:8080"},
    "paused": {"step": 9, "voters": 4, "missing": [B, C]},
    "went_on": {"step": 9},
    "silent": {"step": 9},
    "checkpoint": {"step": 10, "digest": DIGEST, "evaluation_loss": 0.5, "folder": "/run/step-10", "source": A},
    "checkpoint_delayed": {"step": 20, "reason": "it cannot be written: no space"},
    "checkpoint_missed": {"step": 20, "reason": "no majority"},
    "reports_missed": {"first": 11, "last": 19},
    "finished": {"step": 20, "members": 4, "banned": [B], "evaluation_loss": 0.25},
    "stopped": {"reason": "interrupted"},
}


def peer_line(event: str, **fields: Any) -> dict[str, Any]:
    """Return the line of an event of a peer's log with these fields, at one time."""
    return {"time": 1.0, "event": event, **PEER_LINES[event], **fields}


def coordinator_line(event: str, **fields: Any) -> dict[str, Any]:
    """Return the line of an event of a coordinator's log with these fields, at one time."""
    return {"time": 1.0, "event": event, **COORDINATOR_LINES[event], **fields}


def peer_event(event: str, **fields: Any) -> PeerEvent:
    """Return the event of such a line."""
    found = parse_peer(json.dumps(peer_line(event, **fields)).encode())
    assert found is not None, event
    return found


def coordinator_event(event: str, **fields: Any) -> CoordinatorEvent:
    """Return the event of such a line."""
    found = parse_coordinator(json.dumps(coordinator_line(event, **fields)).encode())
    assert found is not None, event
    return found
