"""A run's records as rows: roles by the roster, words for bans, and no terminal codes of strangers."""

from __future__ import annotations

import json

import pytest

from btard.cli.status import headline
from btard.peer.visit.overview import Role, overview
from btard.peer.visit.sight import Sight
from btard.round.draw import Audit
from btard.round.roster import Roster, first_randomness
from btard.swarm.bans import BanEntry, Bans
from btard.swarm.questions import Head
from btard.swarm.records.record import Join, LocalMetrics, Metrics
from tests.peer.helpers import PEERS, run_manifest

NOW = 1_000_000.0
MEMBERS = PEERS[:4]
BANNED, WAITING = PEERS[4], PEERS[5]


def sight(**changed: object) -> Sight:
    roster = Roster(
        7,
        MEMBERS,
        frozenset({BANNED}),
        first_randomness(0, 7),
        (Audit(MEMBERS[1], MEMBERS[0]),),
        ((MEMBERS[2], 20),),
    )
    fields: dict[str, object] = {
        "time": NOW,
        "coordinator": PEERS[5],
        "manifest": run_manifest().model_copy(update={"experiment": "a\x1b[31mb"}),
        "roster": roster,
        "waiting": frozenset(),
        "finished": False,
        "joins": {},
        "metrics": {},
        "bans": {},
    }
    return Sight(**(fields | changed))  # type: ignore[arg-type]


def report(step: int, loss: float | None) -> Metrics:
    told = LocalMetrics(step=step, samples_per_second=2.0, samples_accumulated=8, loss=loss, mini_steps=1)
    return Metrics(steps=[told.model_copy(update={"step": step - 1}), told])


def ban(offence: str, step: int = 3, peer: str = str(BANNED)) -> Bans:
    return Bans(bans=[BanEntry(peer=peer, step=step, offence=offence, evidence="0" * 64)])


def test_roles_come_from_the_roster() -> None:
    found = overview(sight())
    assert [row.role for row in found.peers] == [Role.MEMBER, Role.VALIDATOR, Role.PROBATION, Role.MEMBER]
    assert [row.until for row in found.peers] == [None, None, 20, None]
    assert (found.step, found.members, found.loss) == (7, 4, None)


def test_before_the_first_roster_it_is_told_how_many_are_here() -> None:
    found = overview(sight(roster=None, waiting=frozenset(PEERS[2:4])))
    assert found.awaited == "waiting for the first roster: 2 of 5 are here"
    assert found.awaited in headline(found)
    assert overview(sight()).awaited is None


def test_a_pause_says_who_is_missing() -> None:
    four = Roster(7, MEMBERS, frozenset(), first_randomness(0, 7))
    waits, stands = (Head(four, bytes(32), (), waits=waits) for waits in (True, False))
    found = overview(sight(roster=four, heads=dict.fromkeys(MEMBERS[:2], waits)))
    names = ", ".join(peer[-6:] for peer in sorted(map(str, MEMBERS[2:])))
    assert found.paused == f"step 7 waits for more than half of its 4 voters: 2 are here; missing: {names}"
    assert found.as_json()["paused"] == found.paused
    going_on = dict.fromkeys(MEMBERS[:3], stands) | {MEMBERS[3]: waits}
    for heads in ({}, going_on, dict.fromkeys(MEMBERS[:2], stands)):
        assert overview(sight(roster=four, heads=heads)).paused is None
    assert overview(sight(roster=four, finished=True, heads=dict.fromkeys(MEMBERS, waits))).paused is None


def test_the_number_of_voters_tells_that_nobody_is_validated() -> None:
    said = "nobody is validated: 3 voters, 4 are needed"
    checked = run_manifest(validators=1.0)
    assert overview(sight(manifest=checked)).unvalidated == said
    assert overview(sight(manifest=checked)).as_json()["unvalidated"] == said
    assert overview(sight(manifest=checked, finished=True)).unvalidated is None
    assert overview(sight(manifest=checked, roster=None)).unvalidated is None
    four = Roster(7, MEMBERS, frozenset(), first_randomness(0, 7))
    assert overview(sight(manifest=checked, roster=four)).unvalidated is None
    assert "0 validators" in str(overview(sight(roster=four)).unvalidated)


def test_a_row_tells_a_peers_latest_step_and_announcement() -> None:
    joins = {MEMBERS[0]: Join(fingerprint="x", maddrs=[], time=NOW - 12)}
    metrics = {
        MEMBERS[0]: report(6, 1.5),
        MEMBERS[1]: report(5, 2.5),
        MEMBERS[3]: report(5, None),
        BANNED: report(9, 9),
    }
    found = overview(sight(joins=joins, metrics=metrics))
    first = found.peers[0]
    assert (first.step, first.loss, first.samples_per_second, first.last_seen) == (6, 1.5, 2.0, 12)
    assert (found.loss, found.samples_per_second) == (2.0, 6.0)
    assert found.peers[2].step is None


def test_waiting_peers_come_last_and_banned_ones_not_at_all() -> None:
    found = overview(sight(waiting=frozenset({WAITING, BANNED, MEMBERS[0]})))
    assert [row.peer for row in found.peers if row.role is Role.WAITING] == [str(WAITING)]
    none = overview(sight(roster=None, waiting=frozenset({WAITING})))
    assert [row.role for row in none.peers] == [Role.WAITING] and none.step is None


def test_a_ban_is_told_in_the_words_of_most_members() -> None:
    told = {MEMBERS[0]: ban("GRADIENT"), MEMBERS[1]: ban("GRADIENT"), MEMBERS[2]: ban("MALFORMED"), WAITING: ban("LIE")}
    (row,) = overview(sight(bans=told)).bans
    assert (row.peer, row.step, row.offence) == (str(BANNED), 3, "GRADIENT")
    assert row.words == "in step 3 it sent a vector that is not the gradient of its public seed"


@pytest.mark.parametrize("record", [ban("GRADIENT", peer="nobody"), ban("GRADIENT", peer=str(PEERS[0]))])
def test_a_ban_without_a_word_about_it(record: Bans) -> None:
    (row,) = overview(sight(bans={MEMBERS[0]: record})).bans
    assert row.words == "no member tells why" and row.offence is None
    (row,) = overview(sight(bans={WAITING: ban("GRADIENT")})).bans
    assert row.offence is None, "only members are heard"


def test_an_unknown_offence_is_not_repeated() -> None:
    (row,) = overview(sight(bans={MEMBERS[0]: ban("\x1b[2J")})).bans
    assert row.offence is None and row.words == "in step 3, for what this version has no word"


def test_a_strangers_text_cannot_steer_the_terminal() -> None:
    found = overview(sight())
    assert found.experiment == "a?[31mb"
    assert json.loads(json.dumps(found.as_json()))["peers"][2]["role"] == "probation"


def test_clients_are_told_from_members_that_vote() -> None:
    roster = Roster(7, MEMBERS, frozenset(), first_randomness(0, 7), clients=(MEMBERS[3],))
    found = overview(sight(roster=roster))
    assert [row.role for row in found.peers] == [Role.MEMBER, Role.MEMBER, Role.MEMBER, Role.CLIENT]
    assert "4 members, 1 of them clients" in headline(found)


def test_those_that_a_closed_group_leaves_outside_are_named() -> None:
    closed = run_manifest().model_copy(update={"members": tuple(sorted(map(str, MEMBERS)))})
    found = overview(sight(manifest=closed, waiting=frozenset({WAITING})))
    assert found.peers[-1].role is Role.NOT_LISTED and found.listed == 4
    assert headline(found).endswith("; only 4 listed keys are admitted")
    assert overview(sight()).listed is None and "listed" not in headline(overview(sight()))
