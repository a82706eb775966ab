"""The view of a run, made of what its coordinator wrote: lines and files in, plain data for JSON out.

No clock, no file and no network here. Every text may be a stranger's: it is cut and cleared of what cannot be printed,
and a page must still escape it.
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict, deque
from collections.abc import Mapping
from typing import Any

from btard.coordinator.dashboard.series import Series, finite, short, shorts
from btard.transport.stages import Stage

MAX_PEERS = 256
"""Peers that are shown; of more, those that were heard of last."""

MAX_ROWS = 100
"""Rows of a table: the latest findings, exclusions, checkpoints."""

MAX_BANS = 256
_MAX_ROSTERS = 64
_MAX_TEXT = 300
_EVIDENCE = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,200}\.json$")

Section = dict[str, Any] | list[Any]


class RunModel:
    """What is known of a run.

    Attributes:
        series: loss (median), mean loss, alive, reporting, samples/s of each step.
    """

    def __init__(self) -> None:
        self.series = Series()
        self._run: dict[str, Any] = {"state": "starting", "step": None, "alive": 0, "unvalidated": None}
        self._members: set[str] = set()
        self._rosters: deque[tuple[int, frozenset[str]]] = deque(maxlen=_MAX_ROSTERS)
        self._peers: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._bans: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._exclusions: deque[dict[str, Any]] = deque(maxlen=MAX_ROWS)
        self._verdicts: deque[dict[str, Any]] = deque(maxlen=MAX_ROWS)
        self._found: Counter[str] = Counter()
        self._checkpoints: OrderedDict[int, dict[str, Any]] = OrderedDict()
        self._attack: int | None = None

    def feed_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Take in `manifest.json`."""
        for name in ("experiment", "run_id", "task", "size", "rule"):
            self._run[name] = _text(manifest.get(name))
        for name in ("total_steps", "peers", "batch_size", "start_step"):
            self._run[name] = _step(manifest.get(name))

    def feed_attack(self, step: int) -> None:
        """Take in when an attack began; only the launcher of a local swarm knows."""
        self._attack = step
        self.series.look_at(step)

    def feed_step(self, line: Mapping[str, Any]) -> None:
        """Take in a line of `steps.jsonl`."""
        step = _step(line.get("step"))
        if step is None:
            return
        fields = ("median_loss", "loss", "alive", "reporting", "samples_per_second")
        median, mean, alive, reporting, rate = (finite(line.get(field)) for field in fields)
        # The line counts the members at the time when it was written, which may be many steps later.
        numbers = (median, mean, self._alive_in(step, alive), reporting, rate)
        self.series.add(step, numbers)
        if self._run["step"] is None or step >= self._run["step"]:
            told = dict(zip(("median_loss", "loss", "alive", "reporting", "rate"), shorts(numbers), strict=True))
            self._run |= {**told, "step": step, "alive": int(alive or 0), "time": finite(line.get("time"))}
            if self._run["state"] in ("starting", "waiting", "silent"):
                self._run["state"] = "running"

    def feed_peers(self, peers: Mapping[str, Any]) -> None:
        """Take in `peers.json`."""
        for peer, told in peers.items():
            if not isinstance(told, dict):
                continue
            stages = told.get("stages")
            seconds = [finite(stages.get(stage)) for stage in Stage] if isinstance(stages, dict) else []
            self._peer(_text(peer)).update(
                version=_text(told.get("version")),
                numerics=_text(told.get("numerics")),
                sent=_step(told.get("bytes_sent")),
                received=_step(told.get("bytes_received")),
                step=_step(told.get("step")),
                stages=shorts(seconds),
                loss=short(finite(told.get("loss"))),
                rate=short(finite(told.get("samples_per_second"))),
            )

    def feed_event(self, event: Mapping[str, Any]) -> None:
        """Take in a line of `events.jsonl`; one that is not understood changes nothing."""
        time = finite(event.get("time"))
        if time is not None:
            self._run["time"] = max(time, self._run.get("time") or 0.0)
        match event:
            case {"event": "started"}:
                self._run["state"] = "waiting" if not self._members else "running"
                self._run.setdefault("started", time)
                self._run["rules"] = _text(event.get("rules"))
            case {"event": "welcomed", "peer": str(peer)}:
                self._change(peer, "waiting", None)
            case {"event": "genesis" | "roster" as name, "members": [*members]}:
                self._run["state"] = "running"
                self._roster([_text(peer) for peer in members], _step(event.get("step")), first=name == "genesis")
            case {"event": "joined" | "left" as name, "peer": str(peer), "step": int(step)}:
                self._change(peer, "member" if name == "joined" else "left", step)
            case {"event": "banned" | "verified" | "unproven" as name, "peer": str(peer), "step": int(step)}:
                self._ban(name, _text(peer), step, event)
            case {"event": "excluded", "peer": str(peer), "step": int(step)}:
                self._exclusions.append({"peer": _text(peer), "step": step, "reason": _text(event.get("reason"))})
            case {"event": "examined", "validator": str(validator), "peer": str(peer), "step": int(step)}:
                found = _text(event.get("found"))
                self._found[found if found in ("same", "differs", "withheld") else "unknown"] += 1
                row = {"validator": _text(validator), "peer": _text(peer), "step": step, "found": found}
                self._verdicts.append(row)
            case {"event": "checkpoint" | "checkpoint_missed", "step": int(step)}:
                self._checkpoint(step, event)
            case {"event": "unvalidated", "step": int(step)}:
                self._run["unvalidated"] = {"step": step, "words": _text(event.get("words"))}
            case {"event": "validated"}:
                self._run["unvalidated"] = None
            case {"event": "silent"}:
                self._run["state"] = "silent"
            case {"event": "finished" | "stopped" as name}:
                self._run["state"] = name
                self._run["evaluation_loss"] = short(finite(event.get("evaluation_loss")))

    def evidence(self, name: str) -> bool:
        """Whether a ban names this file as its evidence."""
        return any(ban["evidence"] == name for ban in self._bans.values())

    def sections(self) -> dict[str, Section]:
        """Return everything but the curves, for JSON."""
        machines = sorted({row["numerics"] for row in self._peers.values() if row.get("numerics")})[:MAX_PEERS]
        return {
            "run": dict(self._run),
            "peers": {
                "stages": list(Stage),
                "machines": machines,
                "rows": [self._row(peer, row, machines) for peer, row in self._peers.items()],
            },
            "bans": list(self._bans.values()),
            "exclusions": list(self._exclusions),
            "verdicts": {"found": dict(self._found), "rows": list(self._verdicts)},
            "checkpoints": list(self._checkpoints.values()),
            "window": {"focus": self.series.focus, "attack": self._attack, "rows": self.series.window()},
        }

    def curves(self, start: int = 0) -> dict[str, Any]:
        """Return the curves from a point on, for JSON."""
        return {"stride": self.series.stride, "from": start, "rows": self.series.rows(start)}

    def _row(self, peer: str, row: dict[str, Any], machines: list[str]) -> dict[str, Any]:
        numerics = row.get("numerics")
        shown = {name: value for name, value in row.items() if name != "numerics" and value is not None}
        return {"id": peer, **shown, "machine": machines.index(numerics) if numerics in machines else None}

    def _peer(self, peer: str) -> dict[str, Any]:
        row = self._peers.setdefault(peer, {"state": "unknown", "since": None})
        if len(self._peers) > MAX_PEERS:
            gone = (other for other in self._peers if other not in self._members and other != peer)
            del self._peers[next(gone, next(iter(self._peers)))]
        return row

    def _change(self, peer: str, state: str, step: int | None) -> None:
        peer = _text(peer)
        row = self._peer(peer)
        if row["state"] != "banned":
            row.update(state=state, since=step)
        if state == "member":
            self._members.add(peer)
        else:
            self._members.discard(peer)

    def _roster(self, members: list[str], step: int | None, *, first: bool) -> None:
        if first:
            for peer in members:
                self._change(peer, "member", step)
        self._members = set(members)
        if step is not None:
            self._rosters.append((step, frozenset(members)))
        for peer, row in self._peers.items():
            if row["state"] == "waiting" and peer not in self._members:
                row["state"] = "left"
        self._run["alive"] = len(members)

    def _alive_in(self, step: int, otherwise: float | None) -> float | None:
        """The members of a step, as far as the rosters and the bans that were heard of tell."""
        members = next((members for since, members in reversed(self._rosters) if since <= step), None)
        if members is None:
            return otherwise
        return float(sum(peer not in self._bans or self._bans[peer]["step"] > step for peer in members))

    def _ban(self, name: str, peer: str, step: int, event: Mapping[str, Any]) -> None:
        ban = self._bans.setdefault(
            peer, {"peer": peer, "step": step, "proven": None, "words": "", "basis": "", "evidence": None}
        )
        if len(self._bans) > MAX_BANS:
            self._bans.popitem(last=False)
        if name == "verified":
            evidence = _text(event.get("evidence")).rsplit("/", 1)[-1]
            ban.update(
                step=step,
                proven=True,
                words=_text(event.get("words")),
                basis=_text(event.get("basis")),
                offence=_text(event.get("offence")),
                evidence=evidence if _EVIDENCE.match(evidence) else None,
            )
        elif name == "unproven":
            ban["proven"] = False
        self._change(peer, "banned", ban["step"])
        self._peers[peer].update(state="banned", since=ban["step"])
        self.series.look_at(step)

    def _checkpoint(self, step: int, event: Mapping[str, Any]) -> None:
        self._checkpoints[step] = {
            "step": step,
            "loss": short(finite(event.get("evaluation_loss"))),
            "digest": _text(event.get("digest"))[:64],
            "missed": _text(event.get("reason")) if event["event"] == "checkpoint_missed" else None,
        }
        if len(self._checkpoints) > MAX_ROWS:
            self._checkpoints.popitem(last=False)


def _text(value: object) -> str:
    """Return a stranger's text without what could confuse a reader, such as marks that turn the direction of words."""
    if not isinstance(value, str):
        return ""
    return "".join(char if char.isprintable() else "\ufffd" for char in value[:_MAX_TEXT])


def _step(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62 else None
