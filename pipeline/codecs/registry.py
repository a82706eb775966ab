"""Codecs by name, made from what a user writes: `NAME` or `NAME:KEY=VALUE,KEY=VALUE`."""

from __future__ import annotations

from dataclasses import fields

from btard.configuration.named import Named, constructed
from btard.errors import UserError
from btard.pipeline.codecs.codec import Codec
from btard.pipeline.codecs.delta import Delta, DeltaCodec, DeltaLowbits
from btard.pipeline.codecs.stateless import Fixpoint, Fp16, Plain

_CODECS: dict[str, type[Plain | Fp16 | Fixpoint | Delta | DeltaLowbits]] = {
    "none": Plain,
    "fp16": Fp16,
    "fixpoint": Fixpoint,
    "delta": Delta,
    "delta_lowbits": DeltaLowbits,
}


def make_codec(text: str, what: str = "the codec") -> Codec | DeltaCodec:
    """Return the codec that a text names, with its parameters.

    Args:
        what: the flag or setting that holds the text, for the sentence.

    Raises:
        UserError: no such codec or parameter, or a value that it cannot have; the sentence lists what there is.
    """
    return _made(Named.parse(text, what), text, what)


def canonical_codec(text: str, what: str = "the codec") -> str:
    """Return the one form in which a run keeps a codec's text; raises UserError as `make_codec` does."""
    chosen = Named.parse(text, what)
    codec = _made(chosen, text, what)
    values = {field.name: str(getattr(codec, field.name)) for field in fields(codec)}
    defaults = {field.name: str(field.default) for field in fields(codec)}
    return str(Named(chosen.underscored, {key: value for key, value in values.items() if value != defaults[key]}))


def _made(chosen: Named, text: str, what: str) -> Plain | Fp16 | Fixpoint | Delta | DeltaLowbits:
    kind = _CODECS.get(chosen.underscored)
    if kind is None:
        raise UserError(f"{what} is {text!r}, but there is no codec {chosen.name!r}; there are: {', '.join(_CODECS)}")
    begun = f"{what} is {text!r}, but "
    return constructed(kind, chosen, lacks=f"{begun}{chosen.name}", refused=begun)
