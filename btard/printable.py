"""Strangers' texts on their way to a terminal or a log, without what a terminal would obey or a reader mistake."""

from __future__ import annotations

_INDENT = "\n    "


def printable(text: str) -> str:
    """Return a text in one line, every character that cannot be printed a question mark.

    Those are controls, terminal codes, line ends, and marks that turn the direction of writing.
    """
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def printable_lines(text: str) -> str:
    """Return a text of several lines likewise: lines after the first are indented, so that none looks like another
    entry of a log."""
    return _INDENT.join(printable(line.replace("\t", " ")) for line in text.splitlines())
