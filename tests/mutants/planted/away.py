"""Bugs in what is held, remembered and handed on while a coordinator is away or its disk is full."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

CHAIN = "tests/swarm/test_lineage.py"
HELD = "tests/peer/keeping/test_held.py"
SAVING = "tests/coordinator/run/test_checkpoints.py"
METRICS = "tests/coordinator/telemetry/test_metrics.py"
KNOWN = "tests/peer/meeting/test_acquaintances.py"

AWAY: tuple[Mutant, ...] = (
    Mutant(
        "a full disk on which a state arrives costs checkpoints",
        "coordinator/run/checkpoints.py",
        '            self._cannot_write(step, f"it cannot be written: {error.strerror}")',
        "            self._failed(step, str(error.strerror))",
        "tests/coordinator/run/test_checkpoints.py::test_a_disk_on_which_no_state_can_arrive_is_waited_for",
    ),
    Mutant(
        "a chain leads where fewer than most of those trusted have signed",
        "swarm/lineage.py",
        "if not later or not trusted[1].is_majority(link.signers):",
        "if not later:",
        f"{CHAIN}::test_what_most_have_not_signed_leads_nowhere",
    ),
    Mutant(
        "another roster follows than the one that was signed",
        "swarm/lineage.py",
        "if digest.following != self.following.digest:",
        "if False:",
        f"{CHAIN}::test_what_most_have_not_signed_leads_nowhere",
    ),
    Mutant(
        "a chain leads back",
        "swarm/lineage.py",
        "later = (link.incarnation, link.following.step) > (trusted[0], trusted[1].step)",
        "later = True",
        f"{CHAIN}::test_nothing_goes_back",
    ),
    Mutant(
        "a chain has a link for each step",
        "swarm/lineage.py",
        "if kept and before.is_majority(new.signers):",
        "if False:",
        f"{CHAIN}::test_a_chain_is_no_longer_than_changes_of_half_the_voters",
    ),
    Mutant(
        "a chain is one link, though half of the voters have left",
        "swarm/lineage.py",
        "if kept and before.is_majority(new.signers):",
        "if kept:",
        f"{CHAIN}::test_a_roster_is_followed_though_all_its_members_are_gone",
    ),
    Mutant(
        "steps that were lost stay in a chain",
        "swarm/lineage.py",
        "if base.step < link.following.step <= new.roster.step]",
        "if base.step < link.following.step]",
        f"{CHAIN}::test_steps_that_were_lost_are_left_out",
    ),
    Mutant(
        "a newcomer hands on no way into the run",
        "peer/meeting/descent.py",
        "trusted, self.links = found, used",
        "trusted = found",
        "tests/peer/meeting/test_descent.py::test_a_newcomer_hands_the_way_on_and_makes_it_longer",
    ),
    Mutant(
        "a coordinator that comes back knows its old members alone",
        "coordinator/run/follower.py",
        "newest_stand(self.trusted, self.heads) or await self._by_chain(now)",
        "newest_stand(self.trusted, self.heads)",
        "tests/coordinator/run/test_follower.py::test_members_that_came_after_all_known_ones_are_found",
    ),
    Mutant(
        "members are dialled only where they themselves announce to be",
        "coordinator/run/follower.py",
        "known = dict(told) | {",
        "known = {",
        "tests/coordinator/run/test_follower.py::test_members_are_dialled_where_others_say_that_they_are",
    ),
    Mutant(
        "a node without a way into the DHT never finds one",
        "btard/transport/libp2p/records.py",
        "self._protocol.lost.setdefault(node)",
        "pass",
        "tests/btard/transport/libp2p/test_records.py::test_a_lone_node_learns_which_connected_peer_to_ask",
    ),
    Mutant(
        "a state is held no longer than two newer ones",
        "peer/keeping/held.py",
        "if old <= self._stored:",
        "if True:",
        f"{HELD}::test_what_is_not_stored_is_held_the_older_on_disk",
    ),
    Mutant(
        "states of a past that is lost are offered",
        "peer/serving.py",
        "self._held.go_back(roster.step + 1)",
        "pass",
        "tests/peer/test_serving.py::test_a_past_that_is_lost_is_offered_no_more",
    ),
    Mutant(
        "states that are stored stay on the disk",
        "peer/keeping/held.py",
        "if step <= self._stored]:",
        "if step < 0]:",
        f"{HELD}::test_what_is_stored_is_let_go",
    ),
    Mutant(
        "the last state is in memory alone",
        "peer/keeping/held.py",
        "if step == self._last_step:\n            await",
        "if False:\n            await",
        f"{HELD}::test_the_last_state_is_on_the_disk_at_once",
    ),
    Mutant(
        "states are held without a bound",
        "peer/keeping/held.py",
        "while len(self.digests) > MAX_SNAPSHOTS or",
        "while",
        f"{HELD}::test_the_oldest_go_when_there_are_too_many",
    ),
    Mutant(
        "a full disk costs the last state",
        "peer/keeping/held.py",
        "if step == self._last_step:  # it stays",
        "if False:  # it stays",
        f"{HELD}::test_a_full_disk_is_told_and_spares_the_last_state",
    ),
    Mutant(
        "a peer ends well though nobody has stored the last state",
        "peer/keeping/handing_over.py",
        "if record.stored >= step:",
        "if True:",
        f"{HELD}::test_a_peer_ends_as_its_last_state_is_stored_or_not",
    ),
    Mutant(
        "peers let go of a last state that nobody has",
        "coordinator/run/checkpoints.py",
        "if not wanted and not (open_step and step == last):",
        "if not wanted:",
        f"{SAVING}::test_members_keep_a_last_state_that_was_given_up",
    ),
    Mutant(
        "a full disk costs checkpoints",
        "coordinator/run/checkpoints.py",
        'self._cannot_write(step, f"it cannot be written: {error.strerror}")',
        'self.miss(step, f"it cannot be written: {error.strerror}")',
        f"{SAVING}::test_a_disk_that_takes_nothing_is_waited_for",
    ),
    Mutant(
        "checkpoints that nobody holds any more are lost without a word",
        "coordinator/run/checkpoints.py",
        "if now - since > UNOFFERED_SECONDS:",
        "if False:",
        f"{SAVING}::test_what_most_do_not_hold_any_more_is_named",
    ),
    Mutant(
        "checkpoints are given up while most members are silent",
        "coordinator/run/checkpoints.py",
        "for step in unoffered} if answered else {}",
        "for step in unoffered}",
        f"{SAVING}::test_what_most_do_not_hold_any_more_is_named",
    ),
    Mutant(
        "what is not stored need not be held",
        "coordinator/run/checkpoints.py",
        "if not wanted and not",
        "if not",
        f"{SAVING}::test_what_is_not_stored_yet_is_to_be_held",
    ),
    Mutant(
        "reports that a record does not go back to are not asked for",
        "coordinator/telemetry/metrics.py",
        "expected < first <= trusted.step + MAX_AHEAD",
        "first < expected <= trusted.step + MAX_AHEAD",
        f"{METRICS}::test_missed_steps_are_asked_for_until_all_are_there",
    ),
    Mutant(
        "one answer is all that a member is asked for",
        "coordinator/telemetry/metrics.py",
        "                more[peer] = self._last[peer] + 1",
        "                pass",
        f"{METRICS}::test_missed_steps_are_asked_for_until_all_are_there",
    ),
    Mutant(
        "steps without a report are passed over in silence",
        "coordinator/telemetry/metrics.py",
        "if step > self._closed + 1:",
        "if False:",
        f"{METRICS}::test_what_nobody_remembers_is_named",
    ),
    Mutant(
        "a restart forgets who had reported of an open step",
        "coordinator/telemetry/metrics.py",
        "            self._last[peer] = report.step\n            self._count(peer, report)",
        "            self._last[peer] = report.step",
        f"{METRICS}::test_reports_of_a_step_that_was_open_survive_a_restart",
    ),
    Mutant(
        "a peer remembers no more reports than it publishes",
        "peer/keeping/reports.py",
        "deque(maxlen=MAX_KEPT)",
        "deque(maxlen=MAX_METRICS)",
        "tests/peer/telemetry/test_reporting.py::test_earlier_steps_are_remembered_beside_the_record",
    ),
    Mutant(
        "another peer at a member's address is taken for it",
        "peer/meeting/acquaintances.py",
        "if split_maddr(maddr)[0] in known.values()]",
        "]",
        f"{KNOWN}::test_another_peer_at_the_address_is_not_taken_for_them",
    ),
    Mutant(
        "old acquaintances stand for other initial peers",
        "peer/meeting/acquaintances.py",
        "if read.named == tuple(named) and read.maddrs else None",
        "if read.maddrs else None",
        f"{KNOWN}::test_other_initial_peers_are_another_matter",
    ),
)
