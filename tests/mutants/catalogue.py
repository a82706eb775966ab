"""The planted bugs: what is wrong, where, and which test finds it."""

from __future__ import annotations

from dataclasses import dataclass

ROUND = "tests/btard/round"


@dataclass(frozen=True)
class Mutant:
    """One planted bug.

    Attributes:
        name: what is wrong, in words.
        file: the source file, from the top of the repository.
        old: text that occurs in it once.
        new: what it is replaced by.
        test: the pytest node that passes without the bug and fails with it.
    """

    name: str
    file: str
    old: str
    new: str
    test: str


MUTANTS = (
    Mutant(
        "verification 1 is left out: owners do not compare products and norms with the rows",
        "btard/round/measure.py",
        "if peer != attempt.me and is_false(attempt, peer, attempt.my_part, attempt.column[peer], ACCUSE_FACTOR):",
        "if False:",
        f"{ROUND}/test_measure.py::test_false_numbers_ban_whoever_publishes_them[a norm]",
    ),
    Mutant(
        "verification 2 tolerates sums a thousand times too large",
        "btard/round/measure.py",
        "ACCUSE_FACTOR * column_tolerance(attempt, part)",
        "1e3 * column_tolerance(attempt, part)",
        f"{ROUND}/test_check.py::test_an_aggregate_beside_the_true_one_is_found_by_its_sum[0.001]",
    ),
    Mutant(
        "verification 3 is left out: doubts of most collect nothing again",
        "btard/round/check.py",
        "if 2 * count > len(attempt.workers)]",
        "if False]",
        f"{ROUND}/test_check.py::test_doubts_of_more_than_half_have_a_part_collected_again[4-49]",
    ),
    Mutant(
        "no witness looks at an owner's own row",
        "btard/round/check.py",
        "if row is not None and item not in self._looked_at:",
        "if False:",
        f"{ROUND}/test_check.py::test_a_balanced_sum_is_found_by_the_witness_of_the_owners_own_row[witnessed-0.05]",
    ),
    Mutant(
        "what a witness finds is forgotten",
        "btard/round/check.py",
        "if is_false(self._attempt, owner, part, true, ACCUSE_FACTOR):",
        "if False:",
        f"{ROUND}/test_check.py::test_a_balanced_sum_is_found_by_the_witness_of_the_owners_own_row[witnessed-0.05]",
    ),
    Mutant(
        "signatures are not verified",
        "btard/identity/envelope.py",
        "    envelope = Envelope._decode(data)\n    envelope.verify()\n",
        "    envelope = Envelope._decode(data)\n",
        f"{ROUND}/test_certificate.py::test_a_forged_signature_does_not_survive_decoding",
    ),
    Mutant(
        "a share of randomness is not compared with its commitment",
        "btard/round/stopping.py",
        "pairs += false_reveals",
        "pairs += []",
        f"{ROUND}/test_randomness.py::test_whoever_opens_another_share_is_banned_by_its_signatures[chooses late]",
    ),
    Mutant(
        "a commitment to a share is not bound to its author",
        "btard/round/randomness.py",
        'return tagged_digest("btard share commitment", context, peer, share, salt)',
        'return tagged_digest("btard share commitment", context, share, salt)',
        f"{ROUND}/test_randomness.py::test_whoever_opens_another_share_is_banned_by_its_signatures[copies]",
    ),
    Mutant(
        "the draw is not bound to the attempt",
        "btard/round/randomness.py",
        'return tagged_digest("btard randomness", context, total',
        'return tagged_digest("btard randomness", total',
        f"{ROUND}/test_randomness.py::test_the_order_of_shares_does_not_matter_and_each_of_them_does",
    ),
    Mutant(
        "a repeated draw has no further validator",
        "btard/round/settle.py",
        "redraw=attempt.is_majority(",
        "redraw=False and attempt.is_majority(",
        f"{ROUND}/test_randomness.py::"
        "test_whoever_spoils_a_draw_loses_its_place_and_the_next_draw_has_one_validator_more",
    ),
    Mutant(
        "a step ends although not all have signed the same digest",
        "btard/round/agree.py",
        "return len(self.attempt.digests) == len(self.attempt.members) and not self.missing()",
        "return self.attempt.is_majority(len(self.attempt.digests))",
        f"{ROUND}/test_step.py::test_a_digest_that_reached_one_member_only_divides_nobody[7]",
    ),
    Mutant(
        "parts leave before all commitments are here",
        "btard/round/commit.py",
        "return len(self._attempt.commits) == len(self._attempt.members) and not self.missing()",
        "return self._attempt.me in self._attempt.commits",
        f"{ROUND}/test_session.py::test_no_part_leaves_before_every_commitment_is_here",
    ),
    Mutant(
        "half of the voters of an attempt are a majority",
        "btard/round/attempt.py",
        "return 2 * count > len(self.voters)",
        "return 2 * count >= len(self.voters)",
        f"{ROUND}/test_settle.py::test_half_of_the_members_is_not_more_than_half",
    ),
    Mutant(
        "half of a roster is a majority",
        "btard/round/roster.py",
        "return 2 * len(self.voters.intersection(peers)) > len(self.voters)",
        "return 2 * len(self.voters.intersection(peers)) >= len(self.voters)",
        f"{ROUND}/test_certificate.py::test_half_is_no_majority",
    ),
    Mutant(
        "a certificate needs no majority",
        "btard/round/agree.py",
        "if not roster.is_majority(members):",
        "if False:",
        f"{ROUND}/test_certificate.py::test_fewer_than_most_prove_nothing",
    ),
    Mutant(
        "a peer may be drawn to validate itself or be a target while it validates",
        "btard/round/draw.py",
        "[peer for peer in eligible if peer not in targets]",
        "eligible",
        f"{ROUND}/test_draw.py::test_validators_are_never_targets_and_two_voters_always_work",
    ),
    Mutant(
        "a banned key is admitted again",
        "btard/round/roster.py",
        "tuple(sorted((stayed | set(joined)) - all_banned))",
        "tuple(sorted((stayed - all_banned) | set(joined)))",
        f"{ROUND}/test_roster.py::test_a_banned_key_is_never_admitted_again",
    ),
    Mutant(
        "newcomers vote during their probation",
        "btard/round/roster.py",
        "return frozenset(self.members) - self.newcomers",
        "return frozenset(self.members)",
        f"{ROUND}/test_roster.py::test_a_newcomer_has_no_vote_before_its_probation_is_over",
    ),
    Mutant(
        "a newcomer takes a voter along when it complains, in the paper's mode",
        "btard/round/disputes.py",
        "{peer for peer in (accuser, accused) if peer not in voters} or {accuser, accused}",
        "{accuser, accused}",
        f"{ROUND}/test_settle.py::test_in_the_papers_mode_a_newcomer_takes_no_voter_along",
    ),
    Mutant(
        "votes of those who have none count in court",
        "btard/round/settle.py",
        "        if voter in attempt.voters\n        and any(b.accuser",
        "        if any(b.accuser",
        f"{ROUND}/test_settle_court.py::test_votes_of_those_who_have_none_do_not_count",
    ),
    Mutant(
        "votes of strangers count in evidence",
        "btard/round/proof.py",
        "if envelope.kind is not MessageKind.VOTE or envelope.author not in attempt.voters:",
        "if envelope.kind is not MessageKind.VOTE:",
        f"{ROUND}/test_proof_votes.py::test_votes_of_strangers_and_of_other_courts_do_not_count",
    ),
    Mutant(
        "a false accuser goes unpunished",
        "btard/round/settle.py",
        "bans.append(Ban(accuser, Offence.FALSE_ACCUSATION, signed + tuple(innocent), charge, accuser))",
        "pass",
        f"{ROUND}/test_settle_court.py::test_an_accuser_of_the_innocent_is_banned",
    ),
    Mutant(
        "a charge is heard again and again",
        "btard/round/settle.py",
        "if charge is None or author not in attempt.voters or (author, charge) in seen:",
        "if charge is None or author not in attempt.voters:",
        f"{ROUND}/test_settle_court.py::test_the_court_hears_each_accuser_once",
    ),
    Mutant(
        "who was told something else is convicted for it",
        "btard/round/settle.py",
        "    misled = _tells_two_stories(",
        "    misled = False and _tells_two_stories(",
        f"{ROUND}/test_measure.py::test_who_was_told_false_numbers_alone_is_no_false_accuser",
    ),
    Mutant(
        "of two contradicting reports the first to come counts",
        "btard/round/void.py",
        "for author, (_, report) in self._reports.items() if author not in self._contradictions}",
        "for author, (_, report) in self._reports.items()}",
        f"{ROUND}/test_void.py::test_of_two_contradicting_reports_neither_counts",
    ),
    Mutant(
        "who stops because of a report does not say which",
        "btard/round/void.py",
        "proofs = sorted(self._reasons(), key=lambda reason: len(reason.body))[:1]",
        "pass",
        f"{ROUND}/test_void.py::test_who_stops_because_of_a_report_shows_it",
    ),
    Mutant(
        "two different signed messages are taken for one",
        "btard/round/attempt.py",
        "        if first is not envelope and first.content_digest() != envelope.content_digest():",
        "        if False:",
        f"{ROUND}/test_attempt.py::test_the_first_message_of_a_kind_counts_and_a_second_is_a_contradiction",
    ),
    Mutant(
        "a part is accepted whatever its bytes hash to",
        "btard/round/attempt.py",
        "if digest != announced or (promised is not None and promised != digest):",
        "if False:",
        f"{ROUND}/test_step_lies.py::test_corrupted_bytes_suspend_whoever_sends_them_to_most",
    ),
    Mutant(
        "numbers of those who owe none are kept, and everybody waits for one fewer",
        "btard/round/attempt.py",
        "if isinstance(message, Scalars) and (message.context != self.context or author not in self._submitting):",
        "if isinstance(message, Scalars) and message.context != self.context:",
        f"{ROUND}/test_measure.py::test_numbers_of_a_validator_neither_help_nor_hinder",
    ),
    Mutant(
        "numbers about another attempt are kept, whatever their form",
        "btard/round/attempt.py",
        "if isinstance(message, Scalars) and (message.context != self.context or author not in self._submitting):",
        "if isinstance(message, Scalars) and author not in self._submitting:",
        f"{ROUND}/test_measure.py::test_numbers_of_too_few_parts_and_a_charge_about_them_break_nobody",
    ),
    Mutant(
        "products beyond any bound pass",
        "btard/round/columns.py",
        "if not within_bound(product, norm, tau, bounds[part]):",
        "if False:",
        f"{ROUND}/test_measure.py::test_false_numbers_ban_whoever_publishes_them[a product beyond any bound]",
    ),
    Mutant(
        "the owners of the parts never change",
        "btard/round/attempt.py",
        'tuple(ranking(self.roster.randomness, "owner", self.workers))',
        "self.workers",
        f"{ROUND}/test_attempt.py::test_ownership_rotates_with_the_randomness",
    ),
    Mutant(
        "rows with NaN are aggregated",
        "btard/round/work.py",
        "kept = [vector for vector, good in zip(vectors, finite, strict=True) if good]",
        "kept = list(vectors)",
        f"{ROUND}/test_work.py::test_rows_with_a_single_bad_number_are_left_out_and_named",
    ),
    Mutant(
        "products are published without clipping",
        "btard/round/work.py",
        "(clipped(m, tau), m.norm) for part, m in enumerate(own)",
        "(m.projection, m.norm) for part, m in enumerate(own)",
        f"{ROUND}/test_work_measure.py::test_a_measured_product_is_that_of_the_clipped_deviation",
    ),
    Mutant(
        "one threshold instead of two: an honest accuser can become the false one",
        "btard/round/work.py",
        "Opinion.INNOCENT if relative < convict / 2 else Opinion.UNSURE",
        "Opinion.INNOCENT",
        f"{ROUND}/test_work_examine.py::test_two_thresholds",
    ),
    Mutant(
        "a validator forgets what it has found when the attempt fails",
        "btard/round/step.py",
        "self._charge = self._accusation if self._accusation and self._may_charge(self._accusation) else None",
        "self._charge: Charge | None = None",
        f"{ROUND}/test_step_lies.py::"
        "test_what_a_validator_finds_is_not_forgotten_when_the_attempt_fails_meanwhile[somebody leaves]",
    ),
    Mutant(
        "rows in evidence are not compared with the commitment",
        "btard/round/proof.py",
        "or attempt.commits[author].parts[part] != digest(payload)",
        "",
        f"{ROUND}/test_proof.py::test_no_byte_of_a_row_or_an_aggregate_may_differ",
    ),
    Mutant(
        "evidence of another run is accepted",
        "btard/round/proof.py",
        "if envelope.run != evidence.rules.run:",
        "if False:",
        f"{ROUND}/test_proof.py::test_another_run_proves_nothing",
    ),
    Mutant(
        "messages of another run are accepted",
        "btard/round/session.py",
        "if envelope.run != self._rules.run or envelope.author != sender",
        "if envelope.author != sender",
        f"{ROUND}/test_session.py::test_what_does_not_belong_to_the_step_changes_nothing[of another run]",
    ),
    Mutant(
        "a message counts whoever passes it on",
        "btard/round/session.py",
        "if envelope.run != self._rules.run or envelope.author != sender",
        "if envelope.run != self._rules.run",
        f"{ROUND}/test_session.py::test_what_does_not_belong_to_the_step_changes_nothing[passed on by another member]",
    ),
    Mutant(
        "replays of another step are accepted",
        "btard/round/session.py",
        "if machine is not None and envelope.step == step and not machine.over:",
        "if machine is not None and not machine.over:",
        f"{ROUND}/test_session.py::test_what_does_not_belong_to_the_step_changes_nothing[of a later step]",
    ),
    Mutant(
        "early messages are kept without bound",
        "btard/round/session.py",
        "while len(kept) > _EARLY_MESSAGES or",
        "while",
        f"{ROUND}/test_session.py::test_early_messages_of_a_member_are_bounded",
    ),
    Mutant(
        "one peer may ask for any number of parts",
        "btard/round/exchange.py",
        "if self._count[asker] > MOST_PULLS:",
        "if False:",
        f"{ROUND}/test_exchange.py::test_nobody_is_sent_more_than_a_few_parts",
    ),
    Mutant(
        "who got something late does not count against who sent it",
        "btard/round/disputes.py",
        "for peer in report.late if not self._mutual}",
        "for peer in report.late if False}",
        f"{ROUND}/test_step_lies.py::"
        "test_who_refuses_everybody_a_part_is_out_alone_and_with_its_victim_in_the_papers_mode[suspend]",
    ),
    Mutant(
        "who complains of what most do not say keeps its place",
        "btard/round/disputes.py",
        "self.suspended[accuser] = f",
        "_ = f",
        f"{ROUND}/test_settle.py::test_who_complains_of_somebody_whom_most_do_not_miss_is_out_alone",
    ),
    Mutant(
        "members that are asked for what they do not hold do not ask its author",
        "btard/round/exchange.py",
        "if author != self._attempt.me and item not in self._asked:",
        "if False:",
        f"{ROUND}/test_exchange.py::test_who_does_not_hold_a_part_asks_its_author_once",
    ),
    Mutant(
        "somebody is late before it must have had what is asked for",
        "btard/round/exchange.py",
        "return max(patience.due(phase), asked + patience.allowance(phase))",
        "return asked",
        f"{ROUND}/test_exchange.py::test_who_is_late_is_said_after_it_has_had_its_time",
    ),
    Mutant(
        "who knows of another reason complains of what it misses all the same",
        "btard/round/stopping.py",
        "not reasoned and (",
        "(",
        f"{ROUND}/test_disputes.py::test_who_knows_of_another_reason_does_not_complain_and_loses_no_place"
        "[all hear the alarm]",
    ),
    Mutant(
        "the first reason is kept to oneself",
        "btard/round/void.py",
        "if self._passed_on or not self.reasoned:",
        "if True:",
        f"{ROUND}/test_disputes.py::test_who_knows_of_another_reason_does_not_complain_and_loses_no_place"
        "[all but the victim hear it]",
    ),
)
