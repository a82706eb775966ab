"""Bugs in the adversary that searches: what colluders know, what counts, and what is believed."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

LAB = "lab/adversary"
TESTS = "tests/lab/adversary"

ADVERSARY: tuple[Mutant, ...] = (
    Mutant(
        "a behaviour is asked once a step what to submit",
        "btard/round/phases/commit.py",
        "context.behaviour.vector(context.number, number, gradient.vector)",
        "context.behaviour.vector(context.number, 0, gradient.vector)",
        "tests/btard/round/test_step_alarms.py::test_each_attempt_asks_anew_what_to_submit",
    ),
    Mutant(
        "colluders fear each other's examination",
        f"{LAB}/knowledge.py",
        "return any(audit.target in self.insiders and audit.validator not in self.insiders for audit in audits)",
        "return any(audit.target in self.insiders for audit in audits)",
        f"{TESTS}/test_knowledge.py::test_a_colluder_is_doomed_by_an_honest_validator",
    ),
    Mutant(
        "a letter is decided about as soon as it is written",
        f"{LAB}/colluding_peer.py",
        "        if wait:\n",
        "        if False:\n",
        f"{TESTS}/test_letters.py::test_a_decision_can_wait_for_what_others_say",
    ),
    Mutant(
        "a contradiction takes the place of what it contradicts",
        f"{LAB}/colluding_peer.py",
        "return [letter, later]",
        "return [later]",
        f"{TESTS}/test_letters.py::test_what_is_contradicted_later_is_said_first",
    ),
    Mutant(
        "a contradiction is told at once",
        f"{LAB}/colluding_peer.py",
        "payload=payload, delay=letter.delay + seconds)",
        "payload=payload)",
        f"{TESTS}/test_divided.py::test_divided_votes_cost_their_author_its_place[1]",
    ),
    Mutant(
        "the session of a colluder contradicts its lies",
        f"{LAB}/colluding_peer.py",
        "machine.attempt.said.signed[place] = envelope",
        "pass",
        f"{TESTS}/test_letters.py::test_another_digest_for_all_is_outvoted",
    ),
    Mutant(
        "a colluder reports twice in an attempt",
        f"{LAB}/colluder.py",
        "return self._reported.setdefault((step, attempt), report)",
        "return report",
        f"{TESTS}/test_letters.py::test_a_complaint_is_said_once",
    ),
    Mutant(
        "a behaviour is not asked what to report",
        "btard/round/failure/settlement.py",
        "report = self._context.behaviour.report(self._context.number, report, self.attempt.view)",
        "self._context.behaviour.report(self._context.number, report, self.attempt.view)",
        f"{TESTS}/test_letters.py::test_a_complaint_is_said_once",
    ),
    Mutant(
        "a second report of an author is no reason to give up",
        "btard/round/failure/heard.py",
        "        if told is not None:\n            self._weigh(told)\n",
        "",
        f"{TESTS}/test_letters.py::test_other_words_about_a_failure_harm_nobody_else",
    ),
    Mutant(
        "votes are agreed on among those that have reported",
        "btard/round/failure/settlement.py",
        "seats, members = self._seats, self._seats.members\n",
        "seats, members = self._seats, tuple(sorted(voters)) if votes else self._seats.members\n",
        f"{TESTS}/test_play.py::test_colluders_that_vanish_when_caught_harm_nobody",
    ),
    Mutant(
        "an accuser claims to be further than it is",
        "btard/round/phases/course.py",
        "calm = charge is None or charge.kind is ChargeKind.WRONG_SUM",
        "calm = True",
        f"{TESTS}/test_play.py::test_a_quarrel_costs_its_author_its_place",
    ),
    Mutant(
        "poison counts in attempts that failed",
        f"{LAB}/scores.py",
        "if any((event.step, event.attempt, member) in self._ring.poisoned for member in members):",
        "if any(event.step == step for step, _, _ in self._ring.poisoned):",
        f"{TESTS}/test_scores.py::test_only_poison_that_is_applied_counts",
    ),
    Mutant(
        "a liar's result counts as a fork",
        f"{LAB}/scores.py",
        "        if not peer.honest:\n            return\n        match event:",
        "        match event:",
        f"{TESTS}/test_scores.py::test_what_a_liar_tells_is_no_fork",
    ),
    Mutant(
        "a step that is never done costs no time",
        f"{LAB}/scores.py",
        "seconds = simulation.network.now + left * (steps - done)",
        "seconds = simulation.network.now",
        f"{TESTS}/test_play.py::test_a_step_that_is_never_done_outweighs_any_delay",
    ),
    Mutant(
        "one lucky play makes the best strategy",
        f"{LAB}/population.py",
        "return (total + HONEST_SCORE[aim]) / (len(self.plays) + 1)",
        "return total / len(self.plays)",
        f"{TESTS}/test_search.py::test_few_lucky_plays_are_worth_less_than_many_good_ones",
    ),
    Mutant(
        "lies that are never told fill the places of others",
        f"{LAB}/population.py",
        "if first.setdefault(each.plays[seed], each) is not each:",
        "if first.setdefault(each.plays[seed], each) is None:",
        f"{TESTS}/test_search.py::test_an_echo_of_a_strategy_is_forgotten",
    ),
    Mutant(
        "what chance may have done in fresh swarms holds",
        f"{LAB}/search.py",
        "holds = mean - error > HONEST_SCORE[aim]",
        "holds = best.mean(aim) > HONEST_SCORE[aim]",
        f"{TESTS}/test_search.py::test_a_winner_must_hold_in_fresh_swarms",
    ),
    Mutant(
        "time is measured in runs as short as any",
        f"{LAB}/play.py",
        "replace(self, steps=self.long_steps, until_alone=True) if aim is Aim.TIME else self",
        "self",
        f"{TESTS}/test_play.py::test_a_place_is_paid_for_once_in_a_long_run",
    ),
    Mutant(
        "a run that lasts longer than is promised ends well",
        f"{LAB}/scores.py",
        "Aim.TIME: 3.0, ",
        "",
        f"{TESTS}/test_main.py::test_only_harm_that_nobody_may_do_is_a_failure[time-True-3.1-3]",
    ),
    Mutant(
        "a search that puts honest peers out ends well",
        f"{LAB}/__main__.py",
        "if search.broken or any(winner.exceeds for winner in winners) else 0",
        "if search.broken else 0",
        f"{TESTS}/test_main.py::test_only_harm_that_nobody_may_do_is_a_failure[honest-out-True-0.1-3]",
    ),
    Mutant(
        "a replay compares nothing",
        f"{LAB}/__main__.py",
        "return 0 if same else _FOUND_WRONG",
        "return 0",
        f"{TESTS}/test_main.py::test_a_replay_that_differs_is_told",
    ),
)
