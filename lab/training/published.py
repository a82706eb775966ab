"""An experiment's settings under the names of the published program's options."""

from __future__ import annotations

from btard.configuration.named import Named
from btard.lab.training.learning_rate import lists_rates
from btard.lab.training.settings import ExperimentSettings


def published_config(settings: ExperimentSettings) -> dict[str, object]:
    """Return what `config.json` of the published program would say of an experiment, in the order of its options.

    Options that this program has no like of have the published defaults.
    """
    s = settings
    rule, attack = Named.parse(s.rule, "the rule"), None
    if s.groups:
        attack = Named.parse(s.groups[0].attack, "the attack")
    schedule = None
    if lists_rates(s.learning_rate_schedule):
        schedule = str(s.learning_rate_schedule).replace(":", ",")
    return {
        "seed": s.seed,
        "device": str(s.device),
        "device_gar": str(s.rule_device),
        "nb_steps": s.steps,
        "nb_workers": s.workers,
        "nb_for_study": 1 if s.study else 0,
        "nb_for_study_past": s.study_past,
        "nb_decl_byz": s.f,
        "nb_real_byz": s.attackers,
        **_initialiser("init_multi", s.initialiser),
        **_initialiser("init_mono", s.initialiser_of_vectors),
        "gar": rule.name,
        "gar_args": _arguments(rule),
        "gars": None,
        "attack": "nan" if attack is None else attack.name,
        "attack_args": None if attack is None else _arguments(attack),
        "model": s.task,
        "model_args": None,
        "loss": s.loss,
        "loss_args": None,
        "criterion": Named.parse(s.criterion, "the criterion").name,
        "criterion_args": _arguments(Named.parse(s.criterion, "the criterion")),
        "dataset": Named.parse(s.task, "the task").name,
        "batch_size": s.batch_size,
        "batch_size_test": s.evaluation_batch_size,
        "batch_size_test_reps": s.evaluation_batches,
        "no_transform": False,
        "learning_rate": s.learning_rate,
        "learning_rate_decay": s.learning_rate_decay,
        "learning_rate_decay_delta": s.learning_rate_decay_delta,
        "learning_rate_schedule": schedule,
        "momentum": s.momentum,
        "dampening": s.dampening,
        "momentum_nesterov": s.nesterov,
        "momentum_at": str(s.momentum_at),
        "weight_decay": s.weight_decay,
        "l1_regularize": s.l1 or None,
        "l2_regularize": s.l2 or None,
        "gradient_clip": s.gradient_clip,
        "nb_local_steps": s.local_steps,
        "load_checkpoint": None,
        "result_directory": None if s.output is None else str(s.output),
        "evaluation_delta": s.evaluate_every,
        "checkpoint_delta": s.checkpoint_every,
        "user_input_delta": 0,
        "nb_honests": s.workers - s.attackers,
    }


def _arguments(chosen: Named) -> list[str] | None:
    return [f"{key}:{value}" for key, value in sorted(chosen.values.items())] or None


def _initialiser(name: str, text: str | None) -> dict[str, object]:
    if text is None:
        return {name: None, f"{name}_args": None}
    chosen = Named.parse(text, "the initialiser")
    return {name: chosen.name, f"{name}_args": _arguments(chosen)}
