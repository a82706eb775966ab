"""The files of a run, and how they survive a crash in the middle of writing: each is replaced as a whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from btard.durable import write_durably
from btard.errors import UserError
from btard.identity import Malformed
from btard.round.roster import Roster
from btard.swarm.events.reading import EVENTS_FILE
from btard.swarm.local_facts import make_writable
from btard.swarm.manifest import RunManifest
from btard.swarm.records.record import RosterRecord
from btard.swarm.transfer.arrival import ARRIVING_FILE
from btard.vocabulary import CHECKPOINT_FILE


class RunDirectory:
    """One run's directory, made when missing.

    Raises:
        UserError: it cannot be made or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.identity = path / "identity.key"
        self.events = path / EVENTS_FILE
        self.metrics = path / "metrics.jsonl"
        self.steps = path / "steps.jsonl"
        self.peers_file = path / "peers.json"
        self.manifest_file = path / "manifest.json"
        self.roster_file = path / "roster.json"
        self.seating_file = path / "seating"
        self.addresses_file = path / "addresses.json"
        self.summary_file = path / "summary.json"
        self.bans = path / "bans"
        self.first_states = path / "first-states"
        self.checkpoints = path / "checkpoints"
        self.arriving = path / ARRIVING_FILE
        make_writable(path)

    def write_text(self, path: Path, text: str) -> None:
        """Replace a file of the directory, durably; raises OSError."""
        write_durably(path, text.encode())

    def load_manifest(self) -> RunManifest | None:
        """Return the manifest of the run that was begun here, None for a new directory; raises UserError if damaged."""
        try:
            return RunManifest.model_validate_json(self.manifest_file.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError):
            raise UserError(
                f"{self.manifest_file} is damaged, or of another version: give another --directory"
            ) from None

    def load_roster(self) -> Roster | None:
        """Return the newest roster that was trusted here, None before the first; raises UserError if damaged."""
        try:
            return RosterRecord.model_validate_json(self.roster_file.read_bytes()).unpack()
        except FileNotFoundError:
            return None
        except (OSError, ValidationError, Malformed):
            raise UserError(f"{self.roster_file} is damaged; delete it if the run's peers are gone") from None

    def save_roster(self, roster: Roster) -> None:
        """Remember the trusted roster for a restart; raises OSError."""
        self.write_text(self.roster_file, RosterRecord.of(roster).model_dump_json())

    def save_addresses(self, maddrs: list[str]) -> None:
        """Remember where the members are for a restart; raises OSError."""
        self.write_text(self.addresses_file, json.dumps(maddrs) + "\n")

    def save_peers(self, peers: dict[str, Any]) -> None:
        """Write what is known of each peer's machine and latest step; raises OSError."""
        self.write_text(self.peers_file, json.dumps(peers, separators=(",", ":")) + "\n")

    def save_summary(self, summary: dict[str, Any]) -> None:
        """Write what the run came to, which also marks it as finished; raises OSError."""
        self.write_text(self.summary_file, json.dumps(summary, indent=2) + "\n")

    @property
    def finished(self) -> bool:
        """Whether the run has ended."""
        return self.summary_file.exists()

    def checkpoint(self, step: int) -> Path:
        """Return the folder of a checkpoint."""
        return self.checkpoints / f"step-{step:06d}"

    def has_checkpoint(self, step: int) -> bool:
        """Whether the checkpoint of a step is complete."""
        return (self.checkpoint(step) / CHECKPOINT_FILE).exists()
