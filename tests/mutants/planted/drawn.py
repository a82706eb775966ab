"""Bugs by which a goodbye outruns an audit."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_STANDING = "btard/round/failure/standing.py"
_RESOLVE = "btard/round/failure/resolve.py"
_DRAWN = "tests/btard/round/test_drawn.py"
_COURT = "tests/btard/round/test_settle_court.py"
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
        "evidence convicts members alone",
        "btard/round/proof.py",
        "those = scene.roster.members if evidence.offence in _OF_LAST_STEP else scene.members",
        "those = scene.members",
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
        "sorted(set(seats.roster.members) - testimony.banned)",
        "sorted(seats.known)",
        f"{_COURT}::test_those_that_have_left_pay_for_the_step_before",
    ),
)
