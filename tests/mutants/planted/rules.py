"""Bugs in rules whose result no sum proves, and in how their parts are audited."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

AUDITS = "tests/btard/round/phases/test_audits.py"
CHECK = "btard/round/phases/check.py"
COURT = "btard/round/failure/court/court.py"
DRAWS = "tests/btard/round/test_draw.py"
ONE_OF_SEVEN = f"{AUDITS}::test_a_wrong_aggregate_is_found_at_once_and_proven[0.05-coordinate_median]"

RULES: tuple[Mutant, ...] = (
    Mutant(
        "no auditors are drawn",
        "btard/round/attempt/seats.py",
        "return min(enough_auditors(len(self.roster.voters)) if wanted is None else wanted, len(self.voters) - 1)",
        "return 0",
        ONE_OF_SEVEN,
    ),
    Mutant(
        "auditors look at nothing",
        CHECK,
        "return sorted(doubted | audited)",
        "return sorted(doubted)",
        ONE_OF_SEVEN,
    ),
    Mutant(
        "what an auditor finds is forgotten",
        CHECK,
        "self._charge = self._charge or Charge(ChargeKind.WRONG_AGGREGATE, owner, part)",
        "pass",
        ONE_OF_SEVEN,
    ),
    Mutant(
        "auditors are known before the aggregates are committed to",
        CHECK,
        "draw_auditors(self._results.randomness, seats.owners",
        "draw_auditors(seats.roster.randomness, seats.owners",
        f"{AUDITS}::test_auditors_are_drawn_after_all_aggregates",
    ),
    Mutant(
        "a part has one auditor fewer than it takes to have an honest one",
        "btard/round/draw.py",
        "return max(0, (voters - 1) // 2)",
        "return max(0, (voters - 3) // 2)",
        f"{DRAWS}::test_enough_auditors_are_never_all_accomplices[7]",
    ),
    Mutant(
        "owners may be auditors of their own parts",
        "btard/round/draw.py",
        "twice[place[owner] + 1 : place[owner] + 1 + count]",
        "twice[place[owner] : place[owner] + count]",
        f"{DRAWS}::test_auditors_are_others_and_share_the_work",
    ),
    Mutant(
        "an aggregate may be ten thousand times as wrong as rounding makes it",
        "btard/verification/scalars.py",
        "_GRANTED = 4.0",
        "_GRANTED = 40000.0",
        f"{AUDITS}::test_a_wrong_aggregate_is_found_at_once_and_proven[0.0001-coordinate_median]",
    ),
    Mutant(
        "the tolerance of an aggregate does not allow for the wire type",
        "btard/verification/scalars.py",
        "(accuracy * typical + _rounding(size, count, wire))",
        "(accuracy * typical)",
        "tests/btard/verification/test_thresholds.py::test_a_recomputed_aggregate_is_judged_within_rounding",
    ),
    Mutant(
        "a sum convicts under rules whose products need not add up",
        "btard/round/phases/measure.py",
        "    if attempt.seats.equation is None:\n        return 0.0\n",
        "    if attempt.seats.equation is None:\n        return 2.0\n",
        f"{AUDITS}::test_no_sum_is_a_reason_under_rules_that_are_recomputed",
    ),
    Mutant(
        "judges collect no rows",
        COURT,
        "return self._is_about_rows(charge) and owned and not known",
        "return False",
        ONE_OF_SEVEN,
    ),
    Mutant(
        "judges ask nobody but the author for a row that is late",
        COURT,
        "if now >= self.urges_at:",
        "if False:",
        f"{AUDITS}::test_judges_get_rows_that_authors_keep_from_them[0]",
    ),
    Mutant(
        "a peer that knows of an aggregate waits for no judge that has to collect its rows",
        COURT,
        "collecting = any(self._is_about_rows(charge) for charge in self.charges.values())",
        "collecting = any(self._must_aggregate(charge) for charge in self.charges.values())",
        f"{AUDITS}::test_judges_get_rows_that_authors_keep_from_them[0]",
    ),
    Mutant(
        "an accuser that convinces nobody keeps its place",
        "btard/round/failure/resolve.py",
        "return not attempt.seats.is_majority(len(_votes(attempt, testimony, accuser, Opinion.GUILTY)))",
        "return False",
        f"{AUDITS}::test_an_accuser_that_convinces_nobody_loses_its_place",
    ),
    Mutant(
        "auditors may ask others for a few rows only",
        "btard/round/delivery/exchange.py",
        "asker not in self._collectors.get(part, ())",
        "part not in self._collectors",
        "tests/btard/round/delivery/test_exchange.py::test_an_auditor_may_ask_anybody_for_all_rows_of_its_parts",
    ),
    Mutant(
        "CHECK takes no longer for rows of many parts",
        "btard/round/attempt/seats.py",
        "return self.rules.scatter_seconds * max(1, self.auditors)",
        "return self.rules.scatter_seconds",
        f"{AUDITS}::test_rows_of_many_parts_have_the_time_that_they_take",
    ),
    Mutant(
        "a peer asked for a row that is checked has no more time than one part takes",
        "btard/round/delivery/waiting.py",
        "self._asked_in[item] = Phase.CHECK if aggregated else Phase.SCATTER",
        "self._asked_in[item] = Phase.SCATTER",
        "tests/btard/round/delivery/test_waiting.py::test_rows_that_are_checked_have_the_time_of_their_phase",
    ),
    Mutant(
        "the number of auditors is no rule of the run",
        "btard/round/rules.py",
        "if not (name in ADDED_NAMES and inner is None)",
        "if name not in ADDED_NAMES",
        "tests/btard/round/test_rules.py::test_every_rule_and_the_nonce_are_part_of_the_name",
    ),
    Mutant(
        "a number of auditors that is not set changes the names of runs",
        "btard/round/rules.py",
        "if not (name in ADDED_NAMES and inner is None)",
        "if True",
        "tests/btard/round/test_rules.py::test_the_name_of_a_run_is_pinned",
    ),
    Mutant(
        "a step goes on with too few rows for its rule",
        "btard/round/step.py",
        "if (reason := refusal(self._context.rules.aggregation, workers)) is not None:",
        "if (reason := refusal(self._context.rules.aggregation, workers)) is False:",
        "tests/lab/simulation/test_rules.py::test_a_run_stops_when_too_few_workers_are_left_for_its_rule",
    ),
    Mutant(
        "parameters of a rule that mean the same make two runs",
        "btard/aggregation/registry.py",
        " for field in own if getattr(made, field.name) != field.default}",
        " for field in own}",
        "tests/btard/aggregation/test_registry.py::test_a_run_keeps_a_rule_in_one_form",
    ),
    Mutant(
        "the median of an even number of rows is the lower one of the two",
        "btard/aggregation/coordinate/windows.py",
        "np.add(columns[(n - 1) // 2], columns[n // 2],",
        "np.add(columns[(n - 1) // 2], columns[(n - 1) // 2],",
        "tests/btard/aggregation/test_rules.py::test_the_median_is_that_of_every_coordinate[3-4]",
    ),
    Mutant(
        "the trimmed mean cuts off at one end only",
        "btard/aggregation/coordinate/windows.py",
        "kept = columns[cut : len(columns) - cut]",
        "kept = columns[cut:]",
        "tests/btard/aggregation/test_rules.py::test_the_trimmed_mean_is_the_mean_without_extremes[0.2-5]",
    ),
    Mutant(
        "rows are chosen by distances that may be off by more than what tells them apart",
        "btard/aggregation/distance/choice.py",
        "        if not pairs:",
        "        if True:",
        "tests/btard/aggregation/test_oracles.py::test_rules_that_select_rows_say_which[parallel-krum]",
    ),
    Mutant(
        "the nearest rows are chosen by sums that may be off by more than what tells them apart",
        "btard/aggregation/distance/nearest.py",
        "_ROUNDING = (_BLOCK + 8) * 2.0**-24",
        "_ROUNDING = 0.0",
        "tests/btard/aggregation/test_properties.py::test_what_float32_cannot_order_is_measured[cge]",
    ),
    Mutant(
        "the mean passes on numbers that are not finite",
        "btard/aggregation/coordinate/mean.py",
        "        if not np.isfinite(magnitude_of(value)):\n",
        "        if False:\n",
        "tests/btard/aggregation/test_rules.py::test_every_rule_refuses_bad_rows[mean]",
    ),
    Mutant(
        "a swarm runs a rule that nobody can verify",
        "btard/round/aggregates.py",
        "if rule.proof is Proof.NONE:",
        "if False:",
        "tests/lab/simulation/test_rules.py::test_a_swarm_refuses_a_rule_that_needs_the_step",
    ),
    Mutant(
        "liars whose rows are left out are declared among the others once more",
        "btard/aggregation/any_rows.py",
        "max(0, f - len(rows) + len(kept))",
        "f",
        "tests/btard/aggregation/test_any_rows.py::test_more_bad_rows_than_declared_leave_no_liar",
    ),
)
