"""What must not happen to a training state on its way from several peers to one."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_DOWNLOAD = "tests/swarm/transfer/test_download.py"
_SHELF = "tests/swarm/transfer/test_shelf.py"
_SERVING = "tests/peer/test_serving.py"

TRANSFER = (
    Mutant(
        "a chunk is written without a look at its digest",
        "swarm/transfer/arrival.py",
        "if not self._outline.has(index, data):",
        "if False:",
        f"{_DOWNLOAD}::test_one_false_chunk_drops_its_sender_and_nothing_else",
    ),
    Mutant(
        "the outline of any peer is believed",
        "swarm/transfer/download.py",
        "if outline.digest != self._expected:",
        "if False:",
        f"{_DOWNLOAD}::test_an_outline_that_most_do_not_name_is_dropped",
    ),
    Mutant(
        "an outline may announce a state of any length",
        "btard/outline.py",
        "size = as_int(size, 1, most)",
        "size = as_int(size, 1, 2**62)",
        "tests/btard/test_outline.py::test_an_outline_travels_and_is_as_long_as_it_may_be",
    ),
    Mutant(
        "the digest of a whole does not cover its length",
        "btard/outline.py",
        'self.size.to_bytes(8, "big"), self.digests)',
        "self.digests)",
        "tests/btard/test_outline.py::test_the_length_is_part_of_the_digest",
    ),
    Mutant(
        "a liar is asked for another chunk",
        "swarm/transfer/download.py",
        "elif outcome is not _Outcome.BAD:",
        "else:",
        f"{_DOWNLOAD}::test_one_false_chunk_drops_its_sender_and_nothing_else",
    ),
    Mutant(
        "slow peers keep all seats",
        "swarm/transfer/download.py",
        "if len(self._asked) - len(late) >= SEATS",
        "if len(self._asked) >= SEATS",
        f"{_DOWNLOAD}::test_a_slow_peer_loses_its_seat_to_one_that_waits",
    ),
    Mutant(
        "a chunk that a slow peer owes is asked of nobody else",
        "swarm/transfer/download.py",
        "in_time = {request.index for task, request in self._asked.items() if task not in late}",
        "in_time = {request.index for task, request in self._asked.items()}",
        f"{_DOWNLOAD}::test_a_slow_peer_loses_its_seat_to_one_that_waits",
    ),
    Mutant(
        "all peers are asked at once",
        "swarm/transfer/download.py",
        "SEATS = 4",
        "SEATS = 64",
        f"{_DOWNLOAD}::test_no_more_than_four_peers_are_asked",
    ),
    Mutant(
        "a busy peer is dropped",
        "swarm/transfer/download.py",
        "            return _Outcome.BUSY\n",
        "            return _Outcome.BAD\n",
        f"{_DOWNLOAD}::test_a_peer_that_is_busy_is_asked_again",
    ),
    Mutant(
        "a download begins from nothing after an interruption",
        "swarm/transfer/arrival.py",
        "if not self._is_there(index, before)}",
        "}",
        f"{_DOWNLOAD}::test_an_interrupted_download_goes_on",
    ),
    Mutant(
        "what an earlier process has left is taken as it is",
        "swarm/transfer/arrival.py",
        "return end <= before and self._outline.has(",
        "return end <= before or self._outline.has(",
        f"{_DOWNLOAD}::test_an_interrupted_download_goes_on",
    ),
    Mutant(
        "a link in the place of an arriving state is followed",
        "swarm/transfer/arrival.py",
        " | os.O_NOFOLLOW",
        "",
        f"{_DOWNLOAD}::test_a_link_in_the_place_of_the_file_is_not_followed",
    ),
    Mutant(
        "a state is taken over that is another one once it is loaded",
        "swarm/transfer/download.py",
        "if digest != expected:",
        "if False:",
        f"{_DOWNLOAD}::test_a_state_that_cannot_be_loaded_is_no_success",
    ),
    Mutant(
        "every asker has the state serialised for it",
        "swarm/transfer/shelf.py",
        "if held is None:\n            held = ",
        "if True:\n            held = ",
        f"{_SHELF}::test_many_askers_share_one_serialisation",
    ),
    Mutant(
        "serialised states pile up",
        "swarm/transfer/shelf.py",
        "            self._make_room()\n",
        "",
        f"{_SHELF}::test_few_states_are_held_and_the_idlest_goes",
    ),
    Mutant(
        "a serialised state stays when nobody asks",
        "swarm/transfer/shelf.py",
        "if held.asked_at < since",
        "if False",
        f"{_SHELF}::test_what_nobody_asks_for_is_let_go",
    ),
    Mutant(
        "a state that has moved on is handed out under its old name",
        "swarm/transfer/shelf.py",
        "if found is not None and found.outline.digest == self.digest else None",
        "",
        f"{_SHELF}::test_another_state_than_the_wanted_one_is_not_handed_out",
    ),
    Mutant(
        "strangers are sent chunks",
        "peer/serving.py",
        "if self._returning.awaits(sender) or (self._head is not None and sender in self._head.roster.members):",
        "if True:",
        f"{_SERVING}::test_chunks_are_for_members_and_of_what_was_outlined",
    ),
    Mutant(
        "a tensor may begin anywhere in a state",
        "tasks/state_form.py",
        "if entry.start != at or ",
        "if ",
        "tests/tasks/test_hostile_states.py::test_tensors_neither_overlap_nor_leave_gaps",
    ),
    Mutant(
        "a state may be longer than its tensors",
        "tasks/state_form.py",
        "if at != len(data):",
        "if False:",
        "tests/tasks/test_hostile_states.py::test_tensors_neither_overlap_nor_leave_gaps",
    ),
)
