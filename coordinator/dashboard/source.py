"""Reads the files of a run while it goes on, or after it is over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from btard.coordinator.dashboard.model import RunModel
from btard.errors import UserError
from btard.swarm.events.coordinator import CoordinatorEvent
from btard.swarm.events.reading import EVENTS_FILE, parse_coordinator
from btard.swarm.events.tail import Tail, json_object

_LOOK = 256 << 10
"""Bytes of a file that are read at one look: a long history comes in pieces, none of which takes long."""

_MOST = 4 << 20
_SWARM_SUMMARY = "summary.json"


class RunSource:
    """The directory of a coordinator, live or finished.

    Attributes:
        bans: where the evidence is.
    """

    def __init__(self, directory: Path) -> None:
        self.bans = directory / "bans"
        self._directory = directory
        self._events = Tail[CoordinatorEvent](directory / EVENTS_FILE, parse_coordinator, _LOOK)
        self._steps = Tail(directory / "steps.jsonl", json_object, _LOOK)
        self._stamps: dict[str, tuple[int, int]] = {}

    @property
    def behind(self) -> bool:
        """Whether the last look did not reach the end of the files."""
        return self._events.behind or self._steps.behind

    def read(self, model: RunModel) -> None:
        """Tell the model what is new, or the next piece of a long history."""
        if manifest := self._changed("manifest.json"):
            model.feed_manifest(manifest)
        if peers := self._changed("peers.json"):
            model.feed_peers(peers)
        if stages := self._changed("stages.json"):
            model.feed_pipeline(stages)
        for event in self._events.read():
            model.feed_event(event)
        for line in self._steps.read():
            model.feed_step(line)

    def read_all(self, model: RunModel) -> None:
        """Tell the model everything that there is now."""
        self.read(model)
        while self.behind:
            self.read(model)

    def _changed(self, name: str) -> dict[str, Any] | None:
        """Return the object in a file that is replaced as a whole, if it has been since the last look."""
        path = self._directory / name
        try:
            status = path.stat()
            stamp = status.st_mtime_ns, status.st_ino
            if self._stamps.get(name) == stamp or status.st_size > _MOST:
                return None
            self._stamps[name] = stamp
            value = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None


def coordinator_directory(run: Path) -> Path:
    """Return the coordinator's directory in what a user calls a run: it, or that of `btard swarm` around it.

    Raises:
        UserError: there is no coordinator's log.
    """
    for candidate in (run, run / "coordinator"):
        if (candidate / "manifest.json").is_file() and (candidate / EVENTS_FILE).is_file():
            return candidate
    if not run.is_dir():
        raise UserError(f"{run} is no directory; give that of btard-coordinator or of btard swarm")
    raise UserError(f"{run} holds no run of a coordinator; give the directory of btard-coordinator or of btard swarm")


def attack_start(coordinator: Path) -> int | None:
    """Return the first step in which somebody lied, which the summary of a local swarm knows; None without one."""
    if coordinator.name != "coordinator":
        return None
    try:
        summary = json.loads((coordinator.parent / _SWARM_SUMMARY).read_bytes()[:_MOST])
    except (OSError, ValueError, RecursionError):
        return None
    start = summary.get("attack_start") if isinstance(summary, dict) else None
    return start if isinstance(start, int) and not isinstance(start, bool) and 0 <= start < 2**62 else None
