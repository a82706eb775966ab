"""The book of bans: what it has proof of it keeps, writes, tells and shows, and it believes nobody without proof."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import pytest

from btard.identity import Envelope, MessageKind, PeerId
from btard.round.evidence.evidence import Evidence, Offence
from btard.round.evidence.file import FORMAT, MAX_FILE, fingerprint, from_json, to_json
from btard.round.rules import StepRules
from btard.swarm import bans as module
from btard.swarm.bans import BanBook, Bans, ask_evidence
from btard.swarm.questions import Question, Want
from btard.swarm.records.record import MAX_BODY
from btard.transport.libp2p import FetchError, RecordError
from tests.btard.round.bans import LIAR, evidence_of
from tests.btard.round.swarm import RULES, keys
from tests.peer.helpers import KEYS, PEERS, TableTransport

EVIDENCE = evidence_of(Offence.FALSE_SCALARS)
BANNED = EVIDENCE.accused
OF_THE_RUN = EVIDENCE.rules
SOURCES = PEERS[:3]
Ask = Callable[[PeerId, PeerId], Awaitable[bytes | None]]


def same_run(evidence: Evidence) -> Evidence:
    """The simulated swarms of other offences have the same rules."""
    assert evidence.rules == OF_THE_RUN and evidence.accused == keys(7)[LIAR].peer_id == BANNED
    return evidence


@pytest.fixture
def book(tmp_path: Path) -> BanBook:
    return BanBook(tmp_path / "bans", OF_THE_RUN)


class Shown:
    """What sources show, and which of them was asked about which ban."""

    def __init__(self, answers: dict[PeerId, bytes]) -> None:
        self.answers = answers
        self.asked: list[tuple[PeerId, PeerId]] = []

    async def __call__(self, source: PeerId, banned: PeerId) -> bytes | None:
        self.asked.append((source, banned))
        return self.answers.get(source)


async def shown_by(book: BanBook, *data: bytes, banned: Iterable[PeerId] = (BANNED,)) -> tuple[list[str], list[PeerId]]:
    """Return what the book says to the answers of as many sources: bases of what it verified, and unproven peers."""
    ask = Shown(dict(zip(SOURCES, data, strict=False)))
    verified, unproven = await book.verify_all(ask, banned, SOURCES)
    return [basis for _, basis in verified], unproven


def test_what_is_added_is_kept_shown_and_written(book: BanBook) -> None:
    assert book.evidence_of(BANNED) is None and book.path_of(BANNED) is None
    path = book.add(EVIDENCE)
    assert path is not None and path == book.path_of(BANNED) and path.parent == book.directory
    assert path.read_bytes() == book.evidence_of(BANNED) == to_json(EVIDENCE)
    assert book.evidence_of(PEERS[0]) is None and book.path_of(PEERS[0]) is None
    assert [file.name for file in book.directory.iterdir()] == [path.name], "nothing unfinished is left"


def test_a_restart_takes_up_what_is_there(book: BanBook) -> None:
    path = book.add(EVIDENCE)
    again = BanBook(book.directory, OF_THE_RUN)
    assert again.evidence_of(BANNED) == to_json(EVIDENCE)
    assert again.path_of(BANNED) == path


@pytest.mark.parametrize("damage", [lambda data: data[:-200], lambda data: b"", lambda data: b"\xff" + data])
def test_a_peer_names_a_damaged_file_and_starts(
    book: BanBook, caplog: pytest.LogCaptureFixture, damage: Callable[[bytes], bytes]
) -> None:
    path = book.add(EVIDENCE)
    assert path is not None
    path.write_bytes(damage(path.read_bytes()))
    again = BanBook(book.directory, OF_THE_RUN)
    assert again.evidence_of(BANNED) is None
    assert str(path) in caplog.text and "is no evidence" in caplog.text


def test_a_file_of_the_version_before_is_named_and_left_out(book: BanBook, caplog: pytest.LogCaptureFixture) -> None:
    path = book.add(EVIDENCE)
    assert path is not None
    path.write_bytes(path.read_bytes().replace(FORMAT.encode(), b"btard evidence 1"))
    assert BanBook(book.directory, OF_THE_RUN).evidence_of(BANNED) is None
    (record,) = caplog.records
    assert record.getMessage() == (
        f"not taking up {path}: {path} was written by another version of the protocol "
        f"(its format is 'btard evidence 1', this program checks '{FORMAT}'): check it with the release that wrote it"
    )


def test_files_of_another_run_or_without_proof_are_left_out(book: BanBook) -> None:
    book.add(EVIDENCE)
    other_run = dataclasses.replace(OF_THE_RUN, nonce=bytes(16))
    assert BanBook(book.directory, other_run).evidence_of(BANNED) is None
    book.add(dataclasses.replace(EVIDENCE, envelopes=()))
    assert BanBook(book.directory, OF_THE_RUN).evidence_of(BANNED) is None


def test_a_disk_that_takes_nothing_costs_a_line_in_the_log(book: BanBook, caplog: pytest.LogCaptureFixture) -> None:
    book.directory.symlink_to("/proc/nowhere")
    assert book.add(EVIDENCE) is None
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert str(BANNED) in record.getMessage() and str(book.directory) in record.getMessage()
    assert book.evidence_of(BANNED) == to_json(EVIDENCE), "others are still shown it"
    assert book.path_of(BANNED) is None, "no event names a file that is not there"


async def test_what_others_show_is_verified_and_kept(book: BanBook) -> None:
    bases, unproven = await shown_by(book, to_json(EVIDENCE))
    assert ["by arithmetic" in basis for basis in bases] == [True] and unproven == []
    path = book.path_of(BANNED)
    assert path is not None and from_json(path.read_bytes()) == EVIDENCE


async def test_nobody_is_asked_about_what_is_here(book: BanBook) -> None:
    book.add(EVIDENCE)
    ask = Shown({})
    assert await book.verify_all(ask, [BANNED], SOURCES) == ([], [])
    assert ask.asked == []


def with_rules(rules: StepRules) -> bytes:
    return to_json(dataclasses.replace(EVIDENCE, rules=rules))


TAU = dataclasses.replace(OF_THE_RUN, aggregation=dataclasses.replace(OF_THE_RUN.aggregation, tau=0.01))
LIES = {
    "garbage": b"\xff" * 99,
    "nothing in it": to_json(dataclasses.replace(EVIDENCE, envelopes=())),
    "about another peer": to_json(evidence_of(Offence.FALSE_SCALARS)).replace(
        str(BANNED).encode(), str(keys(7)[0].peer_id).encode()
    ),
    "of another run": with_rules(dataclasses.replace(OF_THE_RUN, nonce=bytes(16))),
    "under another tau": with_rules(TAU),
    "of another offence": to_json(dataclasses.replace(EVIDENCE, offence=Offence.EQUIVOCATION)),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
async def test_no_lie_is_believed_and_the_next_source_is_asked(
    book: BanBook, caplog: pytest.LogCaptureFixture, lie: bytes
) -> None:
    assert await shown_by(book, lie, lie, lie) == ([], [BANNED])
    assert book.evidence_of(BANNED) is None and not book.directory.exists()
    assert caplog.text.count("shows no proof of the ban") == 3
    bases, unproven = await shown_by(book, lie, lie, to_json(EVIDENCE))
    assert len(bases) == 1 and unproven == []


async def test_evidence_counts_only_for_the_peer_it_is_about(book: BanBook) -> None:
    other = keys(7)[0].peer_id
    assert await shown_by(book, to_json(EVIDENCE), banned=[other]) == ([], [other])
    assert book.evidence_of(BANNED) is book.evidence_of(other) is None


async def test_a_ban_that_nobody_shows_stays_unproven(book: BanBook) -> None:
    assert await shown_by(book) == ([], [BANNED])


class Published:
    """A DHT that takes what it is given, or nothing."""

    def __init__(self, failing: bool = False) -> None:
        self.failing = failing
        self.records: list[tuple[Envelope, float]] = []

    async def publish(self, envelope: Envelope, ttl_seconds: float) -> None:
        if self.failing:
            raise RecordError("no node stored the record")
        self.records.append((envelope, ttl_seconds))


async def test_the_dht_is_told_peer_step_reason_and_digest_of_the_file(book: BanBook) -> None:
    records = Published()
    await book.publish(records, KEYS[0], RULES.run)  # type: ignore[arg-type]
    assert records.records == [], "without a ban there is nothing to tell"
    book.add(EVIDENCE)
    await book.publish(records, KEYS[0], RULES.run)  # type: ignore[arg-type]
    ((envelope, ttl),) = records.records
    assert 0 < ttl <= 3600
    (entry,) = Bans.read(envelope, RULES.run, MessageKind.BANS).bans
    assert (entry.peer, entry.step, entry.offence) == (str(BANNED), EVIDENCE.scene.roster.step, "FALSE_SCALARS")
    assert entry.evidence == fingerprint(to_json(EVIDENCE))


async def test_of_many_bans_the_latest_are_told_and_fit_into_a_record(book: BanBook) -> None:
    scene = EVIDENCE.scene
    for step, key in enumerate(keys(100)):
        later = dataclasses.replace(scene, roster=dataclasses.replace(scene.roster, step=10**6 + step))
        book._remember(dataclasses.replace(EVIDENCE, accused=key.peer_id, scene=later), b"")
    records = Published()
    await book.publish(records, KEYS[0], RULES.run)  # type: ignore[arg-type]
    ((envelope, _),) = records.records
    assert len(envelope.body) <= MAX_BODY
    told = [entry.step for entry in Bans.read(envelope, RULES.run, MessageKind.BANS).bans]
    assert told == list(range(10**6 + 100 - module._MOST_ENTRIES, 10**6 + 100))


async def test_a_dht_that_fails_costs_a_line_in_the_log(book: BanBook, caplog: pytest.LogCaptureFixture) -> None:
    book.add(EVIDENCE)
    await book.publish(Published(failing=True), KEYS[0], RULES.run)  # type: ignore[arg-type]
    assert "cannot publish the bans: no node stored the record" in caplog.text


async def test_a_source_is_asked_for_one_ban_and_may_be_silent() -> None:
    transport = TableTransport({PEERS[0]: b"evidence", PEERS[1]: FetchError("the peer is busy"), PEERS[2]: b"x" * 9})
    answers = [await ask_evidence(transport, peer, BANNED, timeout_seconds=1.0) for peer in PEERS]  # type: ignore[arg-type]
    assert answers == [b"evidence", None, b"x" * 9, None, None, None]
    assert {limit for _, _, limit in transport.asked} == {MAX_FILE}
    questions = {Question.decode(request) for _, request, _ in transport.asked}
    assert questions == {Question(want=Want.BAN, peer=str(BANNED))}
    assert [peer for peer, _, _ in transport.asked] == list(PEERS[:5]), "nobody asks itself"


def test_evidence_of_all_kinds_fits_into_one_book(book: BanBook) -> None:
    for offence in (Offence.EQUIVOCATION, Offence.LOTTERY):
        assert book.add(same_run(evidence_of(offence))) is not None
    assert len(list(book.directory.glob("*.json"))) == 2
    assert book.evidence_of(BANNED) == to_json(evidence_of(Offence.LOTTERY))
