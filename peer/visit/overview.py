"""From the records of a run to a row a peer: where it stands, what it tells, and why a lost one is gone."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from btard.errors import UserError
from btard.identity import PeerId
from btard.peer.visit.sight import Sight
from btard.printable import printable
from btard.round.draw import nobody_is_validated
from btard.round.evidence.evidence import Offence
from btard.swarm.bans import BanEntry
from btard.swarm.events.coordinator import awaited, pausing

MAX_ROWS = 1024
"""Peers that are shown; anyone can announce itself."""

_UNTOLD = "no member tells why"


class Role(StrEnum):
    """What a peer is in the newest roster."""

    MEMBER = "member"
    VALIDATOR = "validator"
    CLIENT = "client"
    PROBATION = "probation"
    WAITING = "waiting"
    """It has knocked at the door of a peer that was asked, and is no member."""
    NOT_LISTED = "not listed"
    """It waits, and cannot come in: the run is closed, and its key is not on the list."""


@dataclass(frozen=True)
class PeerRow:
    """A peer. What it tells of itself is its own word.

    Attributes:
        role: by the coordinator's roster.
        until: first step in which a newcomer counts.
        step: the last one that it tells of, as are `loss` and `samples_per_second`.
        last_seen: seconds since it last announced itself, by its clock and ours; None if it does not.
        version, numerics: of its software and arithmetic, if it tells them.
    """

    peer: str
    role: Role
    until: int | None
    step: int | None
    loss: float | None
    samples_per_second: float | None
    last_seen: float | None
    version: str | None
    numerics: str | None


@dataclass(frozen=True)
class BanRow:
    """A banned key, and what most of the members that tell a reason give as it."""

    peer: str
    step: int | None
    offence: str | None
    words: str


@dataclass(frozen=True)
class Overview:
    """A run at one moment.

    Attributes:
        step: of the newest roster, None before the first.
        loss: median of the losses that members tell of their latest step.
        samples_per_second: sum over the members.
        unvalidated: why no validators can be drawn of the newest roster; None where they can, or the run is over.
        awaited: how many the first roster waits for, in words; None after it.
        paused: which voters the run waits for, in words; None while it goes on, and where no member says that it waits.
        listed: how many keys the run admits, None for all.
    """

    experiment: str
    run_id: str
    coordinator: str
    task: str
    step: int | None
    total_steps: int
    finished: bool
    members: int
    loss: float | None
    samples_per_second: float
    peers: tuple[PeerRow, ...]
    bans: tuple[BanRow, ...]
    unvalidated: str | None
    awaited: str | None
    paused: str | None
    listed: int | None

    def as_json(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return asdict(self)


def overview(sight: Sight) -> Overview:
    """Return the rows of a run: members first, then waiting peers; bans in the order of steps."""
    roster = sight.roster
    members = roster.members if roster is not None else ()
    banned = roster.banned if roster is not None else frozenset()
    waiting = sorted(sight.waiting.difference(members, banned))
    rows = tuple(_row(sight, peer) for peer in [*members, *waiting][:MAX_ROWS])
    telling = [row for row in rows if row.role not in (Role.WAITING, Role.NOT_LISTED)]
    losses = [row.loss for row in telling if row.loss is not None]
    manifest = sight.manifest
    return Overview(
        experiment=printable(manifest.experiment),
        run_id=manifest.run_id,
        coordinator=str(sight.coordinator),
        task=printable(f"{manifest.chosen_task} {manifest.size}"),
        step=roster.step if roster is not None else None,
        total_steps=manifest.total_steps,
        finished=sight.finished,
        members=len(members),
        loss=statistics.median(losses) if losses else None,
        samples_per_second=sum(row.samples_per_second or 0.0 for row in telling),
        peers=rows,
        bans=tuple(sorted((_ban(sight, peer) for peer in banned), key=lambda row: (row.step or 0, row.peer))),
        unvalidated=None
        if roster is None or sight.finished
        else nobody_is_validated(len(roster.voters), manifest.validators),
        awaited=None if roster is not None else awaited(len(waiting), manifest.peers),
        paused=_paused(sight),
        listed=len(manifest.members) or None,
    )


def _paused(sight: Sight) -> str | None:
    roster, heads = sight.roster, sight.heads
    waiting = {peer for peer, head in heads.items() if head.waits}
    if roster is None or sight.finished or not waiting or roster.is_majority(roster.voters & (heads.keys() - waiting)):
        return None
    return pausing(roster.step, len(roster.voters), [str(peer) for peer in roster.voters - heads.keys()])


def _row(sight: Sight, peer: PeerId) -> PeerRow:
    told, join = sight.metrics.get(peer), sight.joins.get(peer)
    latest = max(told.steps, key=lambda report: report.step) if told is not None else None
    details = told.details if told is not None else None
    return PeerRow(
        peer=str(peer),
        role=_role(sight, peer),
        until=dict(sight.roster.probation).get(peer) if sight.roster is not None else None,
        step=latest.step if latest is not None else None,
        loss=latest.loss if latest is not None else None,
        samples_per_second=latest.samples_per_second if latest is not None else None,
        last_seen=max(0.0, sight.time - join.time) if join is not None else None,
        version=printable(details.version) if details is not None else None,
        numerics=printable(details.numerics) if details is not None else None,
    )


def _role(sight: Sight, peer: PeerId) -> Role:
    roster = sight.roster
    if roster is None or peer not in roster.members:
        return Role.WAITING if sight.manifest.admits(peer) else Role.NOT_LISTED
    if peer in roster.newcomers:
        return Role.PROBATION
    if peer in roster.clients:
        return Role.CLIENT
    return Role.VALIDATOR if peer in roster.validators else Role.MEMBER


def _ban(sight: Sight, peer: PeerId) -> BanRow:
    members = sight.roster.members if sight.roster is not None else ()
    told: Counter[tuple[int, str]] = Counter()
    for author, record in sight.bans.items():
        if author in members:
            told.update({(entry.step, entry.offence) for entry in record.bans if _names(entry, peer)})
    if not told:
        return BanRow(str(peer), None, None, _UNTOLD)
    (step, offence), _ = max(told.items(), key=lambda item: (item[1], item[0]))
    known = Offence.__members__.get(offence)
    words = f"in step {step} it {known}" if known is not None else f"in step {step}, for what this version has no word"
    return BanRow(str(peer), step, known.name if known is not None else None, words)


def _names(entry: BanEntry, peer: PeerId) -> bool:
    try:
        return PeerId.parse(entry.peer) == peer
    except UserError:
        return False
