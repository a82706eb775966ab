"""Bugs in what a run in stages announces, and in how a stage that lies loses its seat."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_PROOF, _PROOFS = "coordinator/pipeline/proof.py", "tests/coordinator/pipeline/test_proof.py"
_BANS, _BANNED = "coordinator/pipeline/bans.py", "tests/coordinator/pipeline/test_bans.py"
_USHER, _USHERED = "pipeline/seats/usher.py", "tests/pipeline/seats/test_usher.py"
_BUILD, _BUILT = "pipeline/live/build.py", "tests/pipeline/live/test_build.py"
_TERMS = "tests/coordinator/test_pipeline_terms.py::test_settings_that_do_not_fit_are_refused"

STAGE_BANS: tuple[Mutant, ...] = (
    Mutant(
        "a proof may be about peers that had other seats",
        _PROOF,
        "if seating is None or tuple(evidence.roster) != seating.seats:",
        "if seating is None:",
        f"{_PROOFS}::test_a_proof_with_other_seats_is_none",
    ),
    Mutant(
        "a proof may be judged by any plan",
        _PROOF,
        "if case.facts.digest == facts.digest or case.pledge is None:",
        "if case.facts:",
        f"{_PROOFS}::test_a_proof_by_another_plan_is_none",
    ),
    Mutant(
        "the coordinator believes what a proof says",
        _PROOF,
        "    evidence.check()\n",
        "",
        f"{_PROOFS}::test_a_proof_that_names_another_peer_is_none",
    ),
    Mutant(
        "one peer can keep the coordinator computing",
        _BANS,
        "if self._told[peer] >= MOST_PROOFS:",
        "if False:",
        f"{_BANNED}::test_one_peer_is_asked_for_a_bounded_number_of_proofs",
    ),
    Mutant(
        "a proof that proves nothing is computed again and again",
        _BANS,
        "shown.proof in self._looked_at or ",
        "",
        f"{_BANNED}::test_what_was_looked_at_is_not_asked_for_again",
    ),
    Mutant(
        "a coordinator started anew gives a liar its seat back",
        _BANS,
        "        self._usher.banned.update(ban.proof.peer for ban in self.bans)\n",
        "",
        f"{_BANNED}::test_a_proved_liar_is_banned",
    ),
    Mutant(
        "after a ban all go on from a state after the lie",
        _USHER,
        "self._newest_states(alive - self.banned, self._lied_in)",
        "self._newest_states(alive - self.banned)",
        f"{_USHERED}::test_after_a_ban_all_go_back_behind_the_lie",
    ),
    Mutant(
        "a lie of a former seating throws all back",
        _USHER,
        "if self.seating is not None and number == self.seating.number:",
        "if self.seating is not None:",
        f"{_USHERED}::test_a_lie_of_a_former_seating_is_no_reason_to_go_back",
    ),
    Mutant(
        "a codec that activations do not fit is announced",
        _BUILD,
        "        check_dims(codec, sample)\n",
        "",
        _TERMS,
    ),
    Mutant(
        "a run of unchecked stages checks them",
        "pipeline/machine/plan.py",
        '"checked": chosen.check != "none"',
        '"checked": True',
        f"{_BUILT}::test_an_unchecked_run_says_so",
    ),
    Mutant(
        "a stage that goes on from a state is judged by the first one",
        _BUILD,
        " if seating.step == 0 and seating.states == self.beginning else ()",
        "",
        f"{_BUILT}::test_first_states_are_known_only_from_the_seed",
    ),
    Mutant(
        "a record or a case of a stage is not let in",
        _BUILD,
        "for kind in StageMessageKind for stage",
        "for kind in _IN_STEPS for stage",
        f"{_BUILT}::test_all_that_stages_say_fits",
    ),
)
