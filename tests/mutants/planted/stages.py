"""Bugs in how models are trained in stages, and in how stages that lie are passed by."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_MACHINE = "tests/pipeline/machine/test_machine.py"
_MESSAGES = "tests/pipeline/machine/test_messages.py"
_EQUALITY = "tests/pipeline/schedule/test_equality.py"
_INBOX = "pipeline/machine/inbox.py"
_PASSES = "pipeline/step/passes.py"

STAGES: tuple[Mutant, ...] = (
    Mutant(
        "a stage does not compare what it is sent with its duplicate",
        _PASSES,
        "return None if right else self._accuse(Claim.ACTIVATION, given.signed)",
        "return None",
        f"{_MACHINE}::test_every_forward_lie_is_noticed_and_passed_by",
    ),
    Mutant(
        "the stage with a duplicate on a skipped one still learns",
        "pipeline/defence/recovery.py",
        "alarmed - suspects - 1, alarmed",
        "alarmed - suspects, alarmed",
        "tests/pipeline/defence/test_recovery.py::test_six_stages_recover_as_enumerated",
    ),
    Mutant(
        "a tied weight is held on one side of a frozen stage only",
        "pipeline/schedule/worker.py",
        "known = all(place in copies for place in places)",
        "known = True",
        f"{_MACHINE}::test_copies_of_tied_weights_stay_equal_through_alarms",
    ),
    Mutant(
        "the first copy of a tied weight depends on the cut",
        "pipeline/stages/model_stage.py",
        "(place[0], place[1] != first)",
        "place",
        f"{_EQUALITY}::test_a_pipelined_step_equals_a_loop",
    ),
    Mutant(
        "the numbers of a stage's message need not be the signed ones",
        "pipeline/machine/messages.py",
        "if digest(message.payload) != header.payload:",
        "if False:",
        f"{_MESSAGES}::test_other_numbers_than_the_signed_ones_are_refused",
    ),
    Mutant(
        "a stage's inbox verifies no signature",
        _INBOX,
        "message.verify(sender)",
        "pass",
        f"{_MESSAGES}::test_an_inbox_refuses_a_forged_signature",
    ),
    Mutant(
        "a stage may speak for another one",
        _INBOX,
        " or self.roster[header.stage] != sender",
        "",
        f"{_MESSAGES}::test_an_inbox_refuses_what_no_honest_stage_sends",
    ),
    Mutant(
        "a stage's inbox keeps messages of any step",
        _INBOX,
        "not self._is_timely(header) or place in self._held",
        "place in self._held",
        f"{_MESSAGES}::test_an_inbox_holds_this_step_and_the_next",
    ),
    Mutant(
        "a stage's message may have any number of numbers",
        _INBOX,
        "if not least <= len(message.payload) <= most:",
        "if False:",
        f"{_MESSAGES}::test_an_inbox_refuses_what_no_honest_stage_sends",
    ),
    Mutant(
        "a stage's weights are not compared with their digest",
        "pipeline/stages/partition.py",
        "if digest(data).hex() != wanted:",
        "if False:",
        "tests/pipeline/stages/test_partition.py::test_a_changed_file_is_refused",
    ),
    Mutant(
        "of two things that a stage has told others only the first is sent again",
        "pipeline/machine/context.py",
        "in self._sent.get(place, []) if stage in receivers]",
        "in self._sent.get(place, [])[:1] if stage in receivers]",
        "tests/pipeline/machine/test_scenarios.py::test_liars_are_banned_and_nobody_else",
    ),
    Mutant(
        "weights of other shapes than the configuration's are read",
        "pipeline/stages/weights.py",
        'if mismatched := sorted(found["mismatched_keys"]):',
        "if mismatched := []:",
        "tests/pipeline/stages/test_partition.py::test_weights_of_other_shapes_are_refused",
    ),
    Mutant(
        "a damaged file of weights is told by whatever reads it",
        "pipeline/stages/weights.py",
        "except Exception as error:  # whatever transformers makes of a damaged file",
        "except OSError as error:",
        "tests/pipeline/stages/test_partition.py::test_damaged_weights_are_refused_in_one_sentence",
    ),
    Mutant(
        "weights from the Hub are taken in any form",
        "pipeline/stages/hub_models.py",
        "shards = sorted(file for file in files if _SHARD.fullmatch(file))",
        "shards = sorted(file for file in files if file.startswith('model-'))",
        "tests/pipeline/stages/test_hub_models.py::test_only_a_configuration_and_safetensors_are_fetched",
    ),
    Mutant(
        "a name on the Hub wins over a folder that is there",
        "pipeline/stages/hub_models.py",
        "if not asked and (exists(Path(text)) or not is_hub_name(name)):",
        "if not asked and not is_hub_name(name):",
        "tests/pipeline/stages/test_hub_models.py::test_a_folder_of_the_same_name_wins_unless_told",
    ),
    Mutant(
        "a branch of a model on the Hub is taken for a commit",
        "pipeline/stages/hub_models.py",
        "(at and not is_revision(revision))",
        "(at and not revision)",
        "tests/pipeline/stages/test_hub_models.py::test_what_is_no_name_is_told_in_a_sentence",
    ),
)
