"""Bugs in what stands between an address and a first step: dialling, waiting, lists of members, arithmetic."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

DISCOVER_TESTS = "tests/btard/transport/libp2p/test_discover.py"

ARRIVING: tuple[Mutant, ...] = (
    Mutant(
        "a full multiaddress that does not answer yet is not waited for",
        "btard/transport/libp2p/discover.py",
        "                await _meet(text)\n",
        "",
        f"{DISCOVER_TESTS}::test_a_full_multiaddress_has_to_answer_too",
    ),
    Mutant(
        "another peer at a full multiaddress is taken for the one that it names",
        "btard/transport/libp2p/discover.py",
        "if (other := split_maddr(found)[0]) != peer:",
        "if (other := split_maddr(found)[0]) == b'':",
        f"{DISCOVER_TESTS}::test_another_peer_at_a_full_multiaddress_is_named",
    ),
    Mutant(
        "an initial peer that only p2pd can reach is dialled once",
        "btard/transport/libp2p/node.py",
        "        if left <= 0:\n",
        "        if True:\n",
        "tests/btard/transport/libp2p/test_node.py::test_an_initial_peer_may_come_late_if_there_is_patience",
    ),
)
