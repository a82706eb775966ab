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
    Mutant(
        "a closed run takes in keys that it does not list",
        "swarm/door/door.py",
        "            (not manifest.admits(sender), Reply.NOT_LISTED),\n",
        "",
        "tests/swarm/door/test_door.py::test_the_door_of_a_closed_run_knows_its_list",
    ),
    Mutant(
        "a peer that is not on the list waits for ever at every door",
        "peer/meeting/joining.py",
        "    if not manifest.admits(me):\n",
        "    if False:\n",
        "tests/peer/meeting/test_joining.py::test_a_key_that_a_closed_run_does_not_list_is_refused",
    ),
    Mutant(
        "the manifest of an open run changes its bytes",
        "swarm/manifest.py",
        "        if not self.members:\n",
        "        if False:\n",
        "tests/swarm/test_manifest.py::test_a_list_of_members_is_left_out_where_there_is_none",
    ),
    Mutant(
        "one member that lies keeps a newcomer out",
        "peer/comparing.py",
        "or 2 * len(foreign) <= len(answers)",
        "",
        "tests/peer/test_comparing.py::test_a_minority_keeps_nobody_out",
    ),
    Mutant(
        "of two machines the newcomer is the wrong one",
        "peer/comparing.py",
        "LEAST_DECIDING = 2",
        "LEAST_DECIDING = 1",
        "tests/peer/test_comparing.py::test_a_minority_keeps_nobody_out",
    ),
    Mutant(
        "numbers are added up in a sketch without signs",
        "swarm/probe.py",
        "(chunk * (2.0 * bits - 1.0))",
        "chunk",
        "tests/swarm/test_probe.py::test_errors_that_cancel_each_other_are_told_too",
    ),
    Mutant(
        "a gradient that is no number is like any other",
        "swarm/probe.py",
        "return not mine.distance(theirs) <= manifest.convict",
        "return manifest.convict < mine.distance(theirs) < float('inf')",
        "tests/swarm/test_probe.py::test_what_is_not_finite_is_infinitely_far",
    ),
    Mutant(
        "members wait for a peer that does not begin",
        "peer/comparing.py",
        "    if transport.peer_id in roster.members:\n",
        "    if False:\n",
        "tests/peer/test_comparing.py::test_a_refused_member_lets_nobody_wait_for_it",
    ),
    Mutant(
        "the coordinator tells only once how many the first roster waits for",
        "coordinator/run/welcome.py",
        "tell_at = time.monotonic() + TELL_PERIOD_SECONDS",
        "tell_at = math.inf",
        "tests/coordinator/run/test_welcome.py::test_how_many_are_here_is_told_again_and_again",
    ),
    Mutant(
        "a peer waits for the first roster without a word",
        "peer/meeting/rosters.py",
        'logger.info("%s", awaited(len(directory.waiting), wanted))',
        "pass",
        "tests/peer/meeting/test_rosters.py::test_a_waiting_peer_tells_how_many_are_here",
    ),
    Mutant(
        "the page counts as waiting what has gone again",
        "coordinator/dashboard/model.py",
        'self._run["awaited"] = awaited(event.here, event.wanted)',
        "pass",
        "tests/coordinator/dashboard/test_model.py::test_a_run_begins",
    ),
)
