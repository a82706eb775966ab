"""Bugs in which peer has which stage, in what is kept of lost ones, and in what a live stage lets in."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_SEATS = "tests/pipeline/seats"
_OCCUPANT, _USHER = "pipeline/seats/occupant.py", "pipeline/seats/usher.py"
_GATE, _GATE_TESTS = "pipeline/live/gate.py", "tests/pipeline/live/test_gate.py"
_CLAIMS = f"{_SEATS}/test_usher.py::test_claims_that_are_not_signed_count_nothing"
_SAID = f"{_SEATS}/test_statements.py"

SEATS: tuple[Mutant, ...] = (
    Mutant(
        "a seating need not be the coordinator's",
        "pipeline/seats/seating.py",
        "if not coordinator.has_signed(_DOMAIN + body, signature):",
        "if False:",
        f"{_SEATS}/test_occupant.py::test_only_a_newer_seating_of_the_coordinator_counts",
    ),
    Mutant(
        "a seating of another run counts",
        "pipeline/seats/seating.py",
        "if seating.run != run:",
        "if False:",
        f"{_SAID}::test_a_seating_of_another_run_is_refused",
    ),
    Mutant(
        "one peer may have two stages",
        "pipeline/seats/seating.py",
        " or len(set(seats)) < len(seats)",
        "",
        f"{_SAID}::test_a_seating_needs_one_peer_for_each_stage",
    ),
    Mutant(
        "an old seating comes back",
        _OCCUPANT,
        "seating.number <= self.seating.number",
        "seating.number < self.seating.number",
        f"{_SEATS}/test_occupant.py::test_only_a_newer_seating_of_the_coordinator_counts",
    ),
    Mutant(
        "a stage begins before all others are ready",
        _OCCUPANT,
        "len(self._ready) < len(self.seating.seats)",
        "len(self._ready) < 2",
        f"{_SEATS}/test_occupant.py::test_no_step_begins_before_all_stages_are_ready",
    ),
    Mutant(
        "a peer fetches what its neighbour has not signed",
        _OCCUPANT,
        "            claim.verify(sender)\n            self._fetching",
        "            self._fetching",
        f"{_SEATS}/test_occupant.py::test_a_claim_is_kept_if_its_author_may_make_it",
    ),
    Mutant(
        "a state of any step may be claimed",
        _OCCUPANT,
        "self._agreed[1] < claim.step <= self.step + 1",
        "self._agreed[1] < claim.step",
        f"{_SEATS}/test_occupant.py::test_a_claim_is_kept_if_its_author_may_make_it",
    ),
    Mutant(
        "any peer may say that a state is kept",
        _OCCUPANT,
        "if not self._is_due(claim) or self.seating.keeper(claim.stage) != stage:",
        "if not self._is_due(claim):",
        f"{_SEATS}/test_occupant.py::test_only_its_keeper_says_that_a_state_is_kept",
    ),
    Mutant(
        "what is kept need not be what its owner has signed",
        _OCCUPANT,
        "        claim.verify(self.seating.seats[claim.stage])\n",
        "",
        f"{_SEATS}/test_occupant.py::test_only_its_keeper_says_that_a_state_is_kept",
    ),
    Mutant(
        "states are forgotten as soon as newer ones are agreed",
        _OCCUPANT,
        "oldest = self._agreed[0]",
        "oldest = claim.step + 1",
        f"{_SEATS}/test_seats.py::test_three_stages_lost_in_turn_change_no_bit",
    ),
    Mutant(
        "the usher believes claims that nobody has signed",
        _USHER,
        "claim.verify(seating.seats[claim.stage])",
        "pass",
        _CLAIMS,
    ),
    Mutant(
        "the usher believes claims of a former seating",
        _USHER,
        "claim.number != seating.number or claim.run != self.plan.run",
        "claim.run != self.plan.run",
        _CLAIMS,
    ),
    Mutant(
        "a stage may claim the first weights as its state",
        _USHER,
        " or claim.state == DRAWN:",
        ":",
        _CLAIMS,
    ),
    Mutant(
        "all go back to a state that nobody has",
        _USHER,
        " and held.issuperset(states.values())",
        "",
        f"{_SEATS}/test_usher.py::test_a_state_that_nobody_shows_is_not_gone_back_to",
    ),
    Mutant(
        "a banned peer keeps its stage",
        _USHER,
        "if peer in self.banned or silent",
        "if silent",
        f"{_SEATS}/test_usher.py::test_a_banned_peer_gets_no_seat",
    ),
    Mutant(
        "a mute stage keeps its seat for ever",
        _USHER,
        "return [] if often == 1 else [(often - 2) % self.plan.stages]",
        "return []",
        f"{_SEATS}/test_usher.py::test_one_standstill_moves_nobody_the_next_moves_each_in_turn",
    ),
    Mutant(
        "a stage's report need not be its own",
        "pipeline/seats/report.py",
        "if not author.has_signed(_DOMAIN + body, signature):",
        "if False:",
        f"{_SAID}::test_a_report_of_another_peer_is_refused",
    ),
    Mutant(
        "a state of other shapes is loaded into a stage",
        "pipeline/seats/stage_state.py",
        " or tensor.shape != weight.shape:",
        ":",
        f"{_SEATS}/test_stage_state.py::test_what_is_no_state_of_the_stage_is_refused",
    ),
    Mutant(
        "a stranger's seating reaches a peer",
        _GATE,
        "mark == SEATING_MARK and sender == self.coordinator and",
        "mark == SEATING_MARK and",
        f"{_GATE_TESTS}::test_seatings_are_taken_from_the_coordinator_only",
    ),
    Mutant(
        "strangers' messages take memory of a stage",
        _GATE,
        "not self._is_of_now(header) or not self._has_seat(sender) or",
        "not self._is_of_now(header) or",
        f"{_GATE_TESTS}::test_strangers_and_former_seatings_take_no_memory",
    ),
    Mutant(
        "a stage may fill another one's memory",
        _GATE,
        " or self._pending[sender] + length > self.most_pending_bytes",
        "",
        f"{_GATE_TESTS}::test_a_stage_has_a_bounded_number_of_bytes_here",
    ),
    Mutant(
        "what breaks off takes a stage's room for ever",
        _GATE,
        "self.release(sender, self._arriving.pop((sender, header)))",
        "self._arriving.pop((sender, header))",
        f"{_GATE_TESTS}::test_what_breaks_off_is_paid_back",
    ),
    Mutant(
        "what arrives before the first step is lost",
        "pipeline/live/driver.py",
        "self._arrived.append((sender, data))",
        "self._arrived.extend([(sender, data)] * self._begun)",
        "tests/pipeline/live/test_driver.py::test_drivers_train_as_simulated_stages_do",
    ),
    Mutant(
        "what waits for a stage on a slow link is dropped",
        "btard/transport/libp2p/transport.py",
        "queue_parts=max(parts, limits.queue_parts)",
        "queue_parts=limits.queue_parts",
        "tests/btard/transport/libp2p/test_streams.py::test_more_parts_wait_for_a_peer_if_they_are_let",
    ),
    Mutant(
        "the page shows what other peers say of a stage",
        "coordinator/pipeline/figures.py",
        "(report.run, report.number, report.stage) != (self._run, seating.number, stage)",
        "report.run != self._run",
        "tests/coordinator/pipeline/test_figures.py::test_a_report_of_another_stage_or_peer_is_left_out",
    ),
    Mutant(
        "what a trained model begins with counts as lost once no peer has it",
        "pipeline/seats/usher.py",
        "        held.update(self.plan.beginning)\n",
        "",
        "tests/pipeline/seats/test_usher.py::test_a_trained_model_is_where_all_begin_and_begin_anew",
    ),
    Mutant(
        "the coordinator shows a first state that was changed on its disk",
        "pipeline/live/first_states.py",
        "    if state.digest != digest:\n",
        "    if len(state.digest) != len(digest):\n",
        "tests/pipeline/live/test_first_states.py::test_a_file_that_was_changed_is_told",
    ),
    Mutant(
        "what a stage of a trained model must begin with is not compared",
        "pipeline/live/build.py",
        "self._pledges if seating.step == 0 and seating.states == self.beginning else ()",
        "()",
        "tests/pipeline/live/test_first_states.py::test_a_wrong_first_pledge_would_be_noticed",
    ),
    Mutant(
        "a model of fewer tokens than the data is trained",
        "pipeline/stages/trained.py",
        "    if tokens > config.vocab_size:\n",
        "    if tokens > 2 * tokens:\n",
        "tests/pipeline/stages/test_trained.py::test_a_model_of_fewer_tokens_is_told",
    ),
    Mutant(
        "strangers choose the code that computes a model's attention",
        "pipeline/stages/trained.py",
        "        if strange := sorted(told.keys() - _names(chosen)):\n",
        "        if strange := sorted(told.keys() - told.keys()):\n",
        "tests/pipeline/stages/test_trained.py::test_strangers_name_no_code_that_computes",
    ),
)
