"""Stages that are passed by, and those that are frozen: for six stages all of them are enumerated."""

from __future__ import annotations

import pytest

from btard.pipeline.defence.recovery import recovery

WITH_RELAY = {2: ({1, 2}, {1, 2}), 3: ({2, 3}, {1, 2, 3}), 4: ({3, 4}, {2, 3, 4}), 5: ({4}, {3, 4})}
WITHOUT = {2: ({1, 2}, {1, 2}), 3: ({1, 2, 3}, {1, 2, 3}), 4: ({2, 3, 4}, {1, 2, 3, 4}), 5: ({3, 4}, {2, 3, 4})}


@pytest.mark.parametrize("alarmed", [2, 3, 4, 5])
@pytest.mark.parametrize("trusted_relay", [True, False])
def test_six_stages_recover_as_enumerated(trusted_relay: bool, alarmed: int) -> None:
    found = recovery(6, alarmed, trusted_relay=trusted_relay)
    assert (found.skipped, found.frozen) == (WITH_RELAY if trusted_relay else WITHOUT)[alarmed]


@pytest.mark.parametrize("trusted_relay", [True, False])
@pytest.mark.parametrize("stages", range(3, 12))
def test_no_duplicate_learns_without_its_original(stages: int, trusted_relay: bool) -> None:
    for alarmed in range(2, stages):
        found = recovery(stages, alarmed, trusted_relay=trusted_relay)
        assert found.skipped <= found.frozen <= set(range(1, stages - 1))
        assert {alarmed - 1} <= found.skipped
        for skipped in found.skipped:  # it holds the duplicate of the stage before it
            assert skipped == 1 or skipped - 1 in found.frozen


@pytest.mark.parametrize(("stages", "alarmed"), [(6, 1), (6, 0), (6, 6), (2, 1)])
def test_a_stage_that_checks_none_raises_no_alarm(stages: int, alarmed: int) -> None:
    with pytest.raises(ValueError):
        recovery(stages, alarmed, trusted_relay=True)
