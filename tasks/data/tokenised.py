"""The tokenised form of a corpus: a folder that is memory-mapped and verified when it is opened.

tokens.npy      the corpus as one row of token numbers, uint16 or uint32
boundaries.npy  uint16, only for pairs: where in each sample the second segment starts
tokenizer.json  the tokenizer, in the format of the `tokenizers` package
meta.json       what this is, and its fingerprint
"""

from enum import StrEnum
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from blake3 import blake3
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from tokenizers import Tokenizer

from btard.errors import UserError
from btard.tasks.data.files import TOKENIZER_FILE
from btard.tasks.data.spec import DataSpec

FORMAT_VERSION = 1
TOKENS_FILE = "tokens.npy"
BOUNDARIES_FILE = "boundaries.npy"
META_FILE = "meta.json"


class Layout(StrEnum):
    """What a sample is."""

    STREAM = "stream"
    """`sample_tokens` consecutive tokens."""
    PAIRS = "pairs"
    """The same, with the place of a sentence's start near the middle, which splits the sample in two segments."""


class Meta(BaseModel):
    """The contents of meta.json.

    Attributes:
        source: where the corpus came from; not part of the fingerprint.
        sample_tokens: corpus tokens in one sample (special tokens that a task adds do not count).
        samples: how many samples there are.
        held_out: how many of them, the last ones, are for evaluation.
        vocabulary_size: how many tokens the tokenizer has.
        fingerprint: hex BLAKE3 over layout, sample length, tokenizer, tokens and boundaries.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int
    source: DataSpec
    layout: Layout
    sample_tokens: int
    samples: int
    held_out: int
    vocabulary_size: int
    fingerprint: str

    @model_validator(mode="after")
    def _both_parts_have_samples(self) -> Self:
        if not 0 < self.held_out < self.samples or self.sample_tokens < 1:
            raise ValueError("samples for training and for evaluation are needed")
        return self


class TokenisedCorpus:
    """An opened tokenised form.

    Attributes:
        folder: where it lies.
        meta: what it is.
        tokenizer: its tokenizer.
        tokens: (samples, sample_tokens) token numbers, memory-mapped, read-only.
        boundaries: (samples,) uint16 starts of the second segment in [1, sample_tokens), None without pairs.
    """

    def __init__(self, folder: Path) -> None:
        """Opens and verifies the folder.

        Raises:
            UserError: a file is missing, cut, damaged, or not what the fingerprint says.
        """
        self.folder = folder
        try:
            self.meta = Meta.model_validate_json((folder / META_FILE).read_bytes())
            if self.meta.format_version != FORMAT_VERSION:
                raise ValueError(f"format version {self.meta.format_version} instead of {FORMAT_VERSION}")
            if fingerprint(folder, self.meta.layout, self.meta.sample_tokens) != self.meta.fingerprint:
                raise ValueError("its bytes do not match its fingerprint")
            self.tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
            if self.tokenizer.get_vocab_size() != self.meta.vocabulary_size:
                raise ValueError("its tokenizer has another size of vocabulary")
            flat = np.load(folder / TOKENS_FILE, mmap_mode="r")
            used = flat[: self.meta.samples * self.meta.sample_tokens]
            self.tokens: npt.NDArray[Any] = used.reshape(self.meta.samples, self.meta.sample_tokens)
            self.boundaries: npt.NDArray[np.uint16] | None = None
            if self.meta.layout is Layout.PAIRS:
                self.boundaries = np.load(folder / BOUNDARIES_FILE)
        except PermissionError as error:
            raise UserError(f"the tokenised data in {folder} cannot be read: {error.strerror}") from error
        except (OSError, ValueError, ValidationError) as error:
            reason = "its meta.json is invalid" if isinstance(error, ValidationError) else error
            raise UserError(
                f"the tokenised data in {folder} is damaged ({reason}); delete the folder and prepare it again"
            ) from error

    @property
    def training_samples(self) -> int:
        """How many samples, from the first, are for training."""
        return self.meta.samples - self.meta.held_out


def fingerprint(folder: Path, layout: Layout, sample_tokens: int) -> str:
    """Hex BLAKE3 of a folder's contents, each file preceded by its length.

    Raises:
        OSError: a file is missing.
    """
    digest = blake3(f"btard tokenised {FORMAT_VERSION} {layout} {sample_tokens}".encode())
    names = [TOKENIZER_FILE, TOKENS_FILE]
    if layout is Layout.PAIRS:
        names.append(BOUNDARIES_FILE)
    for name in names:
        file = folder / name
        digest.update(file.stat().st_size.to_bytes(8, "little"))
        digest.update_mmap(file)
    return digest.hexdigest()
