"""`btard verdict`: proven or not by the file alone, and with `--run` by rules and rosters that somebody has noted."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from btard.cli import main as program
from btard.round.evidence.evidence import Evidence, Offence
from btard.round.evidence.file import FORMAT, rules_fingerprint, save, to_json
from tests.btard.round.bans import evidence_of
from tests.swarm.events.lines import coordinator_line, peer_line

EVIDENCE = evidence_of(Offence.WRONG_SUM)
UNPROVEN = dataclasses.replace(EVIDENCE, envelopes=())
ROSTER = EVIDENCE.scene.roster.digest.hex()
RULES = rules_fingerprint(EVIDENCE.rules)


def verdict(*words: str | Path) -> int:
    return program.main(["verdict", *map(str, words)])


def log(directory: Path, **fields: Any) -> Path:
    """Write the log of a peer that knows this of the run."""
    directory.mkdir()
    known = peer_line("joined", **fields) if "roster" in fields else coordinator_line("started", **fields)
    lines = [{"event": "strange"}, known]
    (directory / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return directory


def test_what_is_proven(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict(save(EVIDENCE, tmp_path)) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"PROVEN {EVIDENCE.accused}: in step 0 it {Offence.WRONG_SUM}; by arithmetic: ")


def test_what_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict(save(UNPROVEN, tmp_path)) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"NOT PROVEN {EVIDENCE.accused}: the file says that in step 0 it {Offence.WRONG_SUM}, but ")


def test_one_unproven_file_of_a_folder_is_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(EVIDENCE, tmp_path)
    other = save(evidence_of(Offence.EQUIVOCATION), tmp_path)
    (tmp_path / "notes.txt").write_text("not evidence")
    assert verdict(tmp_path) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    other.write_bytes(to_json(dataclasses.replace(evidence_of(Offence.EQUIVOCATION), envelopes=())))
    assert verdict(tmp_path) == 1
    assert sorted(line.split(" 12D3")[0] for line in capsys.readouterr().out.splitlines()) == ["NOT PROVEN", "PROVEN"]


@pytest.mark.parametrize(("evidence", "code"), [(EVIDENCE, 0), (UNPROVEN, 1)])
def test_programs_read_json(tmp_path: Path, capsys: pytest.CaptureFixture[str], evidence: Evidence, code: int) -> None:
    path = save(evidence, tmp_path)
    assert verdict("--json", path) == code
    facts = json.loads(capsys.readouterr().out)
    assert facts.pop("basis")
    assert facts == {
        "file": str(path),
        "proven": code == 0,
        "peer": str(EVIDENCE.accused),
        "step": 0,
        "offence": "WRONG_SUM",
        "words": f"in step 0 it {Offence.WRONG_SUM}",
        "roster": ROSTER,
    }


@pytest.mark.parametrize(
    ("known", "doubt"),
    [
        ({"rules": RULES, "roster": ROSTER}, ""),
        ({"rules": RULES}, ""),
        ({"rules": RULES, "roster": "00" * 32}, "does not know the roster that the evidence names"),
        ({"rules": "00" * 32, "roster": ROSTER}, "has other rules than the evidence is judged by"),
    ],
    ids=["a peer of the run", "its coordinator", "another roster", "another run"],
)
def test_a_run_knows_its_rules_and_its_rosters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], known: dict[str, str], doubt: str
) -> None:
    path = save(EVIDENCE, tmp_path / "bans")
    assert verdict(path, "--run", log(tmp_path / "run", **known)) == (1 if doubt else 0)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("NOT PROVEN" if doubt else "PROVEN") and doubt in line


def test_rules_other_than_the_runs_prove_nothing(tmp_path: Path) -> None:
    """What the file alone cannot tell: its rules are nobody's word but its author's."""
    aggregation = dataclasses.replace(EVIDENCE.rules.aggregation, tau=0.5)
    forged = dataclasses.replace(EVIDENCE, rules=dataclasses.replace(EVIDENCE.rules, aggregation=aggregation))
    path = save(forged, tmp_path / "bans")
    assert verdict(path, "--run", log(tmp_path / "run", rules=RULES, roster=ROSTER)) == 1


def test_what_is_wrong_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evidence = save(EVIDENCE, tmp_path / "bans")
    (tmp_path / "torn.json").write_bytes(evidence.read_bytes()[:-50])
    before = tmp_path / "before.json"
    before.write_bytes(evidence.read_bytes().replace(FORMAT.encode(), b"btard evidence 1"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "events.jsonl").write_bytes(b'\xff\n{"event":"joined"}\n')
    for words, says in (
        ([tmp_path / "none.json"], "No such file"),
        ([tmp_path / "torn.json"], "is no evidence of a ban"),
        ([before], "was written by another version of the protocol (its format is 'btard evidence 1', this program"),
        ([tmp_path / "empty"], "holds no evidence"),
        ([evidence, "--run", tmp_path / "empty"], "give the directory of a peer or a coordinator"),
        ([evidence, "--run", tmp_path / "strange"], "does not tell the rules of a run"),
    ):
        assert verdict(*words) == 2, words
        captured = capsys.readouterr()
        assert captured.err.startswith("btard: ") and captured.err.count("\n") == 1 and says in captured.err
        assert captured.out == ""
