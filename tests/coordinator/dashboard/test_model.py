"""What a run's lines become on the page: events in, view out, whatever strangers have put into them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from btard.coordinator.dashboard import model as module
from btard.coordinator.dashboard.model import MAX_ROWS, RunModel
from btard.swarm.events.reading import parse_coordinator
from btard.transport.stages import Stage
from tests.swarm.events.lines import COORDINATOR_LINES, coordinator_event, coordinator_line

A, B, C = "12D3KooWAAA", "12D3KooWBBB", "12D3KooWCCC"


def fed(*events: dict[str, Any]) -> RunModel:
    model = RunModel()
    for number, event in enumerate(events):
        feed(model, {"time": float(number), **event})
    return model


def feed(model: RunModel, event: dict[str, Any]) -> None:
    model.feed_event(coordinator_event(**event))


def states(model: RunModel) -> dict[str, str]:
    return {row["id"]: row["state"] for row in view(model)["peers"]["rows"]}


def view(model: RunModel) -> dict[str, Any]:
    sections: dict[str, Any] = json.loads(json.dumps(model.sections(), allow_nan=False))
    return sections


STARTED = {"event": "started", "rules": "ab"}
GENESIS = {"event": "genesis", "step": 0, "members": [A, B, C]}
VERIFIED = {
    "event": "verified",
    "peer": B,
    "step": 7,
    "offence": "GRADIENT",
    "words": "sent a vector that is not the gradient of its public seed",
    "basis": "by the signed votes of 3 of 3 members",
    "evidence": "/anywhere/bans/step-7.json",
}


def test_a_run_begins() -> None:
    model = RunModel()
    model.feed_manifest({"peers": 3})
    feed(model, STARTED)
    assert view(model)["run"]["state"] == "waiting"
    assert view(model)["run"]["awaited"] == "waiting for the first roster: 0 of 3 are here"
    feed(model, {"event": "welcomed", "peer": A, "count": 1, "wanted": 3})
    assert states(model) == {A: "waiting"}
    assert view(model)["run"]["awaited"] == "waiting for the first roster: 1 of 3 is here"
    feed(model, {"event": "awaited", "here": 2, "wanted": 3})
    assert view(model)["run"]["awaited"] == "waiting for the first roster: 2 of 3 are here"
    feed(model, GENESIS)
    assert view(model)["run"]["awaited"] == ""
    assert states(model) == {A: "member", B: "member", C: "member"}
    assert view(model)["run"]["alive"] == 3 and view(model)["run"]["state"] == "running"


def test_a_ban_is_told_with_its_words_as_soon_as_it_is_verified() -> None:
    model = fed(STARTED, GENESIS, {"event": "banned", "peer": B, "step": 9})
    (ban,) = view(model)["bans"]
    assert (ban["peer"], ban["step"], ban["proven"], ban["evidence"]) == (B, 9, None, None)
    feed(model, {"event": "roster", "step": 9, "members": [A, C]})
    feed(model, VERIFIED)
    (ban,) = view(model)["bans"]
    assert ban["proven"] and ban["step"] == 7 and ban["words"] == VERIFIED["words"] and ban["evidence"] == "step-7.json"
    assert states(model)[B] == "banned" and model.evidence("step-7.json") and not model.evidence("other.json")
    assert view(model)["window"]["focus"] == 7


def test_a_ban_that_nobody_proves() -> None:
    model = fed(GENESIS, {"event": "banned", "peer": B, "step": 9}, {"event": "unproven", "peer": B, "step": 9})
    assert view(model)["bans"][0]["proven"] is False


def test_a_banned_peer_stays_banned() -> None:
    model = fed(GENESIS, VERIFIED, {"event": "joined", "peer": B, "step": 11}, {"event": "left", "peer": B, "step": 12})
    assert states(model)[B] == "banned"


def test_a_peer_that_leaves_may_come_back() -> None:
    model = fed(GENESIS, {"event": "left", "peer": C, "step": 4})
    assert states(model)[C] == "left"
    feed(model, {"event": "joined", "peer": C, "step": 6})
    assert states(model)[C] == "member"


def test_exclusions_findings_and_checkpoints_are_listed() -> None:
    model = fed(
        GENESIS,
        {"event": "excluded", "peer": C, "step": 3, "reason": "it was silent"},
        {"event": "examined", "validator": A, "peer": B, "step": 8, "found": "differs"},
        {"event": "examined", "validator": A, "peer": C, "step": 9, "found": "same"},
        {"event": "checkpoint_delayed", "step": 10, "reason": "no space"},
        {"event": "checkpoint", "step": 10, "digest": "ff", "evaluation_loss": 0.5},
        {"event": "checkpoint_missed", "step": 20, "reason": "no majority"},
    )
    seen = view(model)
    assert seen["exclusions"] == [{"peer": C, "step": 3, "reason": "it was silent"}]
    assert seen["verdicts"]["found"] == {"differs": 1, "same": 1}
    assert seen["verdicts"]["rows"][0] == {"validator": A, "peer": B, "step": 8, "found": "differs"}
    assert [(each["step"], each["loss"], each["missed"]) for each in seen["checkpoints"]] == [
        (10, 0.5, None),
        (20, None, "no majority"),
    ]


def test_steps_make_curves_and_the_numbers_of_now() -> None:
    model = fed(STARTED, GENESIS)
    for step in range(3):
        line = {"step": step, "median_loss": 2.0 - step / 10, "loss": 5.0, "alive": 3, "reporting": 2}
        model.feed_step({**line, "samples_per_second": 10.0, "time": 100.0 + step})
    assert model.curves(2) == {"stride": 1, "from": 2, "rows": [[2, 1.8, 5.0, 3.0, 2.0, 10.0]]}
    run = view(model)["run"]
    assert (run["step"], run["median_loss"], run["alive"], run["rate"], run["time"]) == (2, 1.8, 3, 10.0, 102.0)


def test_members_are_counted_in_the_step_that_is_over() -> None:
    model = fed(GENESIS, {"event": "roster", "step": 9, "members": [A, C]}, VERIFIED)
    for step in (0, 6, 7, 8, 9):
        model.feed_step({"step": step, "alive": 2})
    assert [row[3] for row in model.curves()["rows"]] == [3.0, 3.0, 2.0, 2.0, 2.0]
    other = RunModel()
    other.feed_step({"step": 1, "alive": 4})
    assert other.curves()["rows"][0][3] == 4.0


def test_peers_tell_their_stages_and_share_their_machines() -> None:
    model = fed(GENESIS)
    told = {
        "version": "0.1.0",
        "numerics": "torch",
        "bytes_sent": 1,
        "bytes_received": 2,
        "step": 4,
        "stages": dict.fromkeys(Stage, 0.5),
        "loss": 1.0,
        "samples_per_second": 3.0,
    }
    model.feed_peers({A: told, B: told, C: {**told, "stages": "no", "loss": float("nan"), "bytes_sent": -1}, "x": 1})
    seen = view(model)["peers"]
    assert seen["machines"] == ["torch"] and seen["stages"] == list(Stage)
    rows = {row["id"]: row for row in seen["rows"]}
    assert rows[A]["stages"] == [0.5] * len(Stage) and rows[A]["machine"] == 0
    assert rows[C]["stages"] == [] and "loss" not in rows[C] and "sent" not in rows[C]


def test_that_nobody_is_validated_is_shown_until_it_is_over() -> None:
    words = "nobody is validated: 3 voters, 4 are needed"
    begun = fed(STARTED, GENESIS, {"event": "unvalidated", "step": 4, "words": words + "\x1b"})
    assert view(begun)["run"]["unvalidated"] == {"step": 4, "words": words + "\ufffd"}
    feed(begun, {"event": "validated", "step": 9})
    assert view(begun)["run"]["unvalidated"] is None


def test_the_end_and_silence() -> None:
    model = fed(STARTED, GENESIS, {"event": "silent", "step": 3})
    assert view(model)["run"]["state"] == "silent"
    model.feed_step({"step": 4, "alive": 3})
    assert view(model)["run"]["state"] == "running"
    feed(model, {"event": "finished", "step": 5, "evaluation_loss": 0.25})
    assert view(model)["run"]["state"] == "finished" and view(model)["run"]["evaluation_loss"] == 0.25


def test_texts_of_strangers_are_cut_and_cleared() -> None:
    reason = "a\u202eb\x00c\n" + "x" * 10_000
    model = fed(GENESIS, {"event": "excluded", "peer": C, "step": 3, "reason": reason})
    (row,) = view(model)["exclusions"]
    assert row["reason"].startswith("a\ufffdb\ufffdc\ufffdx") and len(row["reason"]) == 300


def test_evidence_outside_of_its_folder_is_not_named() -> None:
    for path in ("../../identity.key", "/etc/passwd", "bans/.hidden.json", "bans/a b.json", ""):
        model = fed(GENESIS, {**VERIFIED, "evidence": path})
        assert view(model)["bans"][0]["evidence"] is None


def test_everything_is_bounded() -> None:
    model = fed(GENESIS)
    for number in range(2 * MAX_ROWS + 400):
        peer = f"stranger{number}"
        feed(model, {"event": "welcomed", "peer": peer})
        feed(model, {"event": "banned", "peer": peer, "step": number})
        feed(model, {"event": "excluded", "peer": peer, "step": number, "reason": "r"})
        feed(model, {"event": "examined", "validator": peer, "peer": peer, "step": number, "found": "same"})
        feed(model, {"event": "checkpoint", "step": number})
    seen = view(model)
    assert len(seen["peers"]["rows"]) == module.MAX_PEERS and {A, B, C} <= {row["id"] for row in seen["peers"]["rows"]}
    assert len(seen["bans"]) == module.MAX_BANS
    assert {len(seen[name]) for name in ("exclusions", "checkpoints")} == {MAX_ROWS}
    assert len(seen["verdicts"]["rows"]) == MAX_ROWS and seen["verdicts"]["found"]["same"] == 2 * MAX_ROWS + 400


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
HOSTILE = {
    int: st.integers() | st.sampled_from([3, 2**62, 10**400]),
    float: st.floats() | st.integers(),
    str: st.text(max_size=5) | st.sampled_from([A, "same", "differs"]),
    list: st.lists(st.text(max_size=3) | st.sampled_from([A, B]), max_size=3),
}
"""What a field of a type may hold, by an honest value of it."""


def hostile(line: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Lines of an event, some of whose fields are others of their type, or of any."""
    fields = {name: st.just(value) | HOSTILE.get(type(value), JSON) for name, value in line.items() if name != "event"}
    return st.fixed_dictionaries({"event": st.just(line["event"]), **fields}).flatmap(
        lambda like: st.dictionaries(st.sampled_from(sorted(fields)), JSON, max_size=1).map(lambda more: like | more)
    )


EVENTS = st.sampled_from(sorted(COORDINATOR_LINES)).flatmap(lambda name: hostile(coordinator_line(name)))


@settings(max_examples=200)
@given(st.lists(EVENTS, max_size=8), JSON, JSON)
def test_no_line_breaks_the_view(events: list[dict[str, Any]], step: Any, peer: Any) -> None:
    model = RunModel()
    for line in events:
        if (event := parse_coordinator(json.dumps(line).encode())) is not None:
            model.feed_event(event)
    model.feed_step({"step": 1, "alive": step, "median_loss": peer, "loss": step, "time": peer})
    model.feed_step({"step": step})
    model.feed_peers({A: peer, B: {"stages": {"compute": step}, "version": peer, "bytes_sent": step}})
    model.feed_manifest({"experiment": step, "total_steps": peer})
    view(model)
    json.dumps(model.curves(), allow_nan=False)


def test_a_pause_says_who_is_missing_until_it_is_over() -> None:
    pause = {"event": "paused", "step": 4, "voters": 3, "missing": [B, "\x1b" + C]}
    model = fed(STARTED, GENESIS, pause)
    words = view(model)["run"]["paused"]
    assert words.startswith("step 4 waits for more than half of its 3 voters: 1 is here; missing: ")
    assert "\x1b" not in words and B[-6:] in words and C[-6:] in words
    feed(model, {"event": "went_on", "step": 4})
    assert view(model)["run"]["paused"] == ""
    feed(model, pause)
    feed(model, STARTED)
    assert view(model)["run"]["paused"] == ""


def test_stages_stand_in_their_order_with_their_peers() -> None:
    model = fed({"event": "seating", "number": 1, "step": 4, "seats": [A, B], "changed": [0, 1]})
    assert view(model)["pipeline"] == []
    row = {"stage": 0, "blocks": 2, "peer": A, "step": 4, "seconds": 0.5, "sent_bytes": 10, "received_bytes": 20}
    model.feed_pipeline(
        {"stages": [{**row, "checks": 6, "alarms": 1, "passed_by": 3}, {"stage": 1, "blocks": 1, "peer": "b\u202e"}, 7]}
    )
    first, second = view(model)["pipeline"]
    assert first == {**row, "replica": None, "checks": 6, "alarms": 1, "passed_by": 3}
    assert (second["peer"], second["step"], second["seconds"]) == ("b\ufffd", None, None)
    assert states(model) == {A: "member", B: "member"}
    feed(model, {"event": "unseated", "step": 4, "stages": [1]})
    assert view(model)["run"]["unvalidated"]["words"] == "training waits for peers of stages 1"
    feed(model, {"event": "seating", "number": 2, "step": 4, "seats": [A, C], "changed": [1]})
    assert view(model)["run"]["unvalidated"] is None


def test_a_stage_of_several_pipelines_is_named_with_its_own() -> None:
    model = RunModel()
    places = [{"replica": replica, "stage": stage} for replica in range(4) for stage in range(2)]
    model.feed_pipeline({"stages": [{**place, "blocks": 1, "peer": A} for place in places]})
    assert [(row["replica"], row["stage"]) for row in view(model)["pipeline"]][5] == (2, 1)
    feed(model, {"event": "unseated", "step": 4, "stages": [1, 6]})
    words = view(model)["run"]["unvalidated"]["words"]
    assert words == "training waits for peers of stage 1 of pipeline 0, stage 0 of pipeline 3"


def test_a_damaged_file_of_stages_shows_none() -> None:
    model = RunModel()
    for wrong in ({}, {"stages": 7}, {"stages": [None, []]}):
        model.feed_pipeline(wrong)
        assert view(model)["pipeline"] == []
