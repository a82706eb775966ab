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
from btard.swarm.events.coordinator import (
    BanUnproven,
    BanVerified,
    CheckpointDelayed,
    CheckpointMissed,
    CheckpointSaved,
    CoordinatorEvent,
    CoordinatorStarted,
    CoordinatorStopped,
    FirstRoster,
    FirstRosterAwaited,
    MemberBanned,
    MemberExcluded,
    MemberJoined,
    MemberLeft,
    PeerExamined,
    PeerWelcomed,
    RosterChanged,
    RunFinished,
    RunPaused,
    RunWentOn,
    StageAwaited,
    StagesSeated,
    SwarmSilent,
    ValidationResumed,
    ValidationStopped,
    awaited,
    pausing,
)
from btard.swarm.records.stages import seat_words
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
        self._run: dict[str, Any] = {"state": "starting", "step": None, "alive": 0, "unvalidated": None, "awaited": ""}
        self._run["paused"] = ""
        self._members: set[str] = set()
        self._rosters: deque[tuple[int, frozenset[str]]] = deque(maxlen=_MAX_ROSTERS)
        self._peers: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._bans: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._exclusions: deque[dict[str, Any]] = deque(maxlen=MAX_ROWS)
        self._verdicts: deque[dict[str, Any]] = deque(maxlen=MAX_ROWS)
        self._found: Counter[str] = Counter()
        self._checkpoints: OrderedDict[int, dict[str, Any]] = OrderedDict()
        self._attack: int | None = None
        self._pipeline: list[dict[str, Any]] = []

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

    def feed_pipeline(self, told: Mapping[str, Any]) -> None:
        """Take in `stages.json`, which a run in stages has."""
        rows = told.get("stages")
        self._pipeline = (
            [_stage(row) for row in rows[:MAX_PEERS] if isinstance(row, dict)] if isinstance(rows, list) else []
        )

    def feed_event(self, event: CoordinatorEvent) -> None:
        """Take in an event of the coordinator's log."""
        time = finite(event.time)
        if time is not None:
            self._run["time"] = max(time, self._run.get("time") or 0.0)
        match event:
            case CoordinatorStarted():
                self._run["paused"] = ""  # what a former start has seen may be over
                self._run["state"] = "waiting" if not self._members else "running"
                if not self._members and (wanted := self._run.get("peers")):
                    self._run["awaited"] = awaited(0, wanted)
                self._run.setdefault("started", time)
                self._run["rules"] = _text(event.rules)
            case PeerWelcomed():
                self._change(event.peer, "waiting", None)
                self._run["awaited"] = awaited(event.count, event.wanted)
            case FirstRosterAwaited():
                self._run["awaited"] = awaited(event.here, event.wanted)
            case FirstRoster() | RosterChanged():
                self._run |= {"state": "running", "awaited": ""}
                members = [_text(peer) for peer in event.members]
                self._roster(members, _step(event.step), first=isinstance(event, FirstRoster))
            case StagesSeated():
                self._run |= {"state": "running", "awaited": "", "unvalidated": None}
                self._roster([_text(peer) for peer in event.seats], _step(event.step), first=True)
            case StageAwaited():
                stages, replicas = (1 + max((row[of] or 0 for row in self._pipeline), default=0) for of in _PLACE)
                words = f"training waits for peers of {seat_words(event.stages, stages, replicas)}"
                self._run["unvalidated"] = {"step": event.step, "words": words}
            case MemberJoined():
                self._change(event.peer, "member", event.step)
            case MemberLeft():
                self._change(event.peer, "left", event.step)
            case MemberBanned() | BanVerified() | BanUnproven():
                self._ban(event)
            case MemberExcluded():
                row = {"peer": _text(event.peer), "step": event.step, "reason": _text(event.reason)}
                self._exclusions.append(row)
            case PeerExamined():
                self._found[event.found] += 1
                self._verdicts.append(
                    {
                        "validator": _text(event.validator),
                        "peer": _text(event.peer),
                        "step": event.step,
                        "found": event.found,
                    }
                )
            case CheckpointSaved():
                loss = short(finite(event.evaluation_loss))
                self._checkpoint({"step": event.step, "loss": loss, "digest": _text(event.digest)[:64], "missed": None})
            case CheckpointMissed() | CheckpointDelayed():
                self._checkpoint({"step": event.step, "loss": None, "digest": "", "missed": _text(event.reason)})
            case ValidationStopped():
                self._run["unvalidated"] = {"step": event.step, "words": _text(event.words)}
            case ValidationResumed():
                self._run["unvalidated"] = None
            case SwarmSilent():
                self._run["state"] = "silent"
            case RunPaused():
                missing = [_text(peer) for peer in event.missing]
                self._run["paused"] = pausing(event.step, event.voters, missing)
            case RunWentOn():
                self._run["paused"] = ""
            case RunFinished():
                self._end("finished", event.evaluation_loss)
            case CoordinatorStopped():
                self._end("stopped", None)

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
            "pipeline": self._pipeline,
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

    def _ban(self, event: MemberBanned | BanVerified | BanUnproven) -> None:
        peer = _text(event.peer)
        ban = self._bans.setdefault(
            peer, {"peer": peer, "step": event.step, "proven": None, "words": "", "basis": "", "evidence": None}
        )
        if len(self._bans) > MAX_BANS:
            self._bans.popitem(last=False)
        match event:
            case BanVerified():
                evidence = _text(event.evidence).rsplit("/", 1)[-1]
                ban.update(
                    step=event.step,
                    proven=True,
                    words=_text(event.words),
                    basis=_text(event.basis),
                    offence=_text(event.offence),
                    evidence=evidence if _EVIDENCE.match(evidence) else None,
                )
            case BanUnproven():
                ban["proven"] = False
        self._change(peer, "banned", ban["step"])
        self._peers[peer].update(state="banned", since=ban["step"])
        self.series.look_at(event.step)

    def _checkpoint(self, row: dict[str, Any]) -> None:
        self._checkpoints[row["step"]] = row
        if len(self._checkpoints) > MAX_ROWS:
            self._checkpoints.popitem(last=False)

    def _end(self, state: str, evaluation_loss: float | None) -> None:
        self._run["state"] = state
        self._run["evaluation_loss"] = short(finite(evaluation_loss))


def _text(value: object) -> str:
    """Return a stranger's text without what could confuse a reader, such as marks that turn the direction of words."""
    if not isinstance(value, str):
        return ""
    return "".join(char if char.isprintable() else "\ufffd" for char in value[:_MAX_TEXT])


def _step(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62 else None


_PLACE = ("stage", "replica")


def _stage(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the page shows of a stage."""
    names = (*_PLACE, "blocks", "step", "sent_bytes", "received_bytes", "checks", "alarms", "passed_by")
    numbers = {name: _step(row.get(name)) for name in names}
    return {**numbers, "peer": _text(row.get("peer")), "seconds": short(finite(row.get("seconds")))}
