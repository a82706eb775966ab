"""The run in the terminal: a table that renews itself, or a plain line now and then where there is no terminal."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from btard.deploy.local.status import PeerState, PeerStatus, RunStatus

PLAIN_PERIOD_SECONDS = 5.0
"""Seconds between two plain lines."""

_REFRESH_SECONDS = 0.5
"""Seconds between two pictures: drawing must not take the peers' processors."""

_COLOURS = {
    PeerState.STARTING: "dim",
    PeerState.TRAINING: "green",
    PeerState.ATTACKING: "bold red",
    PeerState.SUSPENDED: "yellow",
    PeerState.BANNED: "magenta",
    PeerState.LEFT: "dim",
    PeerState.FINISHED: "cyan",
    PeerState.FAILED: "bold red",
}


class LiveView:
    """Shows a run until it is left; use it as a context manager.

    Args:
        status: what to show; somebody else refreshes it.
        title: of the run.
        console: where to show it.
    """

    def __init__(self, status: RunStatus, title: str, console: Console) -> None:
        self._status = status
        self._title = title
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._due = 0.0
        self._said_bans: set[str] = set()

    def __enter__(self) -> LiveView:
        if self._live is not None:
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)
            self._console.print(table(self._status, self._title))
        elif self._status.step is not None:
            self._print_plain()

    def update(self) -> None:
        """Show the newest state, unless it was shown a moment ago."""
        now = time.monotonic()
        if now < self._due:
            return
        if self._live is not None:
            self._due = now + _REFRESH_SECONDS
            self._live.update(table(self._status, self._title), refresh=True)
        else:
            self._due = now + PLAIN_PERIOD_SECONDS
            self._print_plain()

    def _print_plain(self) -> None:
        for name, ban in self._status.bans.items():
            if name not in self._said_bans:
                self._said_bans.add(name)
                self._console.print(f"{name} is banned at step {ban.step}: {ban.reason}", highlight=False)
        self._console.print(header(self._status), highlight=False, soft_wrap=True)


def header(status: RunStatus) -> str:
    """Return the run in one line."""
    done = 0 if status.step is None else status.step + 1
    parts = [f"step {done}/{status.total_steps}", f"loss {number(status.loss)}"]
    if status.step_seconds is not None:
        parts.append(f"{status.step_seconds:.2f} s a step")
    parts.append(f"{status.alive} of {len(status.peers)} peers alive")
    if status.seconds_left is not None:
        parts.append(f"{duration(status.seconds_left)} left")
    return " · ".join(parts)


def table(status: RunStatus, title: str) -> Group:
    """Return the header line and a row a peer."""
    rows = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("peer", "id", "role", "state", "step", "loss"):
        rows.add_column(heading, justify="right" if heading in ("step", "loss") else "left", no_wrap=True)
    for peer in status.peers.values():
        member = peer.member
        rows.add_row(
            member.name,
            member.peer_id.short,
            Text("honest") if member.honest else Text(member.attack, style="red"),
            Text(state_words(peer), style=_COLOURS[peer.state]),
            "" if peer.step is None else str(peer.step),
            number(peer.loss),
        )
    return Group(Text(title, style="bold"), Text(header(status)), rows)


def state_words(peer: PeerStatus) -> str:
    """Return a peer's state in words, such as `banned at step 31 (lottery)`."""
    words = peer.state.value
    if peer.state in (PeerState.BANNED, PeerState.LEFT, PeerState.FAILED):
        words += "" if peer.since is None else f" at step {peer.since}"
        words += f" ({peer.reason})" if peer.reason else ""
    return words


def number(loss: float | None) -> str:
    """Return a loss as text; a run that explodes has huge ones."""
    if loss is None:
        return "-"
    return f"{loss:.4f}" if abs(loss) < 1e4 else f"{loss:.3g}"


def duration(seconds: float) -> str:
    """Return a time as `3 min 05 s`."""
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60:02} s" if whole >= 60 else f"{whole} s"
