"""Bugs by which a goodbye outruns an audit."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_STANDING = "btard/round/failure/standing.py"
_RESOLVE = "btard/round/failure/resolve.py"
_DRAWN = "tests/btard/round/test_drawn.py"
_COURT = "tests/btard/round/test_settle_court.py"
_DRAW = "tests/btard/round/test_draw.py"
_DESERTED = f"{_DRAWN}::test_a_validator_that_leaves_does_not_save_its_target"
_LEAVES = f"{_DRAWN}::test_a_liar_that_leaves_when_it_is_drawn_is_banned[0-goodbye]"

DRAWN = (
    Mutant(
        "a target that has left cannot be charged",
        _STANDING,
        "return member or (drawn and charge.kind.about_last_step)",
        "return member",
        f"{_DRAWN}::test_a_liar_that_is_suspended_first_is_banned_later[0]",
    ),
    Mutant(
        "a charge about one that has left is malformed",
        "btard/round/messages/form.py",
        "(charge.accused in members or charge.kind.about_last_step)",
        "charge.accused in members",
        _LEAVES,
    ),
    Mutant(
        "the court convicts members alone",
        _RESOLVE,
        "bans=tuple(bans[peer] for peer in sorted(bans)),",
        "bans=tuple(bans[peer] for peer in seats.members if peer in bans),",
        _LEAVES,
    ),
    Mutant(
        "one that has left is charged with what it cannot show any more",
        _STANDING,
        "return member and drawn and (",
        "return drawn and (",
        f"{_DRAWN}::test_an_honest_peer_that_leaves_is_found_innocent[0-0.9]",
    ),
    Mutant(
        "anybody charges one that has left, of anything",
        _STANDING,
        "return member or (drawn and charge.kind.about_last_step)",
        "return True",
        f"{_COURT}::test_a_drawn_target_is_charged_wherever_it_has_gone",
    ),
    Mutant(
        "a banned peer is charged again",
        _STANDING,
        "heard = (accuser, charge) in self.judged or charge.accused in self.banned",
        "heard = (accuser, charge) in self.judged",
        f"{_COURT}::test_nobody_is_charged_that_is_banned_already",
    ),
    Mutant(
        "an accomplice that has left has covered up nothing",
        _RESOLVE,
        "sorted(named.intersection(seats.roster.members) - testimony.banned)",
        "sorted(named.intersection(seats.known))",
        f"{_COURT}::test_those_that_have_left_pay_for_the_step_before",
    ),
    Mutant(
        "an audit goes with its validator",
        "btard/round/draw.py",
        "if len(stay) == len(audits):",
        "if True:",
        f"{_DESERTED}[stays-exact]",
    ),
    Mutant(
        "all voters may have to stand in for validators",
        "btard/round/draw.py",
        "room = max(0, len(voters) - 2 - len(stay))",
        "room = len(voters)",
        f"{_DRAW}::test_deputies_are_drawn",
    ),
    Mutant(
        "a target examines for another",
        "btard/round/draw.py",
        "sorted(set(voters) - drawn)",
        "sorted(voters)",
        f"{_DRAW}::test_no_audit_goes_with_its_validator",
    ),
    Mutant(
        "deputies may not say what they find",
        _STANDING,
        "seats.validators.get(accuser) == charge.accused",
        "seats.roster.validators.get(accuser) == charge.accused",
        f"{_DESERTED}[leaves-exact]",
    ),
    Mutant(
        "a deputy sends the vector that it has computed",
        "btard/round/phases/commit.py",
        "if self._seats.me not in self._seats.submitting:",
        "if False:",
        f"{_DRAWN}::test_a_deputy_looks_at_each_target_that_comes_to_it",
    ),
    Mutant(
        "a deputy goes on from a vector that nobody was sent",
        "btard/transport/memory.py",
        "if not result.submitted:",
        "if False:",
        f"{_DRAWN}::test_honest_deputies_and_their_targets_lose_nothing",
    ),
    Mutant(
        "what a target shows its validator alone convinces nobody",
        "btard/round/failure/court/court.py",
        "self._context.examine(target, tuple(by[:_ASKED]))",
        "self._context.examine(target)",
        f"{_DRAWN}::test_what_was_shown_to_the_validator_alone_convicts",
    ),
    Mutant(
        "what an accuser shows is not asked for where the target is silent",
        "peer/shown_material.py",
        "for accuser in accusers if accuser != me]",
        "for accuser in accusers if False]",
        "tests/peer/test_shown_material.py::test_what_the_target_does_not_show_its_accusers_do",
    ),
    Mutant(
        "the first answer counts, whatever it is",
        "peer/shown_material.py",
        "if shown is not None and await fits(shown):",
        "if shown is not None:",
        "tests/peer/test_shown_material.py::test_what_the_target_does_not_show_its_accusers_do",
    ),
    Mutant(
        "everything is kept that was ever shown",
        "btard/executor.py",
        "        if not (finding.accuse or finding.withheld):\n            for what in Exhibit:",
        "        if False:\n            for what in Exhibit:",
        "tests/btard/test_executor.py::test_nothing_is_kept_of_the_innocent",
    ),
    Mutant(
        "what was shown of earlier steps is kept",
        "btard/executor.py",
        "for place, data in self._exhibits.items() if place[2] == step}",
        "for place, data in self._exhibits.items()}",
        "tests/btard/test_executor.py::test_what_proves_a_lie_is_kept_for_the_judges",
    ),
    Mutant(
        "anybody is shown what a target has shown",
        "peer/serving.py",
        "        if sender not in self._head.roster.members:",
        "        if sender not in self._head.roster.members and not question.peer:",
        "tests/peer/test_serving.py::test_what_a_target_has_shown_is_handed_on",
    ),
    Mutant(
        "what is still being computed cannot be taken back",
        "peer/trainer.py",
        "await self._work(lambda: self._momentum.withdraw(step))",
        "self._momentum.withdraw(step)",
        "tests/peer/test_trainer.py::test_what_nobody_was_sent_is_no_link_of_a_chain",
    ),
    Mutant(
        "a judge asks all accusers for a vector each",
        "btard/round/failure/court/court.py",
        "tuple(by[:_ASKED])",
        "tuple(by)",
        "tests/btard/round/failure/court/test_court.py::test_a_judge_asks_the_validator_before_other_accusers",
    ),
    Mutant(
        "a judge asks accusers that were shown nothing before the validator",
        "btard/round/failure/court/court.py",
        "by.sort(key=lambda accuser: self._seats.validators.get(accuser) != target)",
        "pass",
        "tests/btard/round/failure/court/test_court.py::test_a_judge_asks_the_validator_before_other_accusers",
    ),
    Mutant(
        "evidence convicts members alone",
        "btard/round/proof.py",
        "those = targets.union(scene.roster.members) if evidence.offence in _OF_LAST_STEP else scene.members",
        "those = scene.members",
        _LEAVES,
    ),
    Mutant(
        "a peer that has examined one target does not look at another",
        "btard/round/phases/commit.py",
        "target is not None and target not in self._own.examined and",
        "target is not None and not self._own.examined and",
        f"{_DRAWN}::test_a_deputy_looks_at_each_target_that_comes_to_it",
    ),
    Mutant(
        "a deputy examines one that is banned already",
        "btard/round/phases/commit.py",
        " and target not in self._banned:",
        ":",
        f"{_DRAWN}::test_a_deputy_looks_at_each_target_that_comes_to_it",
    ),
)
