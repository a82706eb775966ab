"""Bugs that make messages of strangers dear."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_COSTS = "tests/fuzz/test_costs.py"
_ROUND = "tests/btard/round"

_MESSAGES = (
    Mutant(
        "messages longer than an honest one can be are read",
        "btard/round/delivery/intake.py",
        "if author not in seats.known or heading.size > seats.caps.body[kind]:",
        "if author not in seats.known:",
        f"{_COSTS}::test_known_attacks_cost_no_more_than_their_size_allows[few members-13]",
    ),
    Mutant(
        "a member is read however often it speaks",
        "btard/round/delivery/intake.py",
        "return self._heard[kind, author] <= seats.caps.count[kind]",
        "return True",
        f"{_COSTS}::test_of_one_author_no_more_is_read_than_an_honest_one_sends",
    ),
    Mutant(
        "a peer that has carried a forgery may carry more",
        "btard/round/delivery/intake.py",
        "self._muted.add(envelope.author)",
        "pass",
        f"{_COSTS}::test_after_a_false_signature_nothing_more_is_verified",
    ),
    Mutant(
        "signatures of attachments are verified before it is looked at what they are",
        "btard/round/messages/form.py",
        "return _report_fault(outer, message)",
        "return None",
        f"{_COSTS}::test_foreign_attachments_are_refused_before_their_signatures",
    ),
    Mutant(
        "what is carried again is verified again",
        "btard/round/messages/attachments.py",
        "if data not in self._read:",
        "if True:",
        f"{_ROUND}/messages/test_attachments.py::test_what_is_carried_again_is_not_verified_again",
    ),
    Mutant(
        "a value of many small things is decoded",
        "btard/identity/codec.py",
        "        _weigh(data)\n",
        "",
        "tests/btard/identity/test_codec.py::test_a_value_that_takes_many_times_its_bytes_is_refused[empty lists]",
    ),
    Mutant(
        "a number is read in a longer form than it needs",
        "btard/identity/codec.py",
        "        if value < above:\n",
        "        if False:\n",
        "tests/btard/identity/test_codec.py::test_a_reader_refuses_what_the_codec_would_not_write[1 in two bytes]",
    ),
    Mutant(
        "a message that cannot be read is dropped, and its author stays",
        "btard/round/step.py",
        "                attempt.said.accuse_malformed(envelope)\n",
        "                pass\n",
        f"{_ROUND}/test_malformed.py::test_junk_in_an_attempt_bans[12-to all]",
    ),
    Mutant(
        "a header that cannot be read is refused, and its author stays",
        "btard/round/delivery/arrivals.py",
        "convicts = envelope.author == sender and form_fault(envelope) is not None and envelope.is_genuine()",
        "convicts = False",
        f"{_ROUND}/test_headers.py::test_unreadable_headers_get_no_buffer_and_are_a_proof[junk-2]",
    ),
    Mutant(
        "a malformed report that one member has heard is not agreed on",
        "btard/round/failure/settlement.py",
        "for one in new or [envelope]))",
        "for one in new))",
        f"{_ROUND}/failure/test_settlement.py::test_a_malformed_report_is_agreed_on_by_all",
    ),
    Mutant(
        "what is malformed in the last relays is forgotten",
        "btard/round/step.py",
        "self.attempt.said.accuse_still(attempt.said.malformed.values())",
        "self.attempt.said.accuse_still(())",
        f"{_ROUND}/test_malformed.py::test_junk_in_court_bans[6-6-to all]",
    ),
    Mutant(
        "a false signature among the attachments of a report is no offence",
        "btard/round/attempt/said.py",
        'return f"attaches what its author has not signed: {error}"',
        "return None",
        "tests/byzantine/test_verdicts.py::test_verdict[FORGED_ATTACHMENT]",
    ),
    Mutant(
        "an honest report attaches one message twice",
        "btard/round/failure/told.py",
        "envelope.is_genuine() and place.admit(data, envelope):",
        "envelope.is_genuine():",
        f"{_ROUND}/failure/test_told.py::test_an_honest_report_attaches_nothing_twice_and_no_offence",
    ),
)

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
        "questions cost the asker nothing",
        "btard/transport/libp2p/fetch.py",
        "self._gates.of(sender, asks=True).spend(seconds)",
        "pass",
        f"{_LIVE}/test_floods.py::test_the_asker_pays_for_its_questions",
    ),
    Mutant(
        "parts that turn out useless are free",
        "btard/transport/libp2p/incoming.py",
        "                if useless:\n",
        "                if False:\n",
        f"{_LIVE}/test_floods.py::test_a_part_that_turns_out_useless_is_paid_for",
    ),
    Mutant(
        "a peer that sends the same wrong part again and again is not told apart",
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
        "tests/btard/transport/test_driver.py::test_the_author_is_charged_for_the_look_at_its_message",
    ),
    Mutant(
        "streams may be opened and closed without end",
        "btard/transport/libp2p/incoming.py",
        "            self._disconnect(sender)\n",
        "",
        f"{_LIVE}/test_floods.py::test_a_peer_that_opens_too_many_streams_is_disconnected",
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
        "a peer that reads almost nothing keeps its slot",
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
        f"{_LIVE}/test_answers.py::test_a_stream_that_asks_byte_by_byte_is_dropped",
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
        "swarm/http/server.py",
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
    Mutant(
        "strangers have the training state made for them",
        "peer/serving.py",
        "if sender not in self._head.roster.members:",
        "if False:",
        "tests/peer/test_serving.py::test_only_members_get_what_has_to_be_made",
    ),
)

COST: tuple[Mutant, ...] = (*_MESSAGES, *_STREAMS)
