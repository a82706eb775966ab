"""Documents that are UTF-8 text, in pieces of bounded length."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TextIO

from btard.errors import UserError
from btard.tasks.data.files import CorpusFile, content_digest, size_of

_PIECE_CHARACTERS = 1 << 18
_BLANKS = (" ", "\t", "\n")

_OTHERS = (
    (b"\x1f\x8b", "is packed by gzip; unpack it"),
    (b"BZh", "is packed by bzip2; unpack it"),
    (b"\xfd7zXZ", "is packed by xz; unpack it"),
    (b"\x28\xb5\x2f\xfd", "is packed by zstd; unpack it"),
    (b"PK\x03\x04", "is a zip archive; unpack it"),
    (b"PAR1", "is parquet; give it the ending .parquet"),
    (b"%PDF", "is a PDF; write its text to a file, for example with pdftotext"),
    # Before UTF-16, whose mark is the beginning of this one.
    (b"\xff\xfe\x00\x00", "is UTF-32; convert it to UTF-8, for example with iconv -f UTF-32 -t UTF-8"),
    (b"\x00\x00\xfe\xff", "is UTF-32; convert it to UTF-8, for example with iconv -f UTF-32 -t UTF-8"),
    (b"\xff\xfe", "is UTF-16; convert it to UTF-8, for example with iconv -f UTF-16 -t UTF-8"),
    (b"\xfe\xff", "is UTF-16; convert it to UTF-8, for example with iconv -f UTF-16 -t UTF-8"),
)
"""What files begin with that are often taken for text, and what to do with them."""

LONGEST_MARK = 6
"""Bytes."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a document.

    Attributes:
        text: characters, newlines as \\n; twice 2^18 of them at most.
        ends_document: whether the document ends here.
        units: how far this piece advances the source, in the unit of `TextSource.total_units`.
    """

    text: str
    ends_document: bool
    units: int


class TextSource(ABC):
    """A corpus of text.

    Attributes:
        total_units: about how much there is to read: characters of files, or rows of a data set.
    """

    total_units: int

    @property
    @abstractmethod
    def identity(self) -> str:
        """Hex digest that changes whenever the documents change."""

    @abstractmethod
    def pieces(self) -> Iterator[Piece]:
        """All documents from the first, in the same order at every call.

        Raises:
            UserError: a document cannot be read.
        """


class TextFiles(TextSource):
    """UTF-8 text files, in a folder or in a zip archive, one document each.

    Attributes:
        total_units: bytes of all files, about as many as characters.
    """

    def __init__(self, files: Sequence[CorpusFile]) -> None:
        self._files = files
        self.total_units = sum(size_of(file) for file in files)

    @cached_property
    def identity(self) -> str:
        """Hex digest of the contents."""
        return content_digest(self._files)

    def pieces(self) -> Iterator[Piece]:
        """All files from the first; raises UserError for one that is not UTF-8."""
        for file in self._files:
            try:
                with file.open("r", encoding="utf-8-sig") as stream:
                    for text, last in cut(stream):
                        if "\0" in text:
                            raise UserError(
                                _no_text(file, "has NUL characters, as UTF-16 or UTF-32 without a mark has")
                            )
                        yield Piece(text, ends_document=last, units=len(text))
            except UnicodeDecodeError:
                raise UserError(_no_text(file, "is not UTF-8 text")) from None


def cut(stream: TextIO) -> Iterator[tuple[str, bool]]:
    """Yield a document in pieces, each with whether it is the last.

    A piece ends at a line's end; within a line that is too long, at a blank, and in a word that is too long, anywhere.
    """
    text, left = _next(stream, "")
    while text:
        following, left = _next(stream, left)
        yield text, not following
        text = following


def _next(stream: TextIO, left: str) -> tuple[str, str]:
    """The next piece, and what of its last line is left for the one after it, less than 2^18 characters."""
    text = left + stream.read(_PIECE_CHARACTERS - len(left))
    text += stream.readline(_PIECE_CHARACTERS)
    if len(text) < 2 * _PIECE_CHARACTERS or text.endswith("\n"):
        return text, ""
    end = max(text.rfind(blank, _PIECE_CHARACTERS + 1) for blank in _BLANKS) + 1 or len(text)
    return text[:end], text[end:]


def _no_text(file: CorpusFile, otherwise: str) -> str:
    with file.open("rb") as stream:
        return f"{file} {what_it_is(stream.read(LONGEST_MARK), otherwise)}"


def what_it_is(head: bytes, otherwise: str = "is not UTF-8 text") -> str:
    """Return what a file is that is no text, and what to do about it, as the end of a sentence about it.

    Args:
        head: the first LONGEST_MARK bytes of the file.
        otherwise: what to say where they do not tell.
    """
    words = next((words for mark, words in _OTHERS if head.startswith(mark)), None)
    return f"{words or f'{otherwise}; convert it to UTF-8, for example with iconv'}, or leave it out"
