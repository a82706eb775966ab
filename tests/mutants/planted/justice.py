"""Bugs in how stages that lie are found out, judged and banned."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_MACHINE = "tests/pipeline/machine/test_machine.py"
_COURT = "tests/pipeline/justice/test_court.py"
_EVIDENCE = "tests/pipeline/justice/test_evidence.py"

JUSTICE: tuple[Mutant, ...] = (
    Mutant(
        "a gradient that was sent back is not compared with the duplicate's",
        "pipeline/step/passes.py",
        "if not right:",
        "if False:",
        f"{_MACHINE}::test_every_backward_lie_is_noticed_and_passed_by",
    ),
    Mutant(
        "nobody compares a row with the duplicate's",
        "pipeline/step/rows.py",
        "if same or context.",
        "if True or context.",
        f"{_COURT}::test_each_lie_costs_its_author_the_seat",
    ),
    Mutant(
        "a pledge of another state is believed",
        "pipeline/justice/expected_states.py",
        "right = Pledge.decode(pledge.payload).state == state",
        "right = True",
        f"{_COURT}::test_each_lie_costs_its_author_the_seat",
    ),
    Mutant(
        "a drawn stage believes what it was to compute again",
        "pipeline/justice/audit.py",
        "return digest(own) == shown.signed.header.payload",
        "return True",
        f"{_COURT}::test_drawn_checks_find_what_any_stage_sends",
    ),
    Mutant(
        "an alarm leaves its step in the caches",
        "pipeline/machine/machine.py",
        "        context.channels.roll_back()\n",
        "",
        "tests/pipeline/step/test_channels.py::test_lies_and_skips_leave_all_caches_equal",
    ),
    Mutant(
        "the last stage alone can empty a seat",
        "pipeline/machine/machine.py",
        "if not set(empty) <= self._court.banned:",
        "if False:",
        f"{_COURT}::test_the_last_stage_alone_bans_nobody",
    ),
    Mutant(
        "a verdict is not judged again",
        "pipeline/justice/court.py",
        "if verdict.liar != found.liar:",
        "if False:",
        f"{_COURT}::test_a_judge_that_names_the_innocent_is_banned_too",
    ),
    Mutant(
        "a seal may open another pledge",
        "pipeline/step/sealing.py",
        "return link == pledged",
        "return True",
        "tests/pipeline/step/test_sealing.py::test_each_attempt_uncovers_one_more_link",
    ),
    Mutant(
        "a message may show that it was computed from anything",
        "pipeline/machine/inbox.py",
        "or told.payload != header.basis",
        "or False",
        "tests/pipeline/machine/test_messages.py::test_what_a_message_was_computed_from_is_signed",
    ),
    Mutant(
        "two headers of different places make two faces",
        "pipeline/justice/accusation.py",
        "if self.other.header == told or place_of(self.other.header) != place_of(told):",
        "if False:",
        "tests/pipeline/justice/test_accusation.py::test_two_faces_are_two_headers_for_one_place",
    ),
    Mutant(
        "a judge believes every alarm",
        "pipeline/justice/judgement.py",
        "return digest(own) != header.payload",
        "return True",
        f"{_EVIDENCE}::test_evidence_comes_back_as_it_was",
    ),
    Mutant(
        "a judge takes activations that the accuser has made up",
        "pipeline/justice/judgement.py",
        "        header.verify(roster[told.stage])\n",
        "",
        f"{_EVIDENCE}::test_a_case_that_proves_nothing_falls_on_its_author",
    ),
    Mutant(
        "a judge takes any weights",
        "pipeline/justice/judgement.py",
        "if state_digest(digest(case.weights), optimizer, case.scale) != pledge.state:",
        "if False:",
        f"{_EVIDENCE}::test_a_case_that_proves_nothing_falls_on_its_author",
    ),
    Mutant(
        "a judge takes any micro-batches",
        "pipeline/justice/judgement.py",
        "or pledge.batches != batches_digest(case.batches, case.samples)",
        "",
        f"{_EVIDENCE}::test_a_case_that_proves_nothing_falls_on_its_author",
    ),
    Mutant(
        "a judge takes any plan",
        "pipeline/justice/judgement.py",
        "if pledge.facts != facts.digest:",
        "if False:",
        f"{_EVIDENCE}::test_a_case_that_proves_nothing_falls_on_its_author",
    ),
    Mutant(
        "a judge takes what is shown of a cache",
        "pipeline/justice/retrial.py",
        "if boundary.kept(samples, piece.inward.form) != given.header.kept:",
        "if False:",
        f"{_EVIDENCE}::test_a_case_that_proves_nothing_falls_on_its_author",
    ),
    Mutant(
        "anybody files a case in another stage's name",
        "pipeline/justice/judgement.py",
        "    filed.verify(roster[accuser], alarm)\n",
        "",
        f"{_EVIDENCE}::test_only_the_accuser_files_its_case",
    ),
    Mutant(
        "text of a stranger that is no ASCII ends the reader of evidence",
        "btard/identity/codec.py",
        "except ValueError as error:  # a character",
        "except LookupError as error:  # a character",
        "tests/pipeline/justice/test_evidence.py::test_any_text_in_a_field_is_malformed_at_most",
    ),
)
