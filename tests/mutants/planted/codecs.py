"""Bugs in what travels between stages, and in what both sides keep of it."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

DELTA = "pipeline/caches/delta.py"
KEEPING = "tests/pipeline/caches/test_delta.py"
QUANTISER = "pipeline/codecs/quantiser.py"
QUANTISING = "tests/pipeline/codecs/test_quantiser.py"

CODECS: tuple[Mutant, ...] = (
    Mutant(
        "a scale may be NaN",
        QUANTISER,
        "if not bool((torch.isfinite(scales) & ~torch.signbit(scales)).all()):",
        "if bool(torch.signbit(scales).any()):",
        f"{QUANTISING}::test_scales_that_no_sender_writes_are_refused",
    ),
    Mutant(
        "a code may be no level",
        QUANTISER,
        "int(codes.max()) > levels.top",
        "int(codes.max()) > 255",
        f"{QUANTISING}::test_a_code_that_is_no_level_is_refused",
    ),
    Mutant(
        "stochastic rounding rounds down",
        QUANTISER,
        "mul_(2.0**-UNIFORM_BITS)",
        "mul_(0.0)",
        f"{QUANTISING}::test_stochastic_rounding_is_right_on_average",
    ),
    Mutant(
        "codes hide behind the last one",
        "pipeline/codecs/packing.py",
        "if bool(codes[count:].any()):",
        "if False:",
        "tests/pipeline/codecs/test_packing.py::test_codes_after_the_last_one_are_refused",
    ),
    Mutant(
        "a tensor of another shape is taken",
        "pipeline/codecs/codec.py",
        "bytes(data[: len(expected)]) != expected",
        "data[0] != kind",
        "tests/pipeline/codecs/test_codecs.py::test_another_shape_or_codec_is_refused",
    ),
    Mutant(
        "nobody compares checksums",
        DELTA,
        "if _checksum(entry) != message.checksums[place]]",
        "if not entry]",
        f"{KEEPING}::test_a_lost_message_costs_one_raw_send",
    ),
    Mutant(
        "an alarm leaves its activations behind",
        "pipeline/caches/activations.py",
        '        """Forget what this step has staged."""\n        self._staged.clear()',
        '        """Forget what this step has staged."""',
        "tests/pipeline/caches/test_activations.py::test_a_step_is_kept_or_forgotten_as_a_whole",
    ),
)
