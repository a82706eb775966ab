"""Bugs in how replicas of a stage average their gradients, and examine each other."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_AVERAGING = "tests/pipeline/replicas/test_averaging.py"
_LIES = "tests/pipeline/replicas/test_lies.py"
_RECORDS = "tests/pipeline/replicas/test_record.py"
_TRIAL = "tests/pipeline/replicas/test_trial.py"
_SILENCE = "tests/pipeline/replicas/test_silence.py"
_RECORD = "pipeline/replicas/record.py"
_PIPELINES = "pipeline/replicas/pipelines.py"
_EXECUTOR = "pipeline/replicas/executor.py"

REPLICAS: tuple[Mutant, ...] = (
    Mutant(
        "a stage goes on with its own gradient in place of the average",
        "pipeline/replicas/rows.py",
        "set_flat_gradient(self.context.worker, average)",
        "pass",
        f"{_AVERAGING}::test_replicas_equal_a_loop_that_averages",
    ),
    Mutant(
        "all pipelines train on the same micro-batches",
        "pipeline/replicas/trial.py",
        "all_of(step)[replica * each : (replica + 1) * each]",
        "all_of(step)[:each]",
        f"{_TRIAL}::test_replicas_train_on_samples_of_their_own",
    ),
    Mutant(
        "a replica's record may have the signature of anybody",
        _RECORD,
        "check_piece(case, piece, stage, at, gradients=True)",
        "pass",
        f"{_RECORDS}::test_a_changed_record_is_none",
    ),
    Mutant(
        "a replica may have been sent what no neighbour has sent",
        _RECORD,
        "message.header.stage != neighbour",
        "message.header.stage == stage",
        f"{_RECORDS}::test_a_changed_record_is_none",
    ),
    Mutant(
        "a replica's record may leave micro-batches out",
        _RECORD,
        "if [piece.number for piece in record.pieces] != list(range(self.facts.model.micro_batches)):",
        "if not record.pieces:",
        f"{_RECORDS}::test_a_changed_record_is_none",
    ),
    Mutant(
        "a replica may show the record of another stage's peer",
        "pipeline/replicas/trainer.py",
        " or known.facts.roster[stage] != target",
        "",
        f"{_RECORDS}::test_a_record_is_of_one_peer_and_one_step",
    ),
    Mutant(
        "a validator of replicas does not look at what was sent to neighbours",
        _EXECUTOR,
        "found = worst((found, CAUGHT))",
        "pass",
        f"{_LIES}::test_a_lie_to_neighbours_is_banned_by_the_replicas",
    ),
    Mutant(
        "a validator of replicas believes whatever record it is shown",
        _EXECUTOR,
        "        data = await self._shown(Exhibit.BASE, record, task, fits, time_left)\n        if data is None:",
        "        data = await self._shown(Exhibit.BASE, record, task, fits, time_left)\n        if False:",
        f"{_LIES}::test_a_replica_without_a_record_loses_its_seat",
    ),
    Mutant(
        "judges of a withheld record say that nothing is withheld",
        _EXECUTOR,
        "return opinion if kept else Opinion.GUILTY",
        "return opinion",
        f"{_LIES}::test_a_replica_without_a_record_loses_its_seat",
    ),
    Mutant(
        "a stage of replicas believes the first row that it hears",
        "pipeline/replicas/rows.py",
        "if 2 * count <= self.replicas:",
        "if not count:",
        "tests/pipeline/replicas/test_rows.py::test_a_row_counts_once_most_replicas_have_told_it",
    ),
    Mutant(
        "a stage of replicas hears rows that their authors have not signed",
        "pipeline/replicas/machine.py",
        "signed.verify(sender)",
        "pass",
        "tests/pipeline/replicas/test_rows.py::test_what_no_honest_stage_tells_is_dropped",
    ),
    Mutant(
        "a stage of replicas takes any bytes for a row that it lacks",
        "pipeline/replicas/rows.py",
        "if wanted and digest(data) in wanted:\n            self._shown[digest(data)] = data",
        "for row in wanted:\n            self._shown[row] = data",
        "tests/pipeline/replicas/test_rows.py::test_a_row_counts_once_most_replicas_have_told_it",
    ),
    Mutant(
        "a stage of replicas believes its own pipeline about rows",
        "pipeline/replicas/rows.py",
        "if here is not None and here.header.payload == row:",
        "if here is not None:",
        "tests/pipeline/replicas/test_rows.py::test_false_norms_change_no_bit_of_anybody",
    ),
    Mutant(
        "the seat of a banned replica stays with it",
        "pipeline/replicas/pipelines.py",
        "self._fill((replica, group.stage), donor)",
        "pass",
        f"{_LIES}::test_another_peer_takes_the_seat_and_is_averaged",
    ),
    Mutant(
        "so few replicas may average that nobody validates",
        "pipeline/replicas/rules.py",
        "if chosen.replicas < LEAST_REPLICAS:",
        "if False:",
        f"{_TRIAL}::test_the_least_number_is_that_of_which_one_validates",
    ),
    Mutant(
        "headers of rows that are lost between replicas are not asked for again",
        "pipeline/replicas/machine.py",
        "self._asks_again = self._rows.averaged",
        "self._asks_again = False",
        f"{_SILENCE}::test_lost_headers_and_rows_are_asked_for_again",
    ),
    Mutant(
        "a row of another pipeline is asked for once",
        "pipeline/replicas/stage.py",
        "        if questions:\n            self._asked.clear()\n",
        "",
        f"{_SILENCE}::test_a_row_of_other_pipelines_is_asked_for_again",
    ),
    Mutant(
        "pipelines that wait for a silent one stand still with it",
        "pipeline/replicas/machine.py",
        "        if self.own_gradient is not None:\n            self._stalls = now + self.plan.step_seconds\n",
        "",
        f"{_SILENCE}::test_a_silent_stage_costs_its_own_pipeline_a_step_alone",
    ),
    Mutant(
        "a replica of a silent pipeline is in the average",
        "pipeline/replicas/group.py",
        "for n, peer in seated.items() if n not in silent",
        "for n, peer in seated.items()",
        f"{_SILENCE}::test_a_silent_stage_costs_its_own_pipeline_a_step_alone",
    ),
    Mutant(
        "new peers take the state over from a pipeline that stood still",
        _PIPELINES,
        "if n not in found.lost and n not in silent)",
        "if n not in found.lost)",
        f"{_SILENCE}::test_a_last_stage_that_ends_no_step_is_left_behind",
    ),
    Mutant(
        "a pipeline that was averaged and stood still keeps its seats",
        _PIPELINES,
        "sorted({*found.lost, *silent})",
        "sorted(found.lost)",
        f"{_SILENCE}::test_a_last_stage_that_ends_no_step_is_left_behind",
    ),
    Mutant(
        "half of the pipelines go on alone",
        _PIPELINES,
        "if 2 * len(silent) >= len(self.stages):",
        "if 2 * len(silent) > len(self.stages):",
        f"{_SILENCE}::test_half_of_the_pipelines_cannot_go_on",
    ),
)
