"""Seals: nobody else can make one, and where machines are alike it must be that of the same bytes."""

from __future__ import annotations

import dataclasses
import math

import torch

from btard.hashing import digest
from btard.round.roster import Roster, first_randomness
from btard.round.rules import StepRules, VerificationRules
from btard.round.work.seals import opening_excess, opening_of, salt_of, seal_of, sketch
from btard.vocabulary import Validation
from tests.btard.round.swarm import RULES, keys

KEYS = keys(2)
ROSTER = Roster(3, tuple(key.peer_id for key in KEYS), frozenset(), first_randomness(0, 3))
VECTOR = torch.arange(40.0)
DIRECTION = bytes(range(32))
MADE = sketch(DIRECTION, VECTOR)


def rules(validation: Validation) -> StepRules:
    return dataclasses.replace(RULES, verification=VerificationRules(validation=validation))


def test_each_validator_has_a_salt_of_its_own_in_each_step() -> None:
    later = dataclasses.replace(ROSTER, step=4)
    salts = [salt_of(key, roster) for key in KEYS for roster in (ROSTER, later)]
    assert len({*salts, *(seal_of(salt, MADE.digest) for salt in salts)}) == 8
    assert salt_of(KEYS[0], ROSTER) == salts[0], "the same in all attempts"


def test_a_seal_is_not_made_of_the_hash_alone() -> None:
    assert seal_of(digest(b"a"), MADE.digest) != seal_of(digest(b"b"), MADE.digest) != MADE.digest


def test_an_opening_fits_its_seal() -> None:
    salt = salt_of(KEYS[0], ROSTER)
    opening, seal = opening_of(salt, MADE), seal_of(salt, MADE.digest)
    for validation in Validation:
        assert opening_excess(opening, seal, MADE, rules(validation)) == 0.0
    for other in (digest(b"another"), seal_of(digest(b"salt"), MADE.digest)):
        assert opening_excess(opening, other, MADE, rules(Validation.EXACT)) == math.inf
        assert opening_excess(opening, other, MADE, rules(Validation.TOLERANT)) == 0.0, "of other bits, perhaps"
