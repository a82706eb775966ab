"""Attacks by name, and sentences for what is not one."""

import pytest

from btard.byzantine.gradients.attack import DataAttack, GradientAttack
from btard.byzantine.gradients.crafted.little import Little
from btard.byzantine.gradients.registry import attack_names, make_attack
from btard.errors import UserError


@pytest.mark.parametrize("name", attack_names())
def test_every_name_makes_an_attack_with_its_defaults(name: str) -> None:
    assert isinstance(make_attack(name), GradientAttack | DataAttack)


def test_parameters_are_read_from_text() -> None:
    assert make_attack("little:factor=1.5,negative=true") == Little(1.5, True)


def test_a_name_may_be_spelled_as_in_its_study() -> None:
    assert make_attack("empire-strict:factor=2") == make_attack("empire_strict:factor=2")


def test_every_call_makes_an_attack_of_its_own() -> None:
    assert make_attack("rop") is not make_attack("rop")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("litle", "must be one of these: alie, "),
        ("little:size=1", "the attack little has no parameter 'size'; its parameters are: factor, negative"),
        ("label_flip:size=1", "the attack label_flip has no parameter 'size'; it has none"),
        ("little:factor=-1.5", "factor is '-1.5': a factor is a number from 0 on, or minus a whole number"),
        ("little:factor=inf", "factor is 'inf': a factor"),
        ("little:factor=nan", "factor is 'nan': a factor"),
        ("little:factor=-100000", "at most 1000"),
        ("sign_flip:scale=0", "scale is '0': "),
        ("little:factor", "must be NAME or NAME:KEY=VALUE"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said.replace("'", ".")) as told:
        make_attack(text)
    assert "\n" not in str(told.value)
