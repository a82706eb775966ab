"""`btard status`: the peers or the stages of a run, where it stands and what it has banned."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from btard.configuration.shared.network import HopSettings, InitialPeers
from btard.configuration.shared.output import JsonSettings

if TYPE_CHECKING:
    from rich.table import Table

    from btard.peer.visit.overview import Overview, PeerRow
    from btard.peer.visit.stages import StageOverview
    from btard.swarm.records.stages import StageRow


class StatusSettings(HopSettings, JsonSettings):
    """Settings of `btard status`, which visits a swarm for a moment and changes nothing there."""

    initial_peers: Annotated[InitialPeers, Field(min_length=1)]


def main(argv: Sequence[str]) -> int:
    """Print the swarm and return the exit code.

    Raises:
        UserError: nothing answers, no run is announced, or the coordinator of a run in stages does not answer; the
            sentence names the hop that failed.
    """
    from btard.configuration import load_settings

    settings = load_settings(StatusSettings, argv, program="btard status")

    import uvloop

    from btard.errors import UserError
    from btard.peer.meeting.joining import find_manifest
    from btard.peer.visit.overview import overview
    from btard.peer.visit.sight import look_at
    from btard.peer.visit.stages import StageOverview, look_at_stages, stage_overview
    from btard.peer.visit.visitor import visiting

    async def visit() -> Overview | StageOverview:
        async with visiting(settings.initial_peers, settings.timeout) as (node, known):
            signed, manifest = await find_manifest(node.transport, known, settings.timeout)
            if manifest.pipeline is None:
                return overview(await look_at(node, known, signed.author, manifest))
            return stage_overview(await look_at_stages(node.transport, signed.author, manifest, settings.timeout))

    try:
        found = uvloop.run(visit())
    except TimeoutError:
        raise UserError(f"the swarm did not answer within {settings.timeout:g} s; try a longer --timeout") from None
    if settings.json:
        import json

        print(json.dumps(found.as_json(), indent=1))
        return 0

    from rich.console import Console

    console = Console(markup=False, highlight=False, soft_wrap=True)
    if isinstance(found, StageOverview):
        console.print(stage_headline(found))
        console.print(stage_table(found))
        if found.waiting:
            console.print(f"waiting for a seat: {', '.join(peer[-6:] for peer in found.waiting)}")
        for told in found.bans:
            console.print(f"banned {told.peer}: {told.words}")
        return 0
    console.print(headline(found))
    for words in (found.paused, found.unvalidated):
        if words is not None:
            console.print(words)
    if found.peers:
        console.print(table(found))
        for letter, words in zip(ascii_uppercase, classes(found), strict=False):
            console.print(f"numerics {letter}: {words}")
    for ban in found.bans:
        console.print(f"banned {ban.peer}: {ban.words}")
    return 0


def headline(found: Overview) -> str:
    """Return the run in two lines."""
    if found.finished:
        where = f"finished after step {found.step}"
    elif found.awaited is not None:
        where = found.awaited
    else:
        clients = sum(row.role == "client" for row in found.peers)
        where = f"step {found.step} of {found.total_steps}, {found.members} members"
        where += f", {clients} of them clients" if clients else ""
    loss = f", median loss {found.loss:.4f}" if found.loss is not None else ""
    return (
        f"{found.experiment} ({found.task}): {where}{loss}, {found.samples_per_second:.1f} samples/s\n"
        f"coordinator {found.coordinator}"
        + (f"; only {found.listed} listed keys are admitted" if found.listed is not None else "")
    )


def classes(found: Overview) -> list[str]:
    """Return the kinds of arithmetic that the peers tell of, in the order of their first peer."""
    return list(dict.fromkeys(row.numerics for row in found.peers if row.numerics is not None))


def table(found: Overview) -> Table:
    """Return a row a peer; losses, rates, versions and numerics are what each peer says of itself."""
    from rich.table import Table
    from rich.text import Text

    letters = dict(zip(classes(found), ascii_uppercase, strict=False))
    shown = Table()
    for name in ("peer", "role", "step", "loss", "samples/s", "last seen", "version", "numerics"):
        right = name in ("step", "loss", "samples/s", "last seen")
        shown.add_column(name, justify="right" if right else "left", overflow="fold")
    for row in found.peers:
        shown.add_row(*(Text(cell) for cell in _cells(row, letters)))
    return shown


def _cells(row: PeerRow, letters: dict[str, str]) -> list[str]:
    return [
        row.peer[-6:],
        f"{row.role} until {row.until}" if row.until is not None else row.role.value,
        "-" if row.step is None else str(row.step),
        "-" if row.loss is None else f"{row.loss:.4f}",
        "-" if row.samples_per_second is None else f"{row.samples_per_second:.1f}",
        "-" if row.last_seen is None else f"{row.last_seen:.0f} s ago",
        row.version or "-",
        "-" if row.numerics is None else letters.get(row.numerics, "other"),
    ]


def stage_headline(found: StageOverview) -> str:
    """Return a run in stages in a few lines: where it stands, its coordinator, and what it waits for."""
    from btard.swarm.records.stages import seat_words

    if found.finished:
        where = f"finished after step {found.step}"
    elif found.awaited is not None:
        where = found.awaited
    else:
        where = f"{'before the first step' if found.step is None else f'step {found.step}'} of {found.total_steps}"
        where += f", seating {found.seating}"
    loss = f", loss {found.loss:.4f}" if found.loss is not None else ""
    stages, replicas = found.stages[-1].stage + 1, found.stages[-1].replica + 1
    blocks = "-".join(str(row.blocks) for row in found.stages[:stages])
    several = f"{replicas} pipelines with " if replicas > 1 else ""
    lines = [
        f"{found.experiment} ({found.task}), {several}stages of {blocks} blocks: {where}{loss}, "
        f"{found.samples_per_second:.1f} samples/s",
        f"coordinator {found.coordinator}",
    ]
    if found.lost and not found.finished:
        lines.append(f"training waits for peers of {seat_words(found.lost, stages, replicas)}")
    return "\n".join(lines)


def stage_table(found: StageOverview) -> Table:
    """Return a row a stage, first stage first, pipeline by pipeline; numbers are what its peer reports of its last
    step."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    # In 80 columns, which a terminal has if nobody widens it.
    shown = Table(box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    several = found.stages[-1].replica > 0
    names = ("stage", "peer", "step", "time", "sent", "received", "checks", "alarms", "passed by")
    for name in ("pipeline", *names) if several else names:
        shown.add_column(name, justify="left" if name == "peer" else "right", overflow="fold")
    for row in found.stages:
        cells = [*([str(row.replica)] if several else []), *_stage_cells(row)]
        shown.add_row(*(Text(cell) for cell in cells))
    return shown


def _stage_cells(row: StageRow) -> list[str]:
    return [
        str(row.stage),
        row.peer[-6:] or "-",
        "-" if row.step is None else str(row.step),
        "-" if row.seconds is None else f"{row.seconds:.2f} s",
        *("-" if count is None else f"{count / 1000:.1f} kB" for count in (row.sent_bytes, row.received_bytes)),
        *map(str, (row.checks, row.alarms, row.passed_by)),
    ]
