"""A proof counts if it is about peers that the coordinator has seated so, and about the run's own plan."""

from __future__ import annotations

import json

import pytest

from btard.coordinator.pipeline.proof import check_proof
from btard.identity import Malformed
from btard.pipeline.justice.judgement import StageOffence
from tests.coordinator.pipeline.proofs import KEYS, LIAR, ban_of, builder_of, seating


def known(*seatings):
    return {each.messages_run: each for each in seatings}


def test_a_proof_of_a_seated_stage_counts() -> None:
    evidence, where = check_proof(ban_of().evidence, known(seating(2), seating(1)), builder_of())
    assert (evidence.peer, evidence.stage, evidence.offence) == (KEYS[LIAR].peer_id, LIAR, StageOffence.ACTIVATION)
    assert where.number == 1


def test_a_proof_of_an_unknown_seating_is_none() -> None:
    with pytest.raises(Malformed, match="has not seated so"):
        check_proof(ban_of().evidence, known(seating(2)), builder_of())


def test_a_proof_with_other_seats_is_none() -> None:
    with pytest.raises(Malformed, match="has not seated so"):
        check_proof(ban_of().evidence, known(seating(1, 0, 1, 3)), builder_of())


def test_a_proof_by_another_plan_is_none() -> None:
    with pytest.raises(Malformed, match="another plan"):
        check_proof(ban_of().evidence, known(seating()), builder_of(learning_rate=0.2))


def test_a_proof_that_names_another_peer_is_none() -> None:
    told = json.loads(ban_of().evidence)
    other = str(KEYS[2].peer_id)
    told |= {"accused": other, "stage": 2, "words": told["words"].replace(told["accused"], other)}
    with pytest.raises(Malformed, match="the case shows that stage 1"):
        check_proof(json.dumps(told).encode(), known(seating()), builder_of())


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff" * 100])
def test_nonsense_is_no_proof(data: bytes) -> None:
    with pytest.raises(Malformed):
        check_proof(data, known(seating()), builder_of())
