"""Where a restarted coordinator finds the swarm: only what members say of themselves, and only what can be dialled."""

from __future__ import annotations

import json
import time

import pytest

from btard.coordinator.network.address_book import MAX_BOOTSTRAP, AddressBook, remembered_addresses
from btard.coordinator.run_directory import RunDirectory
from btard.identity import MessageKind
from btard.swarm.records.record import Join
from tests.coordinator.swarm import FINGERPRINT, MemoryNetwork, identity, manifest, roster

RUN = manifest()


def maddr(number: int, port: int = 9) -> str:
    return f"/ip4/127.0.0.1/tcp/{port}/p2p/{identity(number).peer_id}"


def announce(network: MemoryNetwork, number: int, *maddrs: str) -> None:
    join = Join(fingerprint=FINGERPRINT, maddrs=list(maddrs), time=time.time())
    network.put(join.sign(identity(number), RUN.run, MessageKind.JOIN))


async def test_members_addresses_are_remembered(directory: RunDirectory) -> None:
    network = MemoryNetwork(RUN)
    book = AddressBook(network, RUN, directory)
    announce(network, 1, maddr(1), maddr(1, 10))
    announce(network, 2, "nonsense", "/ip4/127.0.0.1/tcp/9", maddr(1), maddr(2))
    announce(network, 3, maddr(3))
    await book.refresh(roster(0, 1, 2))
    assert sorted(json.loads(directory.addresses_file.read_text())) == sorted([maddr(1), maddr(1, 10), maddr(2)])
    assert sorted(remembered_addresses(directory.addresses_file)) == sorted([maddr(1), maddr(2)])
    network.records.clear()
    await book.refresh(roster(1, 1, 2))
    assert len(remembered_addresses(directory.addresses_file)) == 2
    await book.refresh(roster(2, 1))
    assert remembered_addresses(directory.addresses_file) == [maddr(1)]


@pytest.mark.parametrize("text", ["", "{", "{}", "[1, null]", '["/ip4/x"]'])
def test_files_that_say_nothing(directory: RunDirectory, text: str) -> None:
    assert remembered_addresses(directory.addresses_file) == []
    directory.addresses_file.write_text(text)
    assert remembered_addresses(directory.addresses_file) == []


def test_a_few_are_enough(directory: RunDirectory) -> None:
    directory.save_addresses([maddr(number) for number in range(1, 100)])
    assert len(remembered_addresses(directory.addresses_file)) == MAX_BOOTSTRAP
