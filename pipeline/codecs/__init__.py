"""How activations and gradients become fewer bytes between two stages, and how a stranger's bytes become tensors again.

A codec is chosen by text, such as `delta:bits=4,scale=max` (`make_codec`). `caches` holds what delta codecs remember.
"""

from btard.pipeline.codecs.codec import Codec, NotFinite
from btard.pipeline.codecs.delta import DeltaCodec
from btard.pipeline.codecs.registry import canonical_codec, make_codec
from btard.pipeline.codecs.rounding import rounding_seed

__all__ = ["Codec", "DeltaCodec", "NotFinite", "canonical_codec", "make_codec", "rounding_seed"]
