"""Bugs in the signed records of the DHT and its node ids."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

LIBP2P = "btard/transport/libp2p"
TESTS = "tests/btard/transport/libp2p"

RECORDS: tuple[Mutant, ...] = (
    Mutant(
        "an answer to a call that was given up ends hivemind's reader",
        f"{LIBP2P}/view.py",
        "waits is not None and not waits.done()",
        "waits is not None",
        f"{TESTS}/test_view.py::test_an_answer_to_a_cancelled_call_ends_nothing",
    ),
    Mutant(
        "a record is stored under any key",
        f"{LIBP2P}/record_rules.py",
        "if key != key_of(envelope).to_bytes():",
        "if False:",
        f"{TESTS}/test_records.py::test_nodes_refuse_what_is_not_the_authors",
    ),
    Mutant(
        "a record expires whenever its bringer says",
        f"{LIBP2P}/record_rules.py",
        "if expiration != expiry_of(envelope.step):",
        "if False:",
        f"{TESTS}/test_records.py::test_nodes_refuse_what_is_not_the_authors",
    ),
    Mutant(
        "nodes store for strangers",
        f"{LIBP2P}/storage.py",
        "if not self._keeps_for(envelope.author):",
        "if False:",
        f"{TESTS}/test_storage.py::test_records_of_strangers_are_not_even_verified",
    ),
    Mutant(
        "an author has a record for each run that it names",
        f"{LIBP2P}/storage.py",
        "if place in self._places:",
        "if False:",
        f"{TESTS}/test_storage.py::test_an_author_has_one_record_a_kind_whatever_the_run",
    ),
    Mutant(
        "what is stored is not verified",
        f"{LIBP2P}/storage.py",
        "            envelope.verify()\n",
        "            pass\n",
        f"{TESTS}/test_storage.py::test_a_forged_record_takes_no_place",
    ),
    Mutant(
        "what is read is not verified",
        f"{LIBP2P}/newest.py",
        "            envelope.verify()\n",
        "",
        f"{TESTS}/test_storage.py::test_a_reader_remembers_the_newest_that_is_genuine",
    ),
    Mutant(
        "a reader goes back to an older record",
        f"{LIBP2P}/newest.py",
        "if newest is None or envelope.step > newest.step:",
        "if True:",
        f"{TESTS}/test_storage.py::test_a_reader_remembers_the_newest_that_is_genuine",
    ),
    Mutant(
        "a number follows from the clock alone",
        f"{LIBP2P}/records.py",
        "number = max(number, last + 1 + int((time.monotonic() - at) * 1000))",
        "pass",
        f"{TESTS}/test_records.py::test_numbers_go_on_while_the_clock_stands_still",
    ),
    Mutant(
        "a restart forgets the number that the others hold",
        f"{LIBP2P}/records.py",
        "number = max(number, held.step + 1)",
        "pass",
        f"{TESTS}/test_records.py::test_nor_does_one_that_is_set_back_before_a_restart",
    ),
    Mutant(
        "a node's word that it has stored a record is enough",
        f"{LIBP2P}/records.py",
        "if found is not None and found.value == value:",
        "if True:",
        f"{TESTS}/test_records.py::test_a_word_that_it_is_stored_is_not_enough",
    ),
    Mutant(
        "the author is not asked for its own record",
        f"{LIBP2P}/records.py",
        "silent = await self._ask_authors(others)",
        "silent = list(others.values())",
        f"{TESTS}/test_records.py::test_the_author_itself_is_asked",
    ),
    Mutant(
        "a peer may have any node id",
        f"{LIBP2P}/dht.py",
        "if peer is None or node_id != node_id_of(peer) or node_id == self.node_id:",
        "if peer is None or node_id == self.node_id:",
        f"{TESTS}/test_dht.py::test_a_table_takes_a_peer_under_its_own_node_id_only",
    ),
    Mutant(
        "strangers stay in the routing table",
        f"{LIBP2P}/dht.py",
        "return self.known is None or self.known(peer)",
        "return True",
        f"{TESTS}/test_dht.py::test_a_table_stays_small_and_has_known_peers_only",
    ),
    Mutant(
        "nodes that did not answer once are never asked again",
        f"{LIBP2P}/records.py",
        "        await self._dht.seek_lost()\n",
        "",
        f"{TESTS}/test_dht.py::test_nodes_find_each_other_again_after_an_outage",
    ),
    Mutant(
        "nodes that an answer makes up are searched",
        f"{LIBP2P}/dht.py",
        "if node_id is not None and self.routing_table.admits(node_id, peer_id):",
        "if node_id is not None:",
        f"{TESTS}/test_dht.py::test_nodes_that_an_answer_makes_up_are_passed_over",
    ),
    Mutant(
        "a request may ask for as much as it likes",
        f"{LIBP2P}/dht.py",
        "if keys > MAX_KEYS or not self.allowances.spend(peer_id, keys):",
        "if False:",
        f"{TESTS}/test_dht.py::test_requests_for_too_much_are_refused",
    ),
    Mutant(
        "forged records cost their bringer nothing",
        f"{LIBP2P}/dht.py",
        "self.allowances.empty(context.remote_id)",
        "pass",
        f"{TESTS}/test_dht.py::test_forged_records_cost_their_bringer_its_allowance",
    ),
    Mutant(
        "a key that is in use is used",
        f"{LIBP2P}/twin.py",
        "    if in_use:\n",
        "    if False:\n",
        f"{TESTS}/test_twin.py::test_a_copied_key_is_refused_while_the_other_lives",
    ),
    Mutant(
        "a connection that lingers counts as a twin",
        f"{LIBP2P}/twin.py",
        "return await _ask_here(self._p2p, PeerID(raw))",
        "return True",
        f"{TESTS}/test_twin.py::test_a_twin_that_hangs_is_not_waited_for",
    ),
)
