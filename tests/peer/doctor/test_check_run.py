"""What a run asks of a peer, as `btard doctor` says it."""

from __future__ import annotations

from btard.peer.doctor.check_run import check_computes_alike, check_listed
from btard.peer.doctor.finding import CheckOutcome
from tests.peer.helpers import PEERS, run_manifest


def test_a_key_that_is_not_on_the_list_is_told() -> None:
    closed = run_manifest().model_copy(update={"members": tuple(sorted(map(str, PEERS[:4])))})
    assert check_listed(run_manifest(), None).outcome is CheckOutcome.OK
    assert check_listed(closed, PEERS[0]).outcome is CheckOutcome.OK
    assert check_listed(closed, None).outcome is CheckOutcome.UNTESTED
    outside = check_listed(closed, PEERS[5])
    assert outside.outcome is CheckOutcome.FAILED and f"4 listed keys, and not {PEERS[5]}" in outside.sentence


def test_members_that_compute_otherwise_are_counted() -> None:
    assert check_computes_alike("a", ["a", "a", "b"]).outcome is CheckOutcome.OK
    unlike = check_computes_alike("a", ["a", "b"])
    assert unlike.outcome is CheckOutcome.UNTESTED and "1 of 2 members" in unlike.sentence
    assert "compares one gradient" in unlike.sentence
    assert check_computes_alike("a", []).outcome is CheckOutcome.UNTESTED
