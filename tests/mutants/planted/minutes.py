"""Bugs by which a lie in the last step before all were gone is never found, or an honest peer pays for it."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_MINUTES = "btard/round/attempt/minutes.py"
_LEGACY = "btard/round/attempt/legacy.py"
_EXECUTOR = "btard/executor.py"
_LOOKBACK = "peer/lookback.py"
_CHECKPOINTS = "peer/keeping/checkpoints.py"
_AUDITS = "tests/btard/reunion/test_audits.py"
_READ = "tests/btard/round/attempt/test_minutes.py"
_ACCUSED = "tests/btard/test_executor_lookback.py"
_BACK = "tests/peer/test_lookback.py"

MINUTES = (
    Mutant(
        "a session that goes on forgets what it looks back at",
        _LEGACY,
        "        self.previous, self.links = minutes.attempt, dict(minutes.links)",
        "        pass",
        f"{_AUDITS}::test_a_lie_before_all_were_killed_is_found[tolerant]",
    ),
    Mutant(
        "what a peer was seen to submit is lost when all are killed",
        _LEGACY,
        "minutes.attempt, dict(minutes.links)",
        "minutes.attempt, {}",
        f"{_AUDITS}::test_a_lie_before_all_were_killed_is_found[momentum]",
    ),
    Mutant(
        "openings are owed that nobody can make any more",
        _LEGACY,
        "if record is not None and record.seats.rules.run == self._rules.run:",
        "if record is not None:",
        f"{_AUDITS}::test_nothing_is_owed_from_before",
    ),
    Mutant(
        "those that come back are expected to be as quick as before",
        "btard/round/context.py",
        "previous is None or self.has_come_back else",
        "previous is None else",
        f"{_AUDITS}::test_those_that_come_back_are_waited_for",
    ),
    Mutant(
        "evidence holds what was signed in another incarnation",
        "btard/round/proof.py",
        "previous is not None and same_run:",
        "previous is not None:",
        f"{_AUDITS}::test_a_lie_before_all_were_killed_is_found[tolerant]",
    ),
    Mutant(
        "a validator accuses where few can look back",
        _EXECUTOR,
        "return 2 * (1 + sum(theirs == ours for theirs in told)) > len(judges)",
        "return True",
        f"{_AUDITS}::test_nobody_is_accused_before_a_minority_that_remembers",
    ),
    Mutant(
        "minutes of another attempt count as the same",
        _EXECUTOR,
        "sum(theirs == ours for theirs in told)",
        "len(told)",
        f"{_ACCUSED}::test_a_lie_that_few_can_look_at_is_nobodys_business",
    ),
    Mutant(
        "what is lost with a disk counts as withheld",
        _EXECUTOR,
        "            return not finding.withheld",
        "            return True",
        f"{_AUDITS}::test_an_honest_target_that_lost_its_disk_stays[momentum]",
    ),
    Mutant(
        "minutes count that a minority has signed",
        _MINUTES,
        "return seats.roster.is_majority(peer for peer, signed in said.digests.items() if signed == right)",
        "return any(signed == right for signed in said.digests.values())",
        f"{_READ}::test_most_voters_must_have_signed_all_of_it",
    ),
    Mutant(
        "minutes lead to any roster",
        _MINUTES,
        "if signed == right)",
        "if signed.transcript == right.transcript)",
        f"{_READ}::test_most_voters_must_have_signed_what_follows",
    ),
    Mutant(
        "signatures in minutes are not verified",
        _MINUTES,
        "    envelope.verify()\n",
        "",
        f"{_READ}::test_nothing_else_than_was_signed_is_read[a false signature]",
    ),
    Mutant(
        "an aggregate counts that its owner has not signed for",
        _MINUTES,
        "        if digest(carried.aggregate(part)) != said.aggregates[owner].digest:",
        "        if False:",
        f"{_READ}::test_an_aggregate_is_what_its_owner_signed",
    ),
    Mutant(
        "nobody asks others for what they keep of a step",
        _LOOKBACK,
        "if self._manifest.momentum or place.step < 1:",
        "if True:",
        f"{_BACK}::test_what_one_keeps_of_a_step_serves_all",
    ),
    Mutant(
        "minutes may lead to another state than was signed",
        _LOOKBACK,
        "self._manifest.wire)) != digest:",
        "self._manifest.wire)) == b'':",
        f"{_BACK}::test_minutes_that_lead_elsewhere_are_dropped",
    ),
    Mutant(
        "strangers are shown minutes",
        "peer/returning.py",
        "if not self.awaits(asker) or live is None or live.step != step",
        "if live is None or live.step != step",
        f"{_BACK}::test_strangers_are_shown_no_minutes",
    ),
    Mutant(
        "minutes are kept of a step whose state is not",
        _CHECKPOINTS,
        "if self._newest_step != step - 1 or busy:",
        "if busy:",
        f"{_BACK}::test_minutes_are_kept_of_the_step_of_a_kept_state",
    ),
    Mutant(
        "minutes of a past that is lost stay",
        _CHECKPOINTS,
        "lost is not None and lost.following.step > place.step",
        "False",
        f"{_BACK}::test_minutes_are_kept_of_the_step_of_a_kept_state",
    ),
)
