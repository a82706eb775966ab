"""Bugs in how waiting is measured, and what becomes of members that make others wait."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

PACE, TRIES = "btard/round/attempt/pace.py", "tests/btard/round/attempt/test_pace.py"
OVERDUE, DELAYS = "btard/round/failure/overdue.py", "tests/btard/round/failure/test_overdue.py"
CONTESTED = "tests/lab/adversary/test_contested.py"
MEMBERS = "tests/btard/round/test_step_members.py"
LONG = "tests/byzantine/test_waiting.py"
ADMISSION = "tests/btard/round/test_admission.py"

WAITING = (
    Mutant(
        "every run has the same measure of slowness",
        PACE,
        "self._slowest = slowest",
        "self._slowest = SLOWEST",
        f"{TRIES}::test_a_run_says_how_slow_is_too_slow",
    ),
    Mutant(
        "the account over several steps ignores how slow is too slow",
        PACE,
        " * self._slowest / SLOWEST",
        "",
        f"{TRIES}::test_a_run_says_how_slow_is_too_slow",
    ),
    Mutant(
        "the usual measure of slowness changes the names of runs",
        "swarm/manifest.py",
        "slowest=None if self.slowest == SLOWEST else self.slowest",
        "slowest=self.slowest",
        "tests/swarm/test_manifest.py::test_how_slow_is_too_slow_is_a_rule_unless_it_is_the_usual",
    ),
    Mutant(
        "a peer that is no slower than others is told that it is",
        "peer/own_pace.py",
        "or own <= usual_seconds",
        "",
        "tests/peer/test_own_pace.py::test_a_peer_that_is_no_slower_is_told_no_figures",
    ),
    Mutant(
        "a single slow step makes the next ones slow",
        PACE,
        "statistics.median(lengths) if self._steps_over",
        "max(lengths) if self._steps_over",
        f"{TRIES}::test_one_long_step_changes_hardly_anything",
    ),
    Mutant(
        "the first steps teach all to ask later in each step",
        PACE,
        "statistics.median(lengths) if self._steps_over >= _FIRST_STEPS else min(lengths)",
        "statistics.median(lengths)",
        f"{TRIES}::test_in_the_first_steps_the_shortest_time_counts",
    ),
    Mutant(
        "a peer that has finished is asked for what is on its way",
        "btard/round/delivery/patience.py",
        "Phase.AGREE: _SIGNATURES}",
        "}",
        f"{TRIES}::test_signatures_are_asked_for_later_than_other_messages",
    ),
    Mutant(
        "a phase is measured by its end, which a minority can put off",
        "btard/round/delivery/patience.py",
        "        if phase in self._halfway:\n            return\n",
        "",
        f"{TRIES}::test_only_the_first_half_of_a_phase_is_measured",
    ),
    Mutant(
        "the first step waits for its deadlines, whatever has been measured in it",
        "btard/round/delivery/patience.py",
        "        if first:\n",
        "        if False:\n",
        f"{TRIES}::test_the_first_measure_counts_at_once",
    ),
    Mutant(
        "when all are slow, each blames all the others",
        "btard/round/delivery/patience.py",
        "        if usual is None or phase not in self._halfway:\n            return math.inf\n"
        "        return max(asked, self._halfway[phase], ",
        "        if usual is None:\n            return math.inf\n        return max(asked, ",
        f"{DELAYS}::test_when_all_are_slow_nobody_is_late",
    ),
    Mutant(
        "a request ahead of time is held against the author",
        "btard/round/delivery/patience.py",
        "return max(asked, self._halfway[phase], self._entered[phase] + self._asks_after(phase)) + usual",
        "return asked + usual",
        f"{TRIES}::test_a_request_ahead_of_time_blames_nobody",
    ),
    Mutant(
        "a member is blamed though it waits for others itself",
        "btard/round/delivery/waiting.py",
        "        used = min(excused, late[phase])\n",
        "        used = 0.0\n",
        "tests/btard/round/delivery/test_waiting.py::test_a_member_held_up_by_another_is_not_blamed",
    ),
    Mutant(
        "waiting in a later phase excuses what is owed in an earlier one",
        "btard/round/delivery/waiting.py",
        "        excused += held[phase] - used\n",
        "        excused += held[phase] - used + sum(held[later] for later in Phase if later > phase)\n",
        "tests/btard/round/delivery/test_waiting.py::test_waiting_for_what_comes_later_excuses_nothing",
    ),
    Mutant(
        "nothing is forgiven to a member that is a little late in each step",
        PACE,
        "each / length - _FORGIVEN)",
        "each / length)",
        f"{TRIES}::test_a_member_that_is_waited_for_is_named_and_forgiven",
    ),
    Mutant(
        "the first steps are held against members that had to load",
        PACE,
        "beyond_most(members, waited) if self._steps_over > _FIRST_STEPS else {}",
        "beyond_most(members, waited)",
        f"{TRIES}::test_nothing_is_held_against_anybody_in_the_first_steps",
    ),
    Mutant(
        "a step that is long for all is judged by the usual length",
        PACE,
        "return None if usual is None else max(usual, sum(self._this_step.values()))",
        "return usual",
        f"{TRIES}::test_a_step_that_is_long_for_all_is_judged_by_its_own_length",
    ),
    Mutant(
        "members are late however many of them are",
        PACE,
        "common = sorted(waited.get(peer, 0.0) for peer in members)[len(members) // 2]",
        "common = 0.0",
        f"{TRIES}::test_fewer_than_half_of_the_members_are_late_at_once[8]",
    ),
    Mutant(
        "a member loses its place for one slow step",
        PACE,
        "min(_AT_ONCE, each / length - _FORGIVEN)",
        "each / length - _FORGIVEN",
        f"{TRIES}::test_one_or_two_slow_steps_cost_no_place",
    ),
    Mutant(
        "laggards that most name keep their places",
        "btard/round/phases/agree.py",
        "members = tuple(peer for peer in seats.members if peer not in slow)",
        "members = seats.members",
        f"{LONG}::test_a_member_five_times_slower_is_left_out_and_told",
    ),
    Mutant(
        "some have a member left out as too slow",
        "btard/round/phases/agree.py",
        "if seats.is_majority(count)}\n\n\ndef check",
        "if count > 2}\n\n\ndef check",
        f"{DELAYS}::test_almost_half_of_the_members_slander_nobody_out[to all]",
    ),
    Mutant(
        "newcomers' words make a member overdue",
        OVERDUE,
        "elif author in seats.voters:",
        "else:",
        f"{DELAYS}::test_newcomers_and_other_attempts_count_for_nothing",
    ),
    Mutant(
        "words about another attempt make a member overdue",
        OVERDUE,
        " or said.attempt_id != seats.attempt_id:",
        ":",
        f"{DELAYS}::test_newcomers_and_other_attempts_count_for_nothing",
    ),
    Mutant(
        "a member shows that it is overdue itself, and is banned for the form of that",
        OVERDUE,
        "if peer != seats.me and seats.is_majority",
        "if seats.is_majority",
        f"{DELAYS}::test_a_member_does_not_prove_its_own_delay",
    ),
    Mutant(
        "signatures behind a delay are believed",
        OVERDUE,
        "            attempt.said.papers.read(envelope.encode())\n",
        "",
        f"{DELAYS}::test_no_forged_proof_counts[no signatures]",
    ),
    Mutant(
        "a voter that hears somebody first has no more time than others",
        OVERDUE,
        "return usual + self._hearing_seconds if peer in self._hearing else usual",
        "return usual",
        f"{DELAYS}::test_a_word_of_oneself_asks_for_patience",
    ),
    Mutant(
        "members are blamed while they agree on the end of the step before",
        "btard/round/session.py",
        "actions += machine.stand(now, still=last.contested)",
        "pass",
        f"{CONTESTED}::test_a_contested_end_costs_no_honest_peer_its_place[3]",
    ),
    Mutant(
        "to contest a finished step is free",
        "btard/round/attempt/pace.py",
        "self.held_against |= dict.fromkeys(peers, _SPOILS)",
        "pass",
        f"{CONTESTED}::test_contesting_a_finished_step_costs_the_place",
    ),
    Mutant(
        "a newcomer that loads the state is overdue",
        "btard/round/delivery/waiting.py",
        "self._at_work[peer] = now",
        "pass",
        f"{MEMBERS}::test_a_newcomer_that_says_it_loads_is_waited_for",
    ),
    Mutant(
        "a newcomer that says nothing is waited for",
        "btard/round/delivery/waiting.py",
        "self._at_work.get(item[1], patience.began) + self._silence()",
        "math.inf",
        f"{MEMBERS}::test_a_newcomer_that_says_nothing_is_soon_left_out",
    ),
    Mutant(
        "nobody says that it computes its first vector",
        OVERDUE,
        "if working and not context.settled and not pairs:",
        "if False:",
        f"{MEMBERS}::test_a_long_first_computation_costs_no_place",
    ),
    Mutant(
        "a member that is out may divide the voters by speaking while they vote",
        "btard/agreement/ledger.py",
        "(item for item in items if item.author not in self.without)",
        "items",
        "tests/btard/agreement/test_machine.py::test_one_that_is_left_out_divides_nobody_by_speaking[4-1.0]",
    ),
    Mutant(
        "absences cost nothing",
        "btard/round/admission.py",
        "barred = roster.banned | roster.kept_out(roster.step + 1)",
        "barred = roster.banned",
        f"{ADMISSION}::test_a_few_absences_are_free_and_each_more_costs_double",
    ),
    Mutant(
        "absences are never forgotten",
        "btard/round/roster.py",
        "return self.count >> ((step - self.since) // ABSENCE_HALVED_AFTER)",
        "return self.count",
        f"{ADMISSION}::test_half_of_all_absences_are_forgotten_in_time",
    ),
    Mutant(
        "the digest of a roster leaves absences out",
        "btard/round/roster.py",
        'a.since.to_bytes(8, "big") for a in self.absences)',
        'a.since.to_bytes(8, "big") for a in ())',
        "tests/btard/round/test_roster.py::test_the_digest_names_every_field",
    ),
)
