"""The members that a peer knew last, in a file: started again it finds them though the coordinator is dead."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from btard.durable import write_durably
from btard.errors import UserError
from btard.identity import Envelope, PeerId
from btard.transport.libp2p.discover import resolve_initial_peers, split_maddr

logger = logging.getLogger(__name__)

ACQUAINTANCES_FILE = "acquaintances.json"
"""In the directory of a peer."""

MAX_ACQUAINTANCES = 16
"""Members that are remembered."""

_ADDRESS = re.compile(r"^/(?P<kind>ip4|ip6|dns|dns4|dns6)/(?P<host>[^/]+)/tcp/(?P<port>\d+)$")
_ANSWER_SECONDS = 5.0


class Acquaintances(BaseModel):
    """Members of a run, and where they were.

    Attributes:
        run: its name, 16 bytes in hex.
        coordinator: whose run it is.
        named: the initial peers as the user typed them: for others these are of no use.
        maddrs: full multiaddresses, one a member.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str
    coordinator: str
    named: tuple[str, ...]
    maddrs: Annotated[tuple[str, ...], Field(max_length=MAX_ACQUAINTANCES)]

    @classmethod
    def read(cls, directory: Path, named: Sequence[str]) -> Acquaintances | None:
        """Return those of a peer's directory, None where it has none, or the user names other initial peers now."""
        path = directory / ACQUAINTANCES_FILE
        try:
            read = cls.model_validate_json(path.read_bytes())
            read._by_host()
        except FileNotFoundError:
            return None
        except (OSError, ValidationError, UserError) as error:
            logger.warning("leaving %s out: %s", path, " ".join(str(error).split()))
            return None
        return read if read.named == tuple(named) and read.maddrs else None

    async def alive(self) -> list[str]:
        """Return the multiaddresses of those that still answer there; ends in a few seconds."""
        known = self._by_host()
        try:
            answering = await resolve_initial_peers(list(known), _ANSWER_SECONDS)
        except UserError:
            return []
        # Another program may have the port by now.
        return [maddr for maddr in answering if split_maddr(maddr)[0] in known.values()]

    def _by_host(self) -> dict[str, PeerId]:
        """Return where they were, as a user types it; raises UserError where an address is none."""
        found = {}
        for maddr in self.maddrs:
            peer, address = split_maddr(maddr)
            if (match := _ADDRESS.match(address)) is not None:
                host = f"[{match['host']}]" if match["kind"] == "ip6" else match["host"]
                found[f"{host}:{match['port']}"] = peer
        return found

    def belong_to(self, manifest: Envelope) -> bool:
        """Whether they are members of the run that a manifest announces."""
        return (self.run, self.coordinator) == (manifest.run.hex(), str(manifest.author))


class AcquaintanceBook:
    """Writes down where the members are, whenever that has changed."""

    def __init__(self, directory: Path, manifest: Envelope, named: Sequence[str]) -> None:
        """`manifest`: of the run, as its coordinator has signed it; `named`: see `Acquaintances`."""
        self._path = directory / ACQUAINTANCES_FILE
        self._run, self._coordinator = manifest.run.hex(), str(manifest.author)
        self._named = tuple(named)
        self._written: Acquaintances | None = None
        self._complains = True

    def note(self, members: Iterable[PeerId], known: Mapping[PeerId, tuple[str, ...]]) -> None:
        """Members are here, as far as this peer knows; those of which it does not are left out."""
        found = [full(peer, known[peer][0]) for peer in sorted(members) if known.get(peer)]
        maddrs = tuple(found[:MAX_ACQUAINTANCES])
        now = Acquaintances(run=self._run, coordinator=self._coordinator, named=self._named, maddrs=maddrs)
        if not found or now == self._written:
            return
        self._written = now
        try:
            write_durably(self._path, now.model_dump_json().encode())
        except OSError as error:
            if self._complains:
                logger.error("cannot remember the members for a restart: %s", error.strerror)
            self._complains = False


def full(peer: PeerId, maddr: str) -> str:
    """Return a multiaddress with the peer that is to be there."""
    return f"{maddr.removesuffix(f'/p2p/{peer}')}/p2p/{peer}"
