"""Codecs by text, and what they make of hostile bytes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from btard.errors import UserError
from btard.identity import Malformed
from btard.pipeline.codecs import Codec, NotFinite, canonical_codec, make_codec

STATELESS = ["none", "fp16", "fixpoint", "fixpoint:bits=3,rounding=nearest", "fixpoint:bits=8,grid=legacy,scale=l2"]
SHAPE = (2, 5, 3)


def made(text: str) -> Codec:
    codec = make_codec(text)
    assert isinstance(codec, Codec)
    return codec


@pytest.mark.parametrize("text", STATELESS)
def test_a_codec_writes_as_much_as_it_says(text: str) -> None:
    values = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
    codec = made(text)
    data = codec.encode(values, [1, 2])
    assert len(data) == codec.wire_size(SHAPE)
    decoded = codec.decode(data, SHAPE)
    assert decoded.shape == SHAPE and decoded.dtype == torch.float32
    assert codec.encode(values, [1, 2]) == data


def test_plain_numbers_are_exact_and_halves_nearly_so() -> None:
    values = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))
    assert torch.equal(made("none").decode(made("none").encode(values, []), SHAPE), values)
    torch.testing.assert_close(made("fp16").decode(made("fp16").encode(values, []), SHAPE), values, rtol=1e-3, atol=0)
    large = torch.full(SHAPE, 1e6)
    assert float(made("fp16").decode(made("fp16").encode(large, []), SHAPE).max()) == 65504


@pytest.mark.parametrize("text", STATELESS)
def test_no_codec_sends_what_is_not_finite(text: str) -> None:
    with pytest.raises(NotFinite):
        made(text).encode(torch.full(SHAPE, float("nan")), [1, 2])


@pytest.mark.parametrize("text", STATELESS)
def test_another_shape_or_codec_is_refused(text: str) -> None:
    data = made(text).encode(torch.ones(SHAPE), [1, 2])
    for shape in ((2, 3, 5), (30, 1, 1), (2, 15), (1 << 30, 1 << 30, 8)):
        with pytest.raises(Malformed):
            made(text).decode(data, shape)
    other = "none" if text == "fp16" else "fp16"
    with pytest.raises(Malformed, match="agreed codec"):
        made(other).decode(data, SHAPE)


@settings(max_examples=150, deadline=None)
@given(text=st.sampled_from(STATELESS), place=st.integers(0, 200), noise=st.binary(max_size=40), cut=st.booleans())
def test_strange_bytes_are_refused_or_finite(text: str, place: int, noise: bytes, cut: bool) -> None:
    codec = made(text)
    data = codec.encode(torch.ones(SHAPE), [1, 2])
    place %= len(data)
    changed = data[:place] + noise + (b"" if cut else data[place + len(noise) :])
    try:
        decoded = codec.decode(changed, SHAPE)
    except Malformed:
        return
    assert decoded.shape == SHAPE and bool(torch.isfinite(decoded).all())


def test_a_text_has_one_form() -> None:
    assert canonical_codec("delta:scale=max,bits=4") == "delta"
    assert canonical_codec("fixpoint:bits=08,rounding=nearest") == "fixpoint:bits=8,rounding=nearest"
    assert canonical_codec("delta_lowbits:cache_bits=2") == "delta_lowbits:cache_bits=2"
    assert canonical_codec("delta-lowbits:cache_bits=2") == "delta_lowbits:cache_bits=2"
    assert make_codec("delta-lowbits") == make_codec("delta_lowbits")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("gzip", "there is no codec 'gzip'; there are: none, fp16, fixpoint, delta, delta_lowbits"),
        ("fp16:bits=4", "fp16 has no parameter 'bits'; it has none"),
        ("delta:bit=4", "its parameters are: bits, dims, grid, rounding, scale"),
        ("delta:bits=9", "bits is '9'"),
        ("delta:bits=0", "bits is '0'"),
        ("delta:dims=9", "dims is '9'"),
        ("delta:scale=mean", "scale is 'mean'"),
        ("delta_lowbits:cache_bits=1", "cache_bits is '1'"),
        ("delta:", "must be NAME or NAME:KEY=VALUE"),
    ],
)
def test_a_wrong_text_is_told_in_a_sentence(text: str, told: str) -> None:
    with pytest.raises(UserError) as error:
        make_codec(text, "--forward-codec")
    assert told in str(error.value) and str(error.value).startswith("--forward-codec is")
    assert "\n" not in str(error.value)
