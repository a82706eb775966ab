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
        "if not bool((torch.isfinite(steps) & ~torch.signbit(steps)).all()):",
        "if bool(torch.signbit(steps).any()):",
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
    Mutant(
        "with one bit the largest scale has an infinite step",
        "pipeline/codecs/quantiser.py",
        "most = _MOST_BFLOAT16 if self._levels.per_scale >= 1 else _MOST_BFLOAT16 - _HALF",
        "most = _MOST_BFLOAT16",
        "tests/pipeline/codecs/test_quantiser.py::test_one_bit_tells_a_large_number_from_its_opposite",
    ),
    Mutant(
        "a stranger's scale makes numbers infinite",
        "pipeline/codecs/quantiser.py",
        "(torch.isfinite(steps) & ~torch.signbit(steps))",
        "(torch.isfinite(scales) & ~torch.signbit(scales))",
        "tests/pipeline/codecs/test_quantiser.py::test_a_scale_whose_step_is_infinite_is_refused",
    ),
    Mutant(
        "a scale that overflows is taken for a value that is not finite",
        "pipeline/codecs/quantiser.py",
        "found = norm * (2 / math.sqrt(count))",
        "found = (norm * (2 / math.sqrt(count))).float()",
        "tests/pipeline/codecs/test_quantiser.py::test_the_largest_numbers_stay_finite",
    ),
    Mutant(
        "the scale of zeros can be -0, which receivers refuse",
        "pipeline/codecs/quantiser.py",
        "max).float().abs()",
        "max).float()",
        "tests/pipeline/codecs/test_quantiser.py::test_zeros_of_either_sign_come_back",
    ),
    Mutant(
        "a change of sign of the largest numbers cannot be sent",
        "pipeline/caches/delta.py",
        "self._codec.quantiser.encode(_change(values[old], kept), chosen)",
        "self._codec.quantiser.encode(values[old] - kept, chosen)",
        "tests/pipeline/caches/test_delta.py::test_the_largest_numbers_can_change_their_sign",
    ),
    Mutant(
        "changes add up to infinity at the receiver",
        "pipeline/caches/delta.py",
        "return kept.add_(change).clamp_(-_MOST, _MOST)",
        "return kept.add_(change)",
        "tests/pipeline/caches/test_delta.py::test_changes_that_add_up_to_infinity_are_cut",
    ),
    Mutant(
        "a codec is not known by the name that its study gives it",
        "pipeline/codecs/registry.py",
        "kind = _CODECS.get(chosen.underscored)",
        "kind = _CODECS.get(chosen.name)",
        "tests/pipeline/codecs/test_codecs.py::test_a_text_has_one_form",
    ),
)
