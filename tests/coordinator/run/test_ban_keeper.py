"""The coordinator and bans: none is believed that nobody proves, each is verified once, and the log says which."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from btard.coordinator.run.ban_keeper import BanKeeper
from btard.identity import PeerId
from btard.round.evidence.evidence import Offence
from btard.round.evidence.file import from_json, to_json
from btard.round.roster import Roster
from btard.swarm.bans import BanBook
from tests.btard.round.bans import evidence_of
from tests.coordinator.conftest import Log
from tests.coordinator.swarm import MemoryNetwork, identity, ids, manifest, roster

EVIDENCE = evidence_of(Offence.WRONG_SUM)
LIAR = EVIDENCE.accused
SCENE = EVIDENCE.scene
BANNED = Roster(5, ids(1, 2, 3), frozenset([LIAR]), bytes(32))
WORTHLESS = to_json(dataclasses.replace(EVIDENCE, envelopes=()))


class Members(MemoryNetwork):
    """Counts the peers that are asked; `shows` are the answers of single members."""

    def __init__(self) -> None:
        super().__init__(manifest())
        self.asked: list[tuple[PeerId, PeerId]] = []
        self.shows: dict[PeerId, bytes] = {}

    async def evidence(self, source: PeerId, banned: PeerId) -> bytes | None:
        self.asked.append((source, banned))
        return self.shows.get(source) or await super().evidence(source, banned)


@pytest.fixture
def network() -> Members:
    return Members()


@pytest.fixture
def book(tmp_path: Path) -> BanBook:
    return BanBook(tmp_path / "bans", EVIDENCE.rules)


@pytest.fixture
def keeper(network: Members, book: BanBook, log: Log) -> BanKeeper:
    return BanKeeper(network, book, log)


async def test_a_ban_is_fetched_verified_kept_and_told_once(
    network: Members, keeper: BanKeeper, book: BanBook, log: Log
) -> None:
    network.evidence_files[LIAR] = to_json(EVIDENCE)
    for _ in range(3):
        await keeper.consider(BANNED)
    assert network.asked == [(BANNED.members[0], LIAR)], "the first member's answer is enough, once"
    (event,) = log.read()
    path = book.path_of(LIAR)
    assert path is not None and from_json(path.read_bytes()) == EVIDENCE
    assert event.pop("time") and event.pop("basis").startswith("by arithmetic")
    assert event == {
        "event": "verified",
        "peer": str(LIAR),
        "step": SCENE.roster.step,
        "offence": "WRONG_SUM",
        "words": Offence.WRONG_SUM,
        "evidence": str(path),
    }


async def test_without_a_ban_nobody_is_asked(network: Members, keeper: BanKeeper, log: Log) -> None:
    await keeper.consider(roster(5, 1, 2, 3))
    assert network.asked == [] and log.read() == []


async def test_a_peer_that_shows_nothing_or_lies_is_passed_over(network: Members, keeper: BanKeeper, log: Log) -> None:
    first, second, third = BANNED.members
    network.shows = {first: b"garbage", second: WORTHLESS, third: to_json(EVIDENCE)}
    await keeper.consider(BANNED)
    assert [source for source, _ in network.asked] == [first, second, third]
    assert [event["event"] for event in log.read()] == ["verified"]


async def test_a_ban_without_proof_is_told_once_and_then_left_alone(
    network: Members, keeper: BanKeeper, book: BanBook, log: Log
) -> None:
    network.evidence_files[LIAR] = WORTHLESS
    for rounds in range(1, 6):
        await keeper.consider(BANNED)
        assert len(log.named("unproven")) == (rounds >= 3), rounds
    assert len(network.asked) == 3 * len(BANNED.members)
    (event,) = log.read()
    assert (event["peer"], event["step"]) == (str(LIAR), 5)
    assert book.evidence_of(LIAR) is None


async def test_evidence_that_comes_late_still_counts(network: Members, keeper: BanKeeper, log: Log) -> None:
    await keeper.consider(BANNED)
    network.evidence_files[LIAR] = to_json(EVIDENCE)
    await keeper.consider(BANNED)
    assert [event["event"] for event in log.read()] == ["verified"]


async def test_one_ban_that_is_not_proven_keeps_no_other_from_being(
    network: Members, keeper: BanKeeper, log: Log
) -> None:
    other = identity(9).peer_id
    network.evidence_files = {LIAR: to_json(EVIDENCE), other: to_json(EVIDENCE)}
    both = dataclasses.replace(BANNED, banned=frozenset([LIAR, other]))
    for _ in range(4):
        await keeper.consider(both)
    assert {(event["event"], event["peer"]) for event in log.read()} == {
        ("verified", str(LIAR)),
        ("unproven", str(other)),
    }


async def test_a_restart_does_not_ask_again(network: Members, keeper: BanKeeper, book: BanBook, log: Log) -> None:
    network.evidence_files[LIAR] = to_json(EVIDENCE)
    await keeper.consider(BANNED)
    asked = len(network.asked)
    again = BanKeeper(network, BanBook(book.directory, EVIDENCE.rules), log)
    await again.consider(BANNED)
    assert len(network.asked) == asked and len(log.named("verified")) == 1
