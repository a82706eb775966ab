"""Writes the tokenised form of a corpus, once, into a cache folder."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from blake3 import blake3
from pydantic import BaseModel, ConfigDict

from btard.errors import UserError
from btard.tasks.data.building import building_folder
from btard.tasks.data.files import TOKENIZER_FILE, expanded
from btard.tasks.data.hub import HubAccess, pinned
from btard.tasks.data.progress import PreparationProgress, PreparationStage, ProgressListener
from btard.tasks.data.sources import Source, TokenRows, corpus_identity, open_source
from btard.tasks.data.spec import DataSpec
from btard.tasks.data.text_files import Piece, TextSource
from btard.tasks.data.tokenised import (
    BOUNDARIES_FILE,
    FORMAT_VERSION,
    META_FILE,
    TOKENS_FILE,
    Layout,
    Meta,
    TokenisedCorpus,
    fingerprint,
)
from btard.tasks.data.vocabulary import Encoder, TokenizerRequest, load, train

DEFAULT_CACHE = Path("~/.cache/btard/data")

_HELD_OUT_SHARE = 20
_SENTENCE_END = re.compile(r"(?<=[.!?;:])\s+|\n\s*\n\s*")
_PIECES_AT_ONCE = 64
_CHARACTERS_AT_ONCE = 1 << 21
_REPORTS = 200

_READING = 2
"""Rises when the same corpus comes to other tokens than in the version before: what that has cached is not used."""


class TokenisedRequest(BaseModel):
    """The tokenised form that a task wants.

    Attributes:
        tokenizer: which tokenizer to train, or what a given one must offer.
        layout: what a sample is.
        sample_tokens: corpus tokens in one sample.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokenizer: TokenizerRequest
    layout: Layout
    sample_tokens: int


def prepare(
    spec: DataSpec,
    request: TokenisedRequest,
    cache_dir: Path | None = None,
    progress: ProgressListener | None = None,
    access: HubAccess | None = None,
) -> TokenisedCorpus:
    """The tokenised form of a corpus, from the cache or written into it.

    Its name in the cache follows from what is in the corpus, so another corpus has another one wherever it lies. Any
    number of processes may ask for the same at once: each writes a folder of its own, the first to rename it wins.

    Args:
        cache_dir: parent folder of tokenised forms, `~/.cache/btard/data` by default.
        progress: is called now and then while the form is written, not at all when it is in the cache.
        access: what the owner of this machine allows a Hub data set.

    Raises:
        UserError: the corpus or the tokenizer is missing, empty or unreadable, or the cached form is damaged.
    """
    parent = expanded(cache_dir or DEFAULT_CACHE, "--cache-dir")
    allowed = access or HubAccess()
    try:
        return _prepared(pinned(spec, allowed), request, parent, progress or (lambda _: None), allowed)
    except OSError as error:
        reason = error.strerror or f"not all could be written ({error})"  # numpy tells no reason
        raise UserError(
            f"the corpus cannot be prepared: {error.filename or parent}: {reason}; data must be readable, and "
            "--cache-dir writable, with room for the tokens"
        ) from error


def _prepared(
    spec: DataSpec, request: TokenisedRequest, parent: Path, progress: ProgressListener, access: HubAccess
) -> TokenisedCorpus:
    identity = corpus_identity(spec)
    final = parent / _request_hash(spec, identity, request)
    if not final.exists():
        with building_folder(parent) as building:
            _write(building, spec, request, progress, access)
            if corpus_identity(spec) != identity:
                raise UserError(
                    f"{spec.location} was changed while it was read; prepare it again when nothing writes to it"
                )
            _publish(building, final)
    return TokenisedCorpus(final)


def _publish(building: Path, final: Path) -> None:
    building.chmod(0o755)
    try:
        building.rename(final)
    except OSError:
        # A full folder in the way means that another process was first.
        if not final.is_dir():
            raise


def _request_hash(spec: DataSpec, identity: str, request: TokenisedRequest) -> str:
    digest = blake3(f"btard request {FORMAT_VERSION}.{_READING}\n{request.model_dump_json()}\n".encode())
    digest.update(f"{spec.kind}\n{identity}\n".encode())
    if spec.tokenizer is not None:
        encoder = load(Path(spec.tokenizer), request.tokenizer)
        digest.update(encoder.tokenizer.to_str().encode())
    return digest.hexdigest(length=16)


def _write(
    folder: Path, spec: DataSpec, request: TokenisedRequest, progress: ProgressListener, access: HubAccess
) -> None:
    source = open_source(spec, access)
    if spec.tokenizer is not None:
        encoder = load(Path(spec.tokenizer), request.tokenizer)
    elif isinstance(source, TokenRows):
        raise UserError(f"{spec.location} is tokenised already; name the tokenizer that it was tokenised with")
    else:
        encoder = train(
            request.tokenizer, (piece.text for piece in _reported(source, PreparationStage.TOKENIZER, progress))
        )
    (folder / TOKENIZER_FILE).write_text(encoder.tokenizer.to_str(), encoding="utf-8", newline="\n")

    tokens, starts = _write_tokens(folder, source, encoder, request, progress)
    samples = tokens // request.sample_tokens
    if samples < 2:
        raise UserError(
            f"the corpus has only {tokens} tokens, but two samples of {request.sample_tokens} are the least "
            "(one to train, one to evaluate); give a larger one"
        )
    if request.layout is Layout.PAIRS:
        np.save(folder / BOUNDARIES_FILE, pair_boundaries(starts, samples, request.sample_tokens))
    meta = Meta(
        format_version=FORMAT_VERSION,
        source=spec,
        layout=request.layout,
        sample_tokens=request.sample_tokens,
        samples=samples,
        held_out=max(1, samples // _HELD_OUT_SHARE),
        vocabulary_size=encoder.tokenizer.get_vocab_size(),
        fingerprint=fingerprint(folder, request.layout, request.sample_tokens),
    )
    (folder / META_FILE).write_text(meta.model_dump_json(indent=2), encoding="utf-8")


def _write_tokens(
    folder: Path, source: Source, encoder: Encoder, request: TokenisedRequest, progress: ProgressListener
) -> tuple[int, npt.NDArray[np.int64]]:
    """Writes the token file; returns how many tokens it has, and where sentences start (empty without pairs)."""
    if isinstance(source, TokenRows):
        segments = _given_segments(source, encoder, request, progress)
    else:
        segments = _encoded_segments(_reported(source, PreparationStage.TOKENS, progress), encoder, request)
    dtype = "<u2" if encoder.tokenizer.get_vocab_size() <= 1 << 16 else "<u4"
    count = 0
    starts: list[npt.NDArray[np.int64]] = []
    raw = folder / "tokens.raw"
    with raw.open("wb") as stream:
        for rows in segments:
            lengths = np.array([len(row) for row in rows], dtype=np.int64)
            if request.layout is Layout.PAIRS:
                starts.append(count + np.cumsum(lengths) - lengths)
            stream.write(np.concatenate(rows).astype(dtype).tobytes())
            count += int(lengths.sum())
    flat = np.memmap(raw, dtype=dtype, mode="r") if count else np.empty(0, dtype)
    np.save(folder / TOKENS_FILE, flat)
    del flat
    raw.unlink()
    return count, np.concatenate(starts) if starts else np.empty(0, dtype=np.int64)


def _encoded_segments(
    pieces: Iterator[Piece], encoder: Encoder, request: TokenisedRequest
) -> Iterator[list[npt.NDArray[np.int64]]]:
    """The tokens of each piece, in one array a sentence if the layout needs sentences, else in one."""
    between = _separator(encoder, request)
    for group in _grouped(pieces):
        split = request.layout is Layout.PAIRS
        texts = [_SENTENCE_END.split(piece.text) if split else [piece.text] for piece in group]
        encoded = iter(encoder.encode([text for sentences in texts for text in sentences]))
        for piece, sentences in zip(group, texts, strict=True):
            rows = [next(encoded) for _ in sentences]
            yield [*rows, between] if piece.ends_document else rows


def _given_segments(
    source: TokenRows, encoder: Encoder, request: TokenisedRequest, progress: ProgressListener
) -> Iterator[list[npt.NDArray[np.int64]]]:
    """The segments of rows that are tokenised already, without the marks between and around them."""
    between = _separator(encoder, request)
    vocabulary = encoder.tokenizer.get_vocab()
    marks = [vocabulary[token] for token in request.tokenizer.specials if token != "<unk>"]
    vocabulary_size = encoder.tokenizer.get_vocab_size()
    for done, row in enumerate(source.rows(), start=1):
        rows = row.segments
        if any(len(tokens) and not 0 <= tokens.min() <= tokens.max() < vocabulary_size for tokens in rows):
            raise UserError(
                f"row {done} of the data set has tokens outside the tokenizer's {vocabulary_size}; name the tokenizer "
                "that it was tokenised with"
            )
        yield [*(tokens[~np.isin(tokens, marks)] for tokens in rows), between]
        if done % max(1, source.total_units // _REPORTS) == 0:
            progress(PreparationProgress(PreparationStage.TOKENS, done, source.total_units))


def _separator(encoder: Encoder, request: TokenisedRequest) -> npt.NDArray[np.int64]:
    token = request.tokenizer.separator
    return np.array([] if token is None else [encoder.tokenizer.token_to_id(token)], dtype=np.int64)


def _reported(source: TextSource, stage: PreparationStage, progress: ProgressListener) -> Iterator[Piece]:
    done = reported = 0
    progress(PreparationProgress(stage, 0, source.total_units))
    for piece in source.pieces():
        yield piece
        done += piece.units
        if done - reported >= source.total_units // _REPORTS:
            reported = done
            progress(PreparationProgress(stage, min(done, source.total_units), source.total_units))
    progress(PreparationProgress(stage, source.total_units, source.total_units))


def _grouped(pieces: Iterator[Piece]) -> Iterator[list[Piece]]:
    """Pieces that are encoded together, few enough of them that their tokens fit into memory."""
    group: list[Piece] = []
    characters = 0
    for piece in pieces:
        group.append(piece)
        characters += len(piece.text)
        if len(group) == _PIECES_AT_ONCE or characters >= _CHARACTERS_AT_ONCE:
            yield group
            group, characters = [], 0
    if group:
        yield group


def pair_boundaries(starts: npt.NDArray[np.int64], samples: int, sample_tokens: int) -> npt.NDArray[np.uint16]:
    """For each sample the sentence start nearest its middle, as an offset in it; the middle itself if none is near.

    Near means: within the middle half of the sample, so that no segment is shorter than a quarter.

    Args:
        starts: rising token positions of sentence starts in the corpus.

    Returns:
        uint16, shape (samples,), each in [1, sample_tokens).
    """
    middles = np.arange(samples, dtype=np.int64) * sample_tokens + sample_tokens // 2
    if not len(starts):
        return np.full(samples, sample_tokens // 2, dtype=np.uint16)
    after = np.searchsorted(starts, middles)
    above = starts[np.minimum(after, len(starts) - 1)]
    below = starts[np.maximum(after - 1, 0)]
    nearest = np.where(np.abs(above - middles) < np.abs(middles - below), above, below)
    near = np.abs(nearest - middles) <= sample_tokens // 4
    offsets = np.where(near, nearest - middles, 0) + sample_tokens // 2
    return offsets.astype(np.uint16)
