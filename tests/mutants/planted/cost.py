"""Bugs that make messages of strangers dear."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_COSTS = "tests/fuzz/test_costs.py"
_ROUND = "tests/btard/round"

_MESSAGES = (
    Mutant(
        "messages longer than an honest one can be are read",
        "btard/round/intake.py",
        "if author not in attempt.known or heading.size > attempt.caps.body[kind]:",
        "if author not in attempt.known:",
        f"{_COSTS}::test_known_attacks_cost_no_more_than_their_size_allows[few members-13]",
    ),
    Mutant(
        "a member is read however often it speaks",
        "btard/round/intake.py",
        "return self._heard[kind, author] <= attempt.caps.count[kind]",
        "return True",
        f"{_COSTS}::test_of_one_author_no_more_is_read_than_an_honest_one_sends",
    ),
    Mutant(
        "who has carried a forgery may carry more",
        "btard/round/intake.py",
        "self._muted.add(envelope.author)",
        "pass",
        f"{_COSTS}::test_after_a_false_signature_nothing_more_is_verified",
    ),
    Mutant(
        "signatures of attachments are verified before it is looked at what they are",
        "btard/round/form.py",
        "return _report_fault(outer, message)",
        "return None",
        f"{_COSTS}::test_foreign_attachments_are_refused_before_any_signature_of_theirs",
    ),
    Mutant(
        "what is carried again is verified again",
        "btard/round/attachments.py",
        "if data not in self._read:",
        "if True:",
        f"{_ROUND}/test_attachments.py::test_what_is_carried_again_is_not_verified_again",
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
        "                attempt.accuse_malformed(envelope)\n",
        "                pass\n",
        f"{_ROUND}/test_malformed.py::test_junk_in_an_attempt_bans[12-to all]",
    ),
    Mutant(
        "a header that cannot be read is refused, and its author stays",
        "btard/round/step.py",
        "if envelope.author == sender and form_fault(envelope) is not None and envelope.is_genuine():",
        "if False:",
        f"{_ROUND}/test_session.py::test_headers_that_cannot_be_read_get_no_buffer_and_are_a_proof[junk-2]",
    ),
    Mutant(
        "a malformed report that one member has heard is not relayed",
        "btard/round/void.py",
        "for envelope in self._attempt.malformed.values() if envelope.kind in _JUDGED]",
        "for envelope in self._attempt.malformed.values() if False]",
        f"{_ROUND}/test_void.py::test_a_malformed_report_is_relayed_to_all",
    ),
    Mutant(
        "what is malformed in the last relays is forgotten",
        "btard/round/step.py",
        "self.attempt.accuse_still(attempt.malformed.values())",
        "self.attempt.accuse_still(())",
        f"{_ROUND}/test_malformed.py::test_junk_in_court_bans[6-6-to all]",
    ),
    Mutant(
        "a false signature among the attachments of a report is no offence",
        "btard/round/attempt.py",
        'return f"attaches what its author has not signed: {error}"',
        "return None",
        "tests/byzantine/test_verdicts.py::test_verdict[FORGED_ATTACHMENT]",
    ),
    Mutant(
        "an honest report attaches one message twice",
        "btard/round/told.py",
        "envelope.is_genuine() and place.admit(data, envelope):",
        "envelope.is_genuine():",
        f"{_ROUND}/test_told.py::test_a_report_attaches_nothing_twice_and_nothing_that_is_an_offence",
    ),
)

COST: tuple[Mutant, ...] = (*_MESSAGES,)
