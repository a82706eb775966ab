"""A peer that is started again finds the members that it knew, of the same run, and nobody else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from btard.identity import IdentityKey
from btard.peer.meeting import acquaintances as module
from btard.peer.meeting.acquaintances import ACQUAINTANCES_FILE, MAX_ACQUAINTANCES, AcquaintanceBook, Acquaintances
from btard.transport.libp2p import NoAnswer
from tests.peer.helpers import KEYS, PEERS, signed_manifest

MANIFEST = signed_manifest(KEYS[0], b"{}")
NAMED = ("host:31337",)
WHERE = ("/ip4/10.0.0.1/tcp/41", "/ip6/::1/tcp/42", "/dns4/host/tcp/43")


def noted(directory: Path, named: Sequence[str] = NAMED) -> AcquaintanceBook:
    """Peers 1 to 3 are known, and peer 4 is not."""
    memory = AcquaintanceBook(directory, MANIFEST, named)
    memory.note(PEERS[1:5], {peer: (address,) for peer, address in zip(PEERS[1:4], WHERE, strict=True)})
    return memory


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The peer that answers at each address of those that do."""
    table: dict[str, str] = {}

    async def resolve(texts: Sequence[str], timeout_seconds: float) -> list[str]:
        if not any(text in table for text in texts):
            raise NoAnswer("nobody")
        return [f"/ip4/10.0.0.9/tcp/9/p2p/{table[text]}" for text in texts if text in table]

    monkeypatch.setattr(module, "resolve_initial_peers", resolve)
    return table


async def test_members_that_answer_are_found_again(tmp_path: Path, answering: dict[str, str]) -> None:
    noted(tmp_path)
    known = Acquaintances.read(tmp_path, NAMED)
    assert known is not None and known.belong_to(MANIFEST)
    assert await known.alive() == []
    answering |= {"10.0.0.1:41": str(PEERS[1]), "[::1]:42": str(PEERS[2])}
    assert [maddr.rpartition("/")[2] for maddr in await known.alive()] == [str(PEERS[1]), str(PEERS[2])]


async def test_another_peer_at_the_address_is_not_taken_for_them(tmp_path: Path, answering: dict[str, str]) -> None:
    noted(tmp_path)
    known = Acquaintances.read(tmp_path, NAMED)
    answering |= {"10.0.0.1:41": str(IdentityKey.generate().peer_id), "host:43": str(PEERS[3])}
    assert known is not None
    assert [maddr.rpartition("/")[2] for maddr in await known.alive()] == [str(PEERS[3])]


def test_other_initial_peers_are_another_matter(tmp_path: Path) -> None:
    noted(tmp_path)
    assert Acquaintances.read(tmp_path, ("other:31337",)) is None
    assert Acquaintances.read(tmp_path / "none", NAMED) is None


@pytest.mark.parametrize("other", [signed_manifest(KEYS[1], b"{}"), signed_manifest(KEYS[0], b"{}", run=bytes(16))])
def test_another_run_is_told_from_theirs(tmp_path: Path, other: object) -> None:
    noted(tmp_path)
    known = Acquaintances.read(tmp_path, NAMED)
    assert known is not None and not known.belong_to(other)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "{}", '{"run":"","coordinator":"","named":["host:31337"],"maddrs":["nonsense"]}'])
def test_a_damaged_file_is_left_out(tmp_path: Path, text: str) -> None:
    (tmp_path / ACQUAINTANCES_FILE).write_text(text)
    assert Acquaintances.read(tmp_path, NAMED) is None


def test_it_is_written_when_something_has_changed(tmp_path: Path) -> None:
    memory = noted(tmp_path)
    path = tmp_path / ACQUAINTANCES_FILE
    path.unlink()
    memory.note(PEERS[1:3], {})
    noted_again = {peer: (address,) for peer, address in zip(PEERS[1:4], WHERE, strict=True)}
    memory.note(PEERS[1:4], noted_again)
    assert not path.exists()
    memory.note(PEERS[1:3], noted_again)
    known = Acquaintances.read(tmp_path, NAMED)
    assert known is not None and len(known.maddrs) == 2


def test_a_bounded_number_is_remembered(tmp_path: Path) -> None:
    peers = [IdentityKey.generate().peer_id for _ in range(MAX_ACQUAINTANCES + 5)]
    AcquaintanceBook(tmp_path, MANIFEST, NAMED).note(peers, dict.fromkeys(peers, WHERE[:1]))
    known = Acquaintances.read(tmp_path, NAMED)
    assert known is not None and len(known.maddrs) == MAX_ACQUAINTANCES
