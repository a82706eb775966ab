"""What a node keeps for others stays within bounds, and costs little to refuse."""

from __future__ import annotations

import pytest
from hivemind.dht.protocol import DHTProtocol
from hivemind.dht.routing import DHTID

from btard.identity import Envelope, IdentityKey, Malformed, MessageKind
from btard.transport.libp2p import storage as module
from btard.transport.libp2p.newest import NewestRecords
from btard.transport.libp2p.record_rules import CLOCK_SLACK_SECONDS, RecordRules, expiry_of, key_of
from btard.transport.libp2p.storage import RecordStorage, Taken

KEYS = [IdentityKey.from_seed(bytes([number]) * 32) for number in range(12)]
OWN = KEYS[11]
NOW = 1_000_000


def record(
    author: int, number: int = NOW, kind: MessageKind = MessageKind.METRICS, run: int = 0, body: bytes = b"b"
) -> Envelope:
    return Envelope.sign(KEYS[author], run=bytes([run]) * 16, step=number, kind=kind, body=body)


def take(storage: RecordStorage, envelope: Envelope) -> Taken:
    value = DHTProtocol.serializer.dumps(envelope.encode())
    return storage.take(key_of(envelope), value, expiry_of(envelope.step))


@pytest.fixture
def clock() -> list[float]:
    return [NOW / 1000]


@pytest.fixture
def storage(clock: list[float]) -> RecordStorage:
    return RecordStorage(OWN.peer_id, RecordRules(lambda: clock[0]))


def test_only_a_higher_number_takes_the_place(storage: RecordStorage) -> None:
    assert take(storage, record(0)) is Taken.STORED
    assert take(storage, record(0, body=b"another")) is Taken.NOT_NEWER
    assert take(storage, record(0, NOW - 1)) is Taken.NOT_NEWER
    assert take(storage, record(0, NOW + 1)) is Taken.STORED
    held = storage.envelope(key_of(record(0)))
    assert held is not None and held.step == NOW + 1


def test_an_author_has_one_record_a_kind_whatever_the_run(storage: RecordStorage) -> None:
    for run in range(1, 200):
        assert take(storage, record(0, NOW + run, run=run)) is Taken.STORED
    assert take(storage, record(0, NOW + 1, run=201)) is Taken.NOT_NEWER
    assert take(storage, record(0, NOW, kind=MessageKind.JOIN)) is Taken.STORED
    assert len(storage) == 2


def test_records_of_strangers_are_not_even_verified(storage: RecordStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.known = lambda peer: peer == KEYS[0].peer_id
    verified: list[Envelope] = []
    monkeypatch.setattr(Envelope, "verify", lambda envelope: verified.append(envelope))
    assert take(storage, record(1)) is Taken.UNKNOWN
    assert take(storage, record(0)) is Taken.STORED
    assert take(storage, record(0)) is Taken.NOT_NEWER
    assert len(verified) == 1
    assert take(storage, Envelope.sign(OWN, run=bytes(16), step=NOW, kind=MessageKind.JOIN, body=b"")) is Taken.STORED


def test_records_of_authors_no_longer_known_are_forgotten(storage: RecordStorage) -> None:
    for author in (0, 1):
        take(storage, record(author))
    storage.known = lambda peer: peer == KEYS[0].peer_id
    storage.forget_unknown()
    assert [kept.envelope.author for kept in storage.data.values()] == [KEYS[0].peer_id]


def test_a_full_store_refuses_others_and_keeps_its_own(
    storage: RecordStorage, monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    monkeypatch.setattr(module, "MAX_RECORDS", 3)
    assert [take(storage, record(author)) for author in range(4)] == [Taken.STORED] * 3 + [Taken.FULL]
    assert take(storage, Envelope.sign(OWN, run=bytes(16), step=NOW, kind=MessageKind.JOIN, body=b"")) is Taken.STORED
    clock[0] += CLOCK_SLACK_SECONDS + 1
    assert take(storage, record(4, NOW + 60_000)) is Taken.STORED
    assert len(storage) == 1


def test_bytes_are_bounded_too(storage: RecordStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 10_000)
    taken = [take(storage, record(author, body=bytes(4000))) for author in range(4)]
    assert taken == [Taken.STORED] * 2 + [Taken.FULL] * 2
    assert take(storage, record(0, NOW + 1, body=b"")) is Taken.STORED
    assert take(storage, record(2, body=bytes(4000))) is Taken.STORED


def test_what_is_expired_is_neither_kept_nor_given(storage: RecordStorage, clock: list[float]) -> None:
    take(storage, record(0))
    clock[0] += CLOCK_SLACK_SECONDS + 1
    assert storage.get(key_of(record(0))) is None
    assert take(storage, record(0)) is Taken.NOT_NEWER
    assert take(storage, record(1)) is Taken.NOT_NEWER


def test_a_forged_record_takes_no_place(storage: RecordStorage) -> None:
    take(storage, record(0))
    good = record(0, NOW + 5)
    forged = Envelope(good.run, good.step, 0, good.kind, good.author, b"other", good.signature)
    assert take(storage, forged) is Taken.FORGED
    held = storage.envelope(key_of(good))
    assert held is not None and held.step == NOW


def test_a_reader_remembers_the_newest_that_is_genuine() -> None:
    newest = NewestRecords(RecordRules(lambda: NOW / 1000))
    good, older, later = record(0), record(0, NOW - 1), record(0, NOW + 1)
    forged = Envelope(later.run, later.step, 0, later.kind, later.author, b"x", later.signature)
    for envelope in (good, older):
        newest.offer(key_of(envelope), DHTProtocol.serializer.dumps(envelope.encode()), expiry_of(envelope.step))
    with pytest.raises(Malformed):
        newest.offer(key_of(forged), DHTProtocol.serializer.dumps(forged.encode()), expiry_of(forged.step))
    assert newest.get(key_of(good)) == good


def test_what_a_reader_remembers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("btard.transport.libp2p.newest.MAX_BYTES", 10_000)
    newest = NewestRecords(RecordRules(lambda: NOW / 1000))
    for author in range(4):
        for number in (NOW, NOW + 1):
            envelope = record(author, number, body=bytes(3000))
            newest.note(key_of(envelope), envelope)
    kept = [newest.get(key_of(record(author))) for author in range(4)]
    assert [envelope is not None for envelope in kept] == [False, False, True, True]
    assert newest.get(DHTID(0)) is None
