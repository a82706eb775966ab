"""What is chosen by name, with settings of its own: read as typed, and written as it would be typed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btard.configuration.named import Named
from btard.errors import UserError

KEYS = st.from_regex("[a-z][a-z0-9_]{0,9}", fullmatch=True)
WORDS = st.from_regex("[A-Za-z0-9][A-Za-z0-9_.-]{0,9}", fullmatch=True)
VALUES = st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS


def test_a_name_alone_has_no_settings() -> None:
    assert Named.parse("gpt", "--task") == Named("gpt")
    assert str(Named("gpt")) == "gpt"


def test_settings_stay_text() -> None:
    assert Named.parse("checkers: squares=4, width=64", "--task") == Named("checkers", {"squares": "4", "width": "64"})


def test_text_is_in_the_order_of_keys() -> None:
    assert str(Named("x", {"b": True, "a": 0.5, "c": "small"})) == "x:a=0.5,b=true,c=small"


@given(WORDS, st.dictionaries(KEYS, VALUES, max_size=5))
def test_what_is_written_is_read_again(name: str, values: dict[str, bool | int | float | str]) -> None:
    text = str(Named(name, values))
    read = Named.parse(text, "it")
    assert (read.name, set(read.values)) == (name, set(values))
    assert str(read) == text


@pytest.mark.parametrize("text", ["", ":", "x:", "x:a", "x:a=", "x:=1", "x:a=1,", ":a=1", "x:A=1", "x:a b=1", "x:1=1"])
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"--task is .*, but must be NAME or NAME:KEY=VALUE,KEY=VALUE"):
        Named.parse(text, "--task")


def test_a_key_given_twice_is_refused() -> None:
    with pytest.raises(UserError, match="which gives a key twice"):
        Named.parse("x:a=1,a=2", "--task")
