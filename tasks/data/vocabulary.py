"""Tokenizers: trained from a corpus or loaded, and the quick encoder for characters."""

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from btard.errors import UserError
from btard.tasks.data.files import find_tokenizer

_LONG_WORD = re.compile(r"\S{257,}")
_MOST_OF_LONG_WORDS = 1 << 18
"""Characters of long words that byte pairs are learnt from. A trainer keeps each distinct word in memory, some 30 bytes
a character, and goes through those with a pair to merge it; of ordinary words there are few however long a corpus is,
but one without blanks has nothing but long ones.
"""


class TokenizerKind(StrEnum):
    """How a tokenizer is trained when none is given."""

    CHARACTERS = "characters"
    """One token a character: the most frequent ones of the corpus."""
    BYTE_PAIRS = "byte_pairs"
    """Byte-level byte-pair encoding, lossless, as GPT-2 has."""
    UNCASED_WORD_PIECES = "uncased_word_pieces"
    """Byte-pair encoding of lower-case words with a word-start mark, as ALBERT has (which trains it as a unigram model;
    the unigram trainer sums in an order that changes from run to run)."""


class TokenizerRequest(BaseModel):
    """The tokenizer that a task wants.

    Attributes:
        kind: how to train it.
        vocabulary_size: the most tokens it may have, special ones included.
        specials: special tokens; trained tokenizers number them from 0.
        separator: the special token between documents, None to join them directly.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: TokenizerKind
    vocabulary_size: int
    specials: tuple[str, ...]
    separator: str | None


class Encoder(ABC):
    """Text to token numbers.

    Attributes:
        tokenizer: the same as an object of the `tokenizers` package.
    """

    tokenizer: Tokenizer

    @abstractmethod
    def encode(self, texts: Sequence[str]) -> list[npt.NDArray[np.int64]]:
        """The tokens of each text, int64, without special tokens around them."""


class LibraryEncoder(Encoder):
    """Encodes with the `tokenizers` package."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    def encode(self, texts: Sequence[str]) -> list[npt.NDArray[np.int64]]:
        encodings = self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.asarray(encoding.ids, dtype=np.int64) for encoding in encodings]


class CharacterEncoder(Encoder):
    """Encodes characters by a table, fifty times as fast as the `tokenizers` package and with the same result."""

    def __init__(self, alphabet: str, specials: Sequence[str], unknown: str) -> None:
        """The alphabet's characters are numbered in its order, after the special tokens."""
        numbers = {token: number for number, token in enumerate([*specials, *alphabet])}
        self.tokenizer = Tokenizer(models.WordLevel(numbers, unk_token=unknown))
        self.tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
        self.tokenizer.decoder = decoders.Fuse()
        self._unknown = numbers[unknown]
        self._table = np.full(max(map(ord, alphabet)) + 1, self._unknown, dtype=np.int64)
        for character in alphabet:
            self._table[ord(character)] = numbers[character]

    def encode(self, texts: Sequence[str]) -> list[npt.NDArray[np.int64]]:
        return [self._encode_one(text) for text in texts]

    def _encode_one(self, text: str) -> npt.NDArray[np.int64]:
        points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        inside = points < len(self._table)
        return np.where(inside, self._table[np.where(inside, points, 0)], self._unknown)


def train(request: TokenizerRequest, texts: Iterator[str]) -> Encoder:
    """Trains the requested tokenizer; the same texts give the same tokenizer on every machine.

    Raises:
        UserError: the texts hold not one character.
    """
    if request.kind is TokenizerKind.CHARACTERS:
        return _train_characters(request, texts)
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>" if "<unk>" in request.specials else None))
    alphabet: list[str] = []
    if request.kind is TokenizerKind.BYTE_PAIRS:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    else:
        tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()]
        )
        tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=request.vocabulary_size,
        special_tokens=list(request.specials),
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(_with_few_long_words(texts), trainer)
    if tokenizer.get_vocab_size() <= len(request.specials):
        raise UserError("the corpus is empty; give a text file or data set with at least one document")
    return LibraryEncoder(tokenizer)


def _with_few_long_words(texts: Iterator[str]) -> Iterator[str]:
    """The texts with the first quarter of a million characters of their long words, and without the rest of these."""
    left = _MOST_OF_LONG_WORDS

    def kept(word: re.Match[str]) -> str:
        nonlocal left
        begun = word[0][:left]
        left -= len(begun)
        return begun or " "

    return (_LONG_WORD.sub(kept, text) for text in texts)


def load(path: Path, request: TokenizerRequest) -> Encoder:
    """Loads a tokenizer.json, or the one in a folder, and checks that it has the special tokens the task needs.

    Raises:
        UserError: it is missing, damaged or lacks a special token.
    """
    file = find_tokenizer(path)
    try:
        # The library reports every damage with a bare Exception.
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:
        raise UserError(f"{file} is not a tokenizer of the tokenizers library: {error}") from error
    missing = [token for token in request.specials if tokenizer.token_to_id(token) is None]
    if missing:
        raise UserError(f"the tokenizer {file} lacks the special tokens {', '.join(missing)} that this task needs")
    # A file may ask for truncation or padding, which would cut documents.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return LibraryEncoder(tokenizer)


def _train_characters(request: TokenizerRequest, texts: Iterator[str]) -> Encoder:
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    if not counts:
        raise UserError("the corpus is empty; give a text file or data set with at least one document")
    ranked = sorted(counts, key=lambda character: (-counts[character], character))
    kept = ranked[: request.vocabulary_size - len(request.specials)]
    return CharacterEncoder("".join(sorted(kept)), request.specials, unknown="<unk>")
