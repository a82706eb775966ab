"""`btard roster DIRECTORY`: why the roster of a run is as it is, from the log of a peer or a coordinator."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from btard.cli.events import EVENTS, read_events


class Change(StrEnum):
    """What can happen to a peer's membership."""

    JOINED = "joined"
    SUSPENDED = "suspended"
    LEFT = "left"
    BANNED = "banned"
    RESTORED = "restored"


@dataclass(frozen=True)
class Entry:
    """One change of the roster.

    Attributes:
        step: in which it happened; for a joined peer, the first one that it is a member in.
        peer: text id.
        what: has happened to it.
        reason: in words; empty where the log does not tell.
        evidence: file that proves a ban, None where there is none.
    """

    step: int
    peer: str
    what: Change
    reason: str = ""
    evidence: str | None = None

    @property
    def sentence(self) -> str:
        """The line for people; what strangers said in it cannot steer the terminal."""
        from btard.printable import printable

        words = [f"step {self.step:6d}  {self.what:9}  {self.peer}"]
        if self.reason:
            words.append(self.reason)
        if self.evidence:
            words.append(f"evidence {self.evidence}")
        return printable("  ".join(words))


def main(argv: Sequence[str]) -> int:
    """Print every change of the roster that a log tells, in the order of steps, and return the exit code.

    Raises:
        UserError: there is no log, or it tells nothing about a roster.
    """
    parser = argparse.ArgumentParser(prog="btard roster", description=__doc__)
    parser.add_argument("directory", type=Path, metavar="DIRECTORY", help="of a peer or a coordinator")
    parser.add_argument("--json", action="store_true", help="print one JSON object a change")
    arguments = parser.parse_args(argv)

    from btard.errors import UserError

    entries = history(read_events(arguments.directory))
    if not entries:
        raise UserError(f"{arguments.directory / EVENTS} tells nothing about a roster; has the run begun?")
    for entry in entries:
        print(json.dumps(dataclasses.asdict(entry)) if arguments.json else entry.sentence)
    return 0


def history(events: Iterable[dict[str, Any]]) -> list[Entry]:
    """Return the changes of the roster in the order of steps; what is told twice counts once.

    Of two reports of one change, such as a ban and the evidence that was found for it, each gives what the other lacks.
    """
    found: dict[tuple[str, Change, int], Entry] = {}
    for entry in _entries(events):
        if entry.what is Change.RESTORED:
            found.pop((entry.peer, Change.BANNED, -1), None)
        # A ban is for ever, whenever it is heard of; the step of the evidence is the one in which it was proved.
        key = (entry.peer, entry.what, -1 if entry.what is Change.BANNED else entry.step)
        known = found.get(key, entry)
        first = entry if entry.evidence and not known.evidence else known
        other = known if first is entry else entry
        found[key] = dataclasses.replace(first, reason=first.reason or other.reason)
    return sorted(found.values(), key=lambda entry: entry.step)


def _entries(events: Iterable[dict[str, Any]]) -> Iterator[Entry]:
    """Yield the changes that each event tells; an event that is not understood tells none."""
    me = ""
    members: set[str] = set()
    for event in events:
        match event:
            case {"event": "genesis", "step": int(step), "members": [*first]}:
                yield from (Entry(step, peer, Change.JOINED, "first roster") for peer in _peers(first))
            case {"event": "joined", "peer": str(me), "step": int(step), "members": [*present]}:
                now = set(_peers(present))
                known = members | {me} if members else members
                yield from _found(step, known, now, set(_peers(_list(event.get("banned")))))
                if members:
                    yield Entry(step, me, Change.JOINED, "admitted by the members")
                members = now
            case {"event": "joined", "peer": str(peer), "step": int(step)}:
                yield Entry(step, peer, Change.JOINED)
            case {"event": "admitted", "peer": str(peer), "step": int(step)}:
                members.add(peer)
                until = event.get("probation")
                trial = f", on probation until step {until}" if isinstance(until, int) else ""
                yield Entry(step, peer, Change.JOINED, f"admitted by the members{trial}")
            case {"event": "void", "step": int(step)}:
                gone = list(_void(step, event))
                members -= {entry.peer for entry in gone}
                yield from gone
            case {"event": "banned" | "verified", "peer": str(peer), "step": int(step)}:
                members.discard(peer)
                reason = event.get("words") or event.get("reason")
                yield Entry(step, peer, Change.BANNED, _text(reason), _text(event.get("evidence")) or None)
            case {"event": "withdrawn", "peer": str(peer), "step": int(step)}:
                members.add(peer)
                yield Entry(step, peer, Change.RESTORED, "its ban is taken back: others had heard more")
            case {"event": "unproven", "peer": str(peer), "step": int(step)}:
                yield Entry(step, peer, Change.BANNED, "no member proves it")
            case {"event": "left", "peer": str(peer), "step": int(step)}:
                yield Entry(step, peer, Change.LEFT, _text(event.get("reason")))
            case {"event": "left", "step": int(step)} if me:
                yield Entry(step, me, Change.LEFT, _text(event.get("reason")))
            case {"event": "stopped", "step": int(step), "kind": str(kind)} if me:
                what = Change.BANNED if kind == "banned" else Change.SUSPENDED
                yield Entry(step, me, what, _text(event.get("reason")) or kind)


def _found(step: int, before: set[str], now: set[str], banned: set[str]) -> Iterator[Entry]:
    """Yield what a peer finds when it joins: how its log begins, or what it has missed while it was out."""
    when = "while the peer of this log was out" if before else "in the roster that this log begins with"
    yield from (Entry(step, peer, Change.BANNED, when) for peer in sorted(banned))
    yield from (Entry(step, peer, Change.LEFT, when) for peer in sorted(before - now - banned))
    yield from (Entry(step, peer, Change.JOINED, when) for peer in sorted(now - before))


def _void(step: int, event: dict[str, Any]) -> Iterator[Entry]:
    for field, what in (("suspended", Change.SUSPENDED), ("banned", Change.BANNED)):
        for pair in _list(event.get(field)):
            match pair:
                case [str(peer), str(reason)]:
                    yield Entry(step, peer, what, reason)
    for peer in _peers(_list(event.get("left"))):
        yield Entry(step, peer, Change.LEFT, "by its own word")


def _peers(values: Iterable[Any]) -> list[str]:
    return [value for value in values if isinstance(value, str)]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
