"""What a swarm that comes back must not do, and what a peer keeps for it."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_REUNION = "tests/btard/reunion/test_reunion.py"
_SWARM = "tests/btard/reunion/test_swarm.py"
_PROGRESS = "tests/peer/keeping/test_progress.py"
_CHECKPOINTS = "tests/peer/keeping/test_checkpoints.py"

REUNION = (
    Mutant(
        "a peer that waits stands in a step",
        "swarm/state_sync.py",
        "if peer in trusted.voters and not head.waits",
        "if peer in trusted.voters",
        "tests/swarm/test_state_sync.py::test_peers_that_wait_stand_nowhere_and_hold_what_they_keep",
    ),
    Mutant(
        "the coordinator takes a run that waits for a silent one",
        "peer/serving.py",
        "head = self._waiting or self._head",
        "head = self._head if self._waiting is None else None",
        "tests/peer/test_serving.py::test_a_peer_that_waits_says_so_until_it_stands_again",
    ),
    Mutant(
        "half of the voters decide where a run goes on",
        "btard/reunion/reunion.py",
        "return found[0] if found and 2 * found[0][1] > len(self.roster.voters) else None",
        "return found[0] if found and 2 * found[0][1] >= len(self.roster.voters) - 1 else None",
        f"{_REUNION}::test_votes_of_fewer_decide_nothing",
    ),
    Mutant(
        "a liar with an old memory rolls the run back",
        "btard/reunion/reunion.py",
        "return [] if behind else places",
        "return places",
        f"{_REUNION}::test_an_old_memory_rolls_nobody_back",
    ),
    Mutant(
        "a place counts that a minority remembers",
        "btard/reunion/reunion.py",
        "if 2 * count > len(self.roster.voters)), reverse=True)",
        "if count > 1), reverse=True)",
        f"{_REUNION}::test_places_that_nobody_has_stood_in_count_for_nothing",
    ),
    Mutant(
        "of two votes the first to come counts",
        "btard/reunion/reunion.py",
        "if len(pair) == 1 and (spent",
        "if pair and (spent",
        f"{_REUNION}::test_a_vote_said_twice_counts_for_none",
    ),
    Mutant(
        "a bare majority decides at once",
        "btard/reunion/reunion.py",
        "(count >= quorum(len(self.roster.voters)) or stood)",
        "True",
        f"{_REUNION}::test_a_bare_majority_waits_for_a_window",
    ),
    Mutant(
        "signatures of those that come back are not verified",
        "btard/reunion/reunion.py",
        "            envelope.verify()\n            kept[",
        "            kept[",
        f"{_REUNION}::test_strangers_and_forged_signatures_are_passed_over",
    ),
    Mutant(
        "what was lost counts as what has been done since",
        "btard/reunion/reunion.py",
        "if envelope.step == last)",
        "if True)",
        f"{_REUNION}::test_what_was_lost_does_not_come_back",
    ),
    Mutant(
        "a round that nobody wins is waited for",
        "btard/reunion/reunion.py",
        "if self._proven() == number and (begun_before or over):",
        "if self._proven() == number and begun_before:",
        f"{_REUNION}::test_a_round_without_a_result_is_followed_by_another",
    ),
    Mutant(
        "an incarnation that has begun begins once more",
        "btard/reunion/reunion.py",
        "(spent or not self._has_begun(author, number))",
        "True",
        f"{_REUNION}::test_a_member_that_missed_an_incarnation_follows_its_number",
    ),
    Mutant(
        "the incarnation is no part of the run's name",
        "btard/round/rules.py",
        "return replace(self, incarnation=incarnation or None)",
        "return self",
        f"{_SWARM}::test_what_is_repeated_is_drawn_anew",
    ),
    Mutant(
        "an experiment that was interrupted draws anew",
        "btard/round/attempt/seats.py",
        "if self.rules.incarnation is None or not self.rules.same_randomness:",
        "if True:",
        f"{_SWARM}::test_a_killed_swarm_comes_to_what_an_unbroken_one_does[plain-1.03]",
    ),
    Mutant(
        "a peer's momentum is lost with its process",
        "btard/vectors/momentum.py",
        "self._links = (_Submission(kept.step, base, digest(kept.base), vector),)",
        "self._links = ()",
        f"{_SWARM}::test_a_killed_swarm_comes_to_what_an_unbroken_one_does[momentum-1.03]",
    ),
    Mutant(
        "a file that is torn is read as far as it goes",
        "btard/durable.py",
        "return body if len(data) > DIGEST_SIZE and digest(body) == seal else None",
        "return body if len(data) > DIGEST_SIZE else None",
        f"{_CHECKPOINTS}::test_a_state_torn_or_changed_anywhere_is_none",
    ),
    Mutant(
        "a file's name is left to the operating system",
        "btard/durable.py",
        "        unfinished.unlink(missing_ok=True)\n    force_names(path.parent)",
        "        unfinished.unlink(missing_ok=True)",
        f"{_PROGRESS}::test_the_step_is_forced_to_the_disk_before_it_begins",
    ),
    Mutant(
        "a lost file is taken for that of a peer that never began",
        "peer/keeping/progress.py",
        "self.restarted = traces or path.exists()",
        "self.restarted = path.exists()",
        f"{_PROGRESS}::test_a_lost_file_is_told_from_one_that_never_was",
    ),
    Mutant(
        "a peer remembers what was lost when the run went on",
        "peer/keeping/progress.py",
        "(*(p for p in self._places if p.step < place.step), place)",
        "(*(p for p in self._places if p.step != place.step), place)",
        f"{_PROGRESS}::test_what_is_lost_is_forgotten_when_the_run_goes_on",
    ),
    Mutant(
        "an older step of a later incarnation is no later one",
        "peer/keeping/progress.py",
        "return may_begin(roster, peer, self.step if incarnation == self.incarnation else -1)",
        "return may_begin(roster, peer, self.step)",
        f"{_PROGRESS}::test_no_step_is_begun_twice_in_an_incarnation",
    ),
    Mutant(
        "all states that were ever kept stay",
        "peer/keeping/checkpoints.py",
        "for place in self.places[NEWEST:]:",
        "for place in ():",
        f"{_CHECKPOINTS}::test_the_newest_two_and_every_nth_stay",
    ),
    Mutant(
        "keeping states may take a fifth of the time",
        "peer/keeping/cadence.py",
        "SHARE = 0.02",
        "SHARE = 0.2",
        f"{_CHECKPOINTS}::test_what_keeping_costs_decides_how_often",
    ),
    Mutant(
        "the coordinator does not follow a run that has gone back",
        "coordinator/run/follower.py",
        "trusted, again = self.trusted, incarnation > self.incarnation",
        "trusted, again = self.trusted, False",
        "tests/coordinator/run/test_follower.py::test_another_incarnation_may_go_back_but_not_an_old_one",
    ),
    Mutant(
        "a peer begins again while most stand in a step",
        "peer/returning.py",
        "if reunion.roster.is_majority(standing):",
        "if False:",
        "tests/peer/test_returning.py::test_nobody_goes_on_while_most_stand_in_a_step",
    ),
    Mutant(
        "two of five bring a step to its end by looking for others",
        "peer/returning.py",
        "return not roster.is_majority(roster.voters - gone)",
        "return len(gone) > 1",
        "tests/peer/test_returning.py::test_a_voter_that_looks_for_others_has_left_its_step",
    ),
    Mutant(
        "the votes by which an incarnation has begun are forgotten",
        "peer/returning.py",
        "self._keep_proof(decision.incarnation, reunion.proof(decision.incarnation))",
        "pass",
        "tests/peer/test_returning.py::test_a_state_that_one_keeps_serves_all",
    ),
)
