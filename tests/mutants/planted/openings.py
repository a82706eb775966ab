"""Bugs by which a validator that does nothing keeps its place, or an honest one loses it."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_COMMIT = "btard/round/phases/commit.py"
_COURT = "btard/round/failure/court/court.py"
_DEBTS = "btard/round/attempt/debts.py"
_SEALS = "btard/round/work/seals.py"
_NUMBERS = "btard/verification/openings.py"
_SWARM = "tests/btard/round/test_openings.py"
_IN_COURT = "tests/btard/round/failure/court/test_court.py"
_OWED = "tests/btard/round/attempt/test_debts.py"
_SEALED = "tests/btard/round/work/test_seals.py"
_MEASURED = "tests/btard/verification/test_openings.py"
_EXECUTOR = "tests/btard/test_executor.py"

OPENINGS = (
    Mutant(
        "a target does not compare what its validator opens",
        _COMMIT,
        "        false = rules.verification.opening.accuses(off)",
        "        false = False",
        f"{_SWARM}::test_made_up_numbers_ban[exact]",
    ),
    Mutant(
        "a target charges where most voters are too new to judge",
        _COMMIT,
        "if debt.validator not in self._seats.known or not self._seats.is_majority(len(judges)):",
        "if debt.validator not in self._seats.known:",
        "tests/btard/round/phases/test_commit.py::test_nothing_is_charged_that_most_cannot_know_of",
    ),
    Mutant(
        "all validators of a step open along one direction",
        _NUMBERS,
        '"btard opening direction", randomness, validator)',
        '"btard opening direction", randomness)',
        f"{_MEASURED}::test_directions_differ_by_randomness_and_validator",
    ),
    Mutant(
        "numbers that are none open any seal",
        _NUMBERS,
        "    if not all(map(math.isfinite, offs)):\n        return math.nan",
        "    if not all(map(math.isfinite, offs)):\n        return 0.0",
        f"{_MEASURED}::test_what_is_no_number_is_accused",
    ),
    Mutant(
        "a validator whose machine differs within the band is convicted",
        "btard/verification/thresholds.py",
        "Thresholds(acquit=accuse / 2, convict=accuse, accuse=2 * accuse)",
        "Thresholds(acquit=accuse / 20, convict=accuse / 10, accuse=accuse / 5)",
        f"{_SWARM}::test_machines_that_differ_within_the_band_convict_nobody[0.008]",
    ),
    Mutant(
        "a seal over other bytes is opened where machines are alike",
        _SEALS,
        "if exact and seal_of(opening.salt, made.digest) != seal:",
        "if exact and not seal:",
        f"{_SWARM}::test_what_was_not_sealed_cannot_be_opened",
    ),
    Mutant(
        "everybody can make a validator's salt",
        _SEALS,
        'key.sign(b"btard seal\\0" + roster.digest)',
        "roster.digest",
        f"{_SEALED}::test_each_validator_has_a_salt_of_its_own_in_each_step",
    ),
    Mutant(
        "a seal changes from attempt to attempt",
        _COMMIT,
        "seal_of(salt_of(context.key, context.roster), made.digest)",
        "seal_of(self._seats.attempt_id, made.digest)",
        f"{_SWARM}::test_seal_and_opening_are_the_same_in_all_attempts",
    ),
    Mutant(
        "a validator that has sealed nothing may open anything",
        _DEBTS,
        "return bool(self.seal) and opening is not None",
        "return opening is not None",
        f"{_OWED}::test_a_debt_is_paid_by_what_was_sealed_and_is_opened",
    ),
    Mutant(
        "a validator that opens nothing keeps its place",
        "btard/round/failure/resolve.py",
        "        elif charge.kind is ChargeKind.NO_OPENING:",
        "        elif charge.kind is ChargeKind.WITHHELD:",
        f"{_SWARM}::test_one_that_opens_nothing_is_out_without_a_ban",
    ),
    Mutant(
        "anybody may call in an opening that is owed to another",
        _COURT,
        "debts.between(charge.accused, accuser)",
        "debts.of(charge.accused)",
        f"{_IN_COURT}::test_nobody_else_has_a_claim_to_an_opening",
    ),
    Mutant(
        "a judge that was not there says that nothing is owed",
        _COURT,
        "Opinion.INNOCENT if debts.known else Opinion.UNSURE",
        "Opinion.INNOCENT",
        f"{_IN_COURT}::test_nobody_else_has_a_claim_to_an_opening",
    ),
    Mutant(
        "a judge believes a target without recomputing its vector",
        "btard/executor.py",
        "return opinion_on(rules.verification.opening, opening_excess(task.opening, debt.seal, made, rules))",
        "return Opinion.GUILTY",
        f"{_EXECUTOR}::test_a_judge_recomputes_what_a_validator_opens",
    ),
    Mutant(
        "an opening that only the target was told convicts the target",
        "btard/round/messages/accusations.py",
        "return self in (ChargeKind.GRADIENT, ChargeKind.WITHHELD)",
        "return self in (ChargeKind.GRADIENT, ChargeKind.WITHHELD, ChargeKind.FALSE_OPENING)",
        f"{_SWARM}::test_an_opening_told_to_one_turns_against_its_author",
    ),
    Mutant(
        "a judge has forgotten the parameters that a validator had",
        "tasks/training_state.py",
        "_MOST_HELD = 2",
        "_MOST_HELD = 1",
        "tests/tasks/test_training_state.py::test_the_parameters_before_the_last_two_updates_are_held",
    ),
    Mutant(
        "a charge about an opening may be heard in many forms",
        "btard/round/failure/standing.py",
        "earlier = charge.kind.about_last_step or charge.kind.about_opening",
        "earlier = charge.kind.about_last_step",
        "tests/btard/round/test_settle_court.py::test_a_charge_about_an_opening_names_no_part[8]",
    ),
    Mutant(
        "the direction of an opening is known before the seal",
        _DEBTS,
        "direction_of(sealed.results.randomness, validator)",
        "direction_of(seats.roster.randomness, validator)",
        f"{_OWED}::test_every_validator_owes_its_target",
    ),
    Mutant(
        "a validator that cannot judge a momentum seals nothing",
        "btard/executor.py",
        "return UNKNOWN, await self._sealable(record, task, time_left)",
        "return UNKNOWN, None",
        f"{_EXECUTOR}::test_what_cannot_be_judged_can_be_sealed",
    ),
    Mutant(
        "an audit that a deputy has taken over is not opened",
        _DEBTS,
        "for validator, target in seats.validators.items():",
        "for validator, target in seats.roster.validators.items():\n"
        "        if validator not in seats.known:\n            continue",
        f"{_OWED}::test_the_deputy_of_a_validator_that_is_out_owes_in_its_place",
    ),
)
