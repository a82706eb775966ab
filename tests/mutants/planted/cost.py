"""Bugs that make messages of strangers dear."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_LIVE = "tests/btard/transport/libp2p"

_STREAMS = (
    Mutant(
        "a flood is not charged for what its messages cost",
        "btard/transport/libp2p/incoming.py",
        "            self._gate[pipe].spend(seconds)\n\n    def _messages",
        "            pass\n\n    def _messages",
        f"{_LIVE}/test_floods.py::test_a_flood_of_one_author_costs_its_share_and_no_more",
    ),
    Mutant(
        "each stranger has a budget of its own",
        "btard/transport/libp2p/gate.py",
        "return self._found_in(self._strangers, asks)",
        "return self._found_in(self._members, peer)",
        f"{_LIVE}/test_floods.py::test_all_strangers_share_what_one_member_has",
    ),
    Mutant(
        "a stream that was let through goes on although the budget is used up",
        "btard/transport/libp2p/gate.py",
        "            if not pipe.paused:\n",
        "            if not pipe.paused and not self.closed:\n",
        f"{_LIVE}/test_floods.py::test_a_flood_of_one_author_costs_its_share_and_no_more",
    ),
    Mutant(
        "a debt is forgiven",
        "btard/transport/libp2p/budget.py",
        "            self._pays_until += units / self._rate * slower\n",
        "",
        f"{_LIVE}/test_budget.py::test_what_is_spent_while_paying_is_added_to_the_debt",
    ),
    Mutant(
        "questions cost whoever asks them nothing",
        "btard/transport/libp2p/fetch.py",
        "self._gates.of(sender, asks=True).spend(seconds)",
        "pass",
        f"{_LIVE}/test_floods.py::test_questions_are_paid_for_by_whoever_asks",
    ),
    Mutant(
        "parts that turn out useless are free",
        "btard/transport/libp2p/incoming.py",
        "                if useless:\n",
        "                if False:\n",
        f"{_LIVE}/test_floods.py::test_a_part_that_turns_out_useless_is_paid_for",
    ),
    Mutant(
        "whoever sends the same wrong part again and again is not told apart",
        "btard/round/step.py",
        "return self.attempt.complete(sender, envelope, digest) is None",
        "self.attempt.complete(sender, envelope, digest)\n            return False",
        "tests/btard/round/test_session.py::test_only_what_is_not_as_announced_is_useless",
    ),
    Mutant(
        "nobody pays for what is looked at together",
        "btard/transport/driver.py",
        "if spoke and self._charge is not None:",
        "if False and self._charge is not None:",
        "tests/btard/transport/test_driver.py::test_whoever_spoke_is_charged_for_what_is_looked_at",
    ),
    Mutant(
        "streams may be opened and closed without end",
        "btard/transport/libp2p/incoming.py",
        "            self._disconnect(sender)\n",
        "",
        f"{_LIVE}/test_floods.py::test_who_opens_too_many_streams_is_disconnected",
    ),
    Mutant(
        "strangers take the slots of members",
        "btard/transport/libp2p/fetch.py",
        "slots = self._strangers if stranger else self._members",
        "slots = self._strangers",
        f"{_LIVE}/test_answers.py::test_strangers_can_only_take_the_slots_of_strangers",
    ),
    Mutant(
        "small answers need a slot",
        "btard/transport/libp2p/fetch.py",
        "elif len(payload) <= self._limits.small_answer:",
        "elif not payload:",
        f"{_LIVE}/test_answers.py::test_strangers_can_only_take_the_slots_of_strangers",
    ),
    Mutant(
        "whoever reads almost nothing keeps its slot",
        "btard/transport/libp2p/pipe.py",
        "left - self.unread < least:",
        "left - self.unread < 1:",
        f"{_LIVE}/test_streams.py::test_a_reader_below_the_rate_is_given_up",
    ),
    Mutant(
        "a question may take for ever to be asked",
        "btard/transport/libp2p/fetch.py",
        "asyncio.get_running_loop().time() + self._limits.request_timeout",
        "math.inf",
        f"{_LIVE}/test_answers.py::test_who_asks_byte_by_byte_is_dropped",
    ),
    Mutant(
        "answers that are read slowly pin memory without bound",
        "btard/transport/libp2p/slots.py",
        "while self.held > self._most_bytes:",
        "while False:",
        f"{_LIVE}/test_slots.py::test_the_oldest_answers_make_room_for_new_ones",
    ),
    Mutant(
        "idle connections hide the page",
        "peer/telemetry/server.py",
        "        if not (silent or slow):\n",
        "        if True:\n",
        "tests/coordinator/dashboard/test_server.py::test_idle_connections_do_not_hide_the_page",
    ),
    Mutant(
        "streams of events that nobody reads hide the run",
        "coordinator/dashboard/server.py",
        "        if not losers:\n",
        "        if True:\n",
        "tests/coordinator/dashboard/test_server.py::test_streams_that_nobody_reads_do_not_hide_the_page",
    ),
)

COST: tuple[Mutant, ...] = _STREAMS
