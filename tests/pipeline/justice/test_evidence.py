"""Evidence about a stage: what it proves holds for a stranger, and what was changed in it does not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from btard.cli import main as program
from btard.cli import verdict
from btard.errors import UserError
from btard.identity import IdentityKey, Malformed
from btard.pipeline.caches.shared import SendForm
from btard.pipeline.defence.attacks import MessageLie
from btard.pipeline.defence.behaviours import LyingChecker, Persistent
from btard.pipeline.justice.case import Crossing, FiledCase, StageCase
from btard.pipeline.justice.evidence import StageEvidence, StageVerdict
from btard.pipeline.justice.facts import PlanFacts
from btard.pipeline.justice.judgement import StageJudgement, StageOffence, judge
from btard.pipeline.machine.assembly import stage_key
from btard.pipeline.machine.memory import run_stages
from tests.pipeline.machine.test_machine import machines_of


def banned(seat: int, behaviour) -> StageEvidence:
    machines = machines_of(split="1-1-1-1", attackers={seat: behaviour})
    (ban,) = run_stages(machines, 2)[0].bans
    return StageEvidence.from_json(ban.evidence)


@pytest.fixture(scope="module")
def lied() -> StageEvidence:
    """Stage 1 has sent a false activation."""
    return banned(1, Persistent(forward=MessageLie.DRIFT))


@pytest.fixture(scope="module")
def accused_falsely() -> StageEvidence:
    """Stage 2 has accused stage 1, which is honest."""
    return banned(2, LyingChecker())


def filed_again(evidence: StageEvidence, **changes) -> FiledCase:
    """Return the accuser's case with changes, signed anew by it."""
    case = replace(StageCase.decode(evidence.verdict.filed.case), **changes)
    return FiledCase.sign(stage_key(0, evidence.alarm.header.stage), evidence.alarm, case)


def test_evidence_comes_back_as_it_was(lied: StageEvidence, accused_falsely: StageEvidence) -> None:
    for evidence, offence in ((lied, StageOffence.ACTIVATION), (accused_falsely, StageOffence.FALSE_ALARM)):
        assert StageEvidence.from_json(evidence.to_json()) == evidence and evidence.offence is offence
        evidence.check()


def test_a_case_proves_one_thing_about_one_stage(lied: StageEvidence) -> None:
    for wrong in (
        replace(lied, stage=2),
        replace(lied, offence=StageOffence.GRADIENT),
        replace(lied, step=1),
        replace(lied, offence=StageOffence.FALSE_VERDICT),
        replace(lied, stage=lied.verdict.judge, offence=StageOffence.FALSE_VERDICT),
        replace(lied, verdict=replace(lied.verdict, liar=2)),
        replace(lied, verdict=replace(lied.verdict, signature=bytes(64))),
        replace(lied, roster=(*lied.roster[:1], *lied.roster[2:])),
    ):
        with pytest.raises(Malformed):
            wrong.check()


def test_another_peer_cannot_be_put_in_its_place(lied: StageEvidence, accused_falsely: StageEvidence) -> None:
    stranger = IdentityKey.from_seed(bytes([9]) * 32).peer_id
    for evidence in (lied, accused_falsely):
        for seat in (1, 2):
            roster = (*evidence.roster[:seat], stranger, *evidence.roster[seat + 1 :])
            with pytest.raises(Malformed):
                replace(evidence, roster=roster).check()


def test_a_case_that_proves_nothing_falls_on_its_author(lied: StageEvidence) -> None:
    case = StageCase.decode(lied.verdict.filed.case)
    (piece,) = case.pieces
    assert piece.given is not None
    other = replace(piece, given=replace(piece.given, payload=piece.given.payload[:-1] + b"\0"))
    told: tuple[dict[str, Any], ...] = (
        {"pledge": None},
        {"pieces": []},
        {"weights": case.weights[:-4] + b"\1\2\3\4"},
        {"weights": case.weights[:-4]},
        {"optimizer_digest": bytes(32)},
        {"batches": case.batches[:1]},
        {"batches": case.batches[::-1]},
        {"samples": [[5, 6], [7, 8]]},
        {"pieces": [replace(piece, given=None)]},
        {"pieces": [replace(piece, activation=piece.given.signed)]},
        {"pieces": [replace(piece, number=1)]},
        {"pieces": [replace(piece, given=replace(piece.given, signature=bytes(64)))]},
        {"pieces": [replace(piece, inward=Crossing(SendForm.RAW, {}))]},
        {"facts": PlanFacts(case.facts.model.model_copy(update={"relative_error": 0.001}))},
    )
    for changes in told:
        found = judge(filed_again(lied, **changes), lied.alarm, lied.roster)
        assert found == StageJudgement(2, StageOffence.NO_CASE), changes
    with pytest.raises(Malformed):
        StageCase.decode(replace(case, pieces=[other]).encode())
    assert judge(filed_again(lied), lied.alarm, lied.roster).liar == 1


def test_only_the_accuser_files_its_case(lied: StageEvidence) -> None:
    case = StageCase.decode(lied.verdict.filed.case)
    with pytest.raises(Malformed, match="has not signed"):
        judge(FiledCase.sign(stage_key(0, 0), lied.alarm, case), lied.alarm, lied.roster)


def test_a_verdict_names_its_judge(lied: StageEvidence) -> None:
    told = StageVerdict.sign(stage_key(0, 0), 0, 2, lied.alarm, lied.verdict.filed)
    told.verify(lied.roster[0], lied.alarm)
    with pytest.raises(Malformed):
        told.verify(lied.roster[3], lied.alarm)
    replace(lied, stage=0, offence=StageOffence.FALSE_VERDICT, verdict=told).check()


def test_the_program_says_what_is_proven(lied: StageEvidence, tmp_path: Path, capsys) -> None:
    good, bad = tmp_path / lied.file_name, tmp_path / "other.json"
    good.write_bytes(lied.to_json())
    assert program.main(["verdict", str(good)]) == 0
    assert capsys.readouterr().out.startswith(f"PROVEN {lied.peer}: in step 0 it, as stage 1, {lied.offence}; by ")
    told = json.loads(lied.to_json())
    told |= {"offence": "FALSE_ALARM", "words": f"{lied.peer} {StageOffence.FALSE_ALARM}"}
    bad.write_text(json.dumps(told))
    assert program.main(["verdict", "--json", str(bad)]) == 1
    assert json.loads(capsys.readouterr().out)["proven"] is False


def test_strange_files_get_a_sentence(lied: StageEvidence, tmp_path: Path, capsys) -> None:
    file = tmp_path / "ban.json"
    told = json.loads(lied.to_json())
    for wrong in (
        {"format": "btard stage evidence 2"},
        {"offence": "NOTHING"},
        {"roster": ["x"]},
        {"filed": "!"},
        {"filed": ""},
        {"alarm": ""},
        {"stage": 7},
        {"words": "it is guilty"},
        {"more": 1},
    ):
        file.write_text(json.dumps({**told, **wrong}))
        with pytest.raises(UserError, match="is no evidence of a ban"):
            verdict.main([str(file)])


@pytest.mark.parametrize("text", ["", "é", "=", "AA", "\x00"])
@pytest.mark.parametrize("name", ["words", "offence", "accused", "alarm", "verdict_signature", "filed"])
def test_any_text_in_a_field_is_malformed_at_most(lied: StageEvidence, name: str, text: str) -> None:
    told = json.loads(lied.to_json())
    with pytest.raises(Malformed):
        StageEvidence.from_json(json.dumps({**told, name: text}).encode()).check()
    with pytest.raises(Malformed):
        StageEvidence.from_json(json.dumps({**told, "roster": [text, *told["roster"][1:]]}).encode())
