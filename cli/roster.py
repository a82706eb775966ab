"""`btard roster DIRECTORY`: why the roster of a run is as it is, from the log of a peer or a coordinator."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from btard.swarm.events.coordinator import (
    BanUnproven,
    BanVerified,
    CoordinatorEvent,
    FirstRoster,
    MemberBanned,
    MemberJoined,
    MemberLeft,
)
from btard.swarm.events.peer import (
    AttemptVoided,
    JoinedRun,
    LeftRun,
    PeerAdmitted,
    PeerBanned,
    PeerEvent,
    PlaceLost,
)
from btard.swarm.events.reading import EVENTS_FILE, read_log


class Change(StrEnum):
    """What can happen to a peer's membership."""

    JOINED = "joined"
    SUSPENDED = "suspended"
    LEFT = "left"
    BANNED = "banned"


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

    entries = history(read_log(arguments.directory))
    if not entries:
        raise UserError(f"{arguments.directory / EVENTS_FILE} tells nothing about a roster; has the run begun?")
    for entry in entries:
        print(json.dumps(dataclasses.asdict(entry)) if arguments.json else entry.sentence)
    return 0


def history(events: Iterable[PeerEvent | CoordinatorEvent]) -> list[Entry]:
    """Return the changes of the roster in the order of steps; what is told twice counts once.

    Of two reports of one change, such as a ban and the evidence that was found for it, each gives what the other lacks.
    """
    found: dict[tuple[str, Change, int], Entry] = {}
    for entry in _entries(events):
        # A ban is for ever, whenever it is heard of; the step of the evidence is the one in which it was proved.
        key = (entry.peer, entry.what, -1 if entry.what is Change.BANNED else entry.step)
        known = found.get(key, entry)
        first = entry if entry.evidence and not known.evidence else known
        other = known if first is entry else entry
        found[key] = dataclasses.replace(first, reason=first.reason or other.reason)
    return sorted(found.values(), key=lambda entry: entry.step)


def _entries(events: Iterable[PeerEvent | CoordinatorEvent]) -> Iterator[Entry]:
    """Yield the changes that each event tells."""
    me = ""
    members: set[str] = set()
    for event in events:
        match event:
            case FirstRoster():
                yield from (Entry(event.step, peer, Change.JOINED, "first roster") for peer in event.members)
            case JoinedRun():
                me, now = event.peer, set(event.members)
                known = members | {me} if members else members
                yield from _found(event.step, known, now, set(event.banned))
                if members:
                    yield Entry(event.step, me, Change.JOINED, "admitted by the members")
                members = now
            case MemberJoined():
                yield Entry(event.step, event.peer, Change.JOINED)
            case PeerAdmitted():
                members.add(event.peer)
                trial = "" if event.probation is None else f", on probation until step {event.probation}"
                yield Entry(event.step, event.peer, Change.JOINED, f"admitted by the members{trial}")
            case AttemptVoided():
                gone = list(_void(event))
                members -= {entry.peer for entry in gone}
                yield from gone
            case PeerBanned():
                members.discard(event.peer)
                yield Entry(event.step, event.peer, Change.BANNED, event.reason, event.evidence)
            case MemberBanned():
                yield Entry(event.step, event.peer, Change.BANNED)
            case BanVerified():
                yield Entry(event.step, event.peer, Change.BANNED, event.words, event.evidence)
            case BanUnproven():
                yield Entry(event.step, event.peer, Change.BANNED, "no member proves it")
            case MemberLeft():
                yield Entry(event.step, event.peer, Change.LEFT)
            case LeftRun() if me:
                yield Entry(event.step, me, Change.LEFT, event.reason)
            case PlaceLost() if me:
                what = Change.BANNED if event.kind == "banned" else Change.SUSPENDED
                yield Entry(event.step, me, what, event.reason or event.kind)


def _found(step: int, before: set[str], now: set[str], banned: set[str]) -> Iterator[Entry]:
    """Yield what a peer finds when it joins: how its log begins, or what it has missed while it was out."""
    when = "while the peer of this log was out" if before else "in the roster that this log begins with"
    yield from (Entry(step, peer, Change.BANNED, when) for peer in sorted(banned))
    yield from (Entry(step, peer, Change.LEFT, when) for peer in sorted(before - now - banned))
    yield from (Entry(step, peer, Change.JOINED, when) for peer in sorted(now - before))


def _void(event: AttemptVoided) -> Iterator[Entry]:
    yield from (Entry(event.step, peer, Change.SUSPENDED, reason) for peer, reason in event.suspended)
    yield from (Entry(event.step, peer, Change.BANNED, reason) for peer, reason in event.banned)
    yield from (Entry(event.step, peer, Change.LEFT, "by its own word") for peer in event.left)
