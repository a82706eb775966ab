"""`btard verdict FILE...`: check bans without the network, and say in words what happened."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from btard.swarm.events.coordinator import CoordinatorEvent, CoordinatorStarted
from btard.swarm.events.peer import JoinedRun, PeerEvent, StepFinished
from btard.swarm.events.reading import EVENTS_FILE, read_log

_UNPROVEN = 1


def main(argv: Sequence[str]) -> int:
    """Check evidence files and return the exit code: 0 when all prove what they say, 1 when one does not.

    Raises:
        UserError: a file cannot be read, or is no evidence.
    """
    parser = argparse.ArgumentParser(prog="btard verdict", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="evidence of a ban, or a folder of it")
    parser.add_argument("--run", type=Path, help="directory of a peer, whose log knows the rosters")
    parser.add_argument("--json", action="store_true", help="print one JSON object a file")
    arguments = parser.parse_args(argv)

    from btard.errors import UserError

    run = None if arguments.run is None else KnownRun.read(arguments.run)
    files = [file for path in arguments.files for file in (sorted(path.glob("*.json")) if path.is_dir() else [path])]
    if not files:
        raise UserError(f"{arguments.files[0]} holds no evidence; give a file, or a folder named bans")
    for file in files:
        if not file.exists():
            raise UserError(f"cannot read {file}: No such file or directory")
    # These import torch, for which a mistyped name does not wait.
    from btard.round.evidence.file import load, rules_fingerprint
    from btard.round.proof import Unproven, verify

    unproven = 0
    for file in files:
        about_stage = judged_stage(file)
        if about_stage is not None:
            unproven += not about_stage["proven"]
            print(json.dumps(about_stage) if arguments.json else _sentence(about_stage))
            continue
        evidence = load(file)
        roster = evidence.scene.roster
        problem, basis = "", ""
        try:
            basis = verify(evidence)
            problem = "" if run is None else run.doubts(rules_fingerprint(evidence.rules), roster.digest.hex())
        except Unproven as error:
            problem = str(error)
        unproven += bool(problem)
        facts = {
            "file": str(file),
            "proven": not problem,
            "peer": str(evidence.accused),
            "step": roster.step,
            "offence": evidence.offence.name,
            "words": f"in step {roster.step} it {evidence.offence}",
            "basis": problem or basis,
            "roster": roster.digest.hex(),
        }
        print(json.dumps(facts) if arguments.json else _sentence(facts))
    return _UNPROVEN if unproven else 0


def judged_stage(file: Path) -> dict[str, object] | None:
    """Return what a file about a stage of a pipeline proves, None if it is about something else; raises UserError."""
    from btard.errors import UserError
    from btard.identity import Malformed

    try:
        with file.open("rb") as opened:
            head = opened.read(4096)
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from None
    if b"btard stage evidence" not in head:
        return None
    import torch

    from btard.pipeline.justice.evidence import MAX_EVIDENCE, StageEvidence

    if file.stat().st_size > MAX_EVIDENCE:
        raise UserError(f"{file} is no evidence of a ban: it has more than {MAX_EVIDENCE} bytes")
    data = file.read_bytes()

    try:
        evidence = StageEvidence.from_json(data)
    except Malformed as error:
        raise UserError(f"{file} is no evidence of a ban: {error}") from None
    torch.set_num_threads(1)  # several round differently from one call to the next
    problem = ""
    try:
        evidence.check()
    except Malformed as error:
        problem = str(error)
    judge = evidence.roster[evidence.verdict.judge] if evidence.verdict.judge < len(evidence.roster) else "nobody"
    return {
        "file": str(file),
        "proven": not problem,
        "peer": str(evidence.peer),
        "step": evidence.step,
        "offence": evidence.offence.name,
        "words": f"in step {evidence.step} it, as stage {evidence.stage}, {evidence.offence}",
        "basis": problem or f"by computing its step again, as {judge} has",
    }


def _sentence(facts: dict[str, object]) -> str:
    if facts["proven"]:
        return f"PROVEN {facts['peer']}: {facts['words']}; {facts['basis']}"
    return f"NOT PROVEN {facts['peer']}: the file says that {facts['words']}, but {facts['basis']}"


@dataclass(frozen=True)
class KnownRun:
    """What a log of events knows of its run: evidence states the rules and the roster that it is judged by itself.

    Attributes:
        directory: of the log.
        rules: fingerprints of the run's rules.
        rosters: digests of rosters; a coordinator notes none, since it sees only some.
    """

    directory: Path
    rules: frozenset[str]
    rosters: frozenset[str]

    @classmethod
    def read(cls, directory: Path) -> KnownRun:
        """Read the log of a directory; raises UserError."""
        from btard.errors import UserError

        run = cls(directory, *_known(read_log(directory)))
        if not run.rules:
            raise UserError(f"{directory / EVENTS_FILE} does not tell the rules of a run; --run wants a run's log")
        return run

    def doubts(self, rules: str, roster: str) -> str:
        """Return why evidence is not about this run, empty if it is."""
        if rules not in self.rules:
            return f"the run in {self.directory} has other rules than the evidence is judged by"
        if self.rosters and roster not in self.rosters:
            return f"the log in {self.directory} does not know the roster that the evidence names"
        return ""


def _known(events: Iterable[PeerEvent | CoordinatorEvent]) -> tuple[frozenset[str], frozenset[str]]:
    """Return the fingerprints of rules and the digests of rosters that a log tells."""
    rules, rosters = set[str](), set[str]()
    for event in events:
        match event:
            case CoordinatorStarted():
                rules.add(event.rules)
            case JoinedRun():
                rules.add(event.rules)
                rosters.add(event.roster)
            case StepFinished():
                rosters.add(event.roster)
    return frozenset(rules), frozenset(rosters)
