"""No text of a stranger steers a terminal, nor looks like a line that somebody else wrote."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from btard.printable import printable, printable_lines


def test_what_a_terminal_would_obey_is_a_question_mark() -> None:
    assert printable("ok\x1b[31m\x07") == "ok?[31m?"
    assert printable("a\r\nb\u2028c\u202ed\u0085e\ud800") == "a??b?c?d?e?"
    assert printable("plain text, ü and 日本") == "plain text, ü and 日本"


@given(st.text())
def test_whatever_it_is_one_line_stays_one(text: str) -> None:
    assert printable(text).isprintable() and len(printable(text)) == len(text)


@given(st.text())
def test_lines_stay_lines_and_none_begins_anew(text: str) -> None:
    first, *further = printable_lines(text).split("\n")
    assert first.isprintable() and all(line.startswith("    ") and line.isprintable() for line in further)
