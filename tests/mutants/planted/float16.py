"""Bugs in how stages compute in float16, and in the scale of their losses."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_SCALE = "tests/pipeline/schedule/test_loss_scale.py"
_STAGES = "tests/pipeline/machine/test_float16.py"
_WORKER = "pipeline/schedule/worker.py"
_CHANNELS = "pipeline/step/channels.py"

FLOAT16: tuple[Mutant, ...] = (
    Mutant(
        "a stage steps although a gradient of another stage has overflown",
        _WORKER,
        "if self.scale is not None and not all_finite(norms):",
        "if self.scale is not None and not all_finite(self.norms()):",
        f"{_STAGES}::test_a_step_that_overflows_in_one_stage_changes_no_weight",
    ),
    Mutant(
        "a stage that was passed by keeps its former loss scale",
        "pipeline/machine/machine.py",
        "worker.freeze(self._rows.norms)",
        "worker.freeze({})",
        f"{_STAGES}::test_stages_that_are_passed_by_keep_the_common_scale",
    ),
    Mutant(
        "a gradient that has overflown is not told",
        _CHANNELS,
        "        if overflows:\n            return b",
        "        if False:\n            return b",
        f"{_STAGES}::test_stages_that_overflow_agree_and_raise_no_alarm",
    ),
    Mutant(
        "what is no number differs from itself",
        _WORKER,
        "weight.grad.masked_fill_(~torch.isfinite(weight.grad), torch.inf)",
        "pass",
        f"{_STAGES}::test_stages_that_overflow_agree_and_raise_no_alarm",
    ),
    Mutant(
        "a step is computed again without the scale of its losses",
        "pipeline/justice/retrial.py",
        "self.worker.scale = read_scale(scale, scaled=facts.optimizer.scaled)",
        "pass",
        f"{_STAGES}::test_stages_that_overflow_agree_and_raise_no_alarm",
    ),
    Mutant(
        "the state of a stage does not commit to its loss scale",
        "pipeline/schedule/state.py",
        "weights, optimizer, scale)",
        "weights, optimizer)",
        f"{_SCALE}::test_a_state_commits_to_its_scale",
    ),
    Mutant(
        "the optimizer is given gradients with their scale",
        _WORKER,
        "weight.grad.mul_(1.0 / self.scale.factor)",
        "pass",
        f"{_SCALE}::test_a_float16_step_equals_the_scaler_of_torch",
    ),
    Mutant(
        "gradients of what a stage is given are added up in float16",
        _WORKER,
        "given.view_as(given)",
        "given",
        f"{_SCALE}::test_a_float16_step_equals_the_scaler_of_torch",
    ),
    Mutant(
        "a loss scale never grows",
        "pipeline/schedule/loss_scale.py",
        "min(self.exponent + 1, MOST_EXPONENT)",
        "min(self.exponent, MOST_EXPONENT)",
        f"{_SCALE}::test_a_scale_follows_the_rule_of_torch",
    ),
    Mutant(
        "a codec that clips gradients goes with float16",
        _CHANNELS,
        'if isinstance(make_codec(chosen.backward_codec, "the backward codec"), Fp16):',
        "if False:",
        "tests/coordinator/test_pipeline_terms.py::test_settings_that_do_not_fit_are_refused",
    ),
)
