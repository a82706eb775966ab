"""Training in the laboratory and its attackers: what a run leaves is what its settings say."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_GRADIENTS = "tests/byzantine/gradients"

LABORATORY = (
    Mutant(
        "batch normalisation remembers the own batches of a peer",
        "tasks/base.py",
        "        freeze_statistics(model)\n",
        "",
        "tests/tasks/images/test_task.py::test_peers_with_normalisation_agree_after_a_step",
    ),
    Mutant(
        "an evaluation leaves its statistics behind",
        "tasks/batch_statistics.py",
        "                    buffer.copy_(buffers[name])\n",
        "                    pass\n",
        "tests/tasks/test_batch_statistics.py::test_everything_is_as_before_afterwards",
    ),
    Mutant(
        "a packed file may unpack to any length",
        "tasks/data/bounded.py",
        "    if len(data) > most_bytes:\n",
        "    if False:\n",
        "tests/tasks/images/test_sets.py::test_an_archive_that_unpacks_to_too_much_is_refused",
    ),
    Mutant(
        "an idx file is believed about its shape",
        "tasks/images/idx.py",
        "    if len(data) - header != math.prod(shape):\n",
        "    if len(data) - header < 0:\n",
        "tests/tasks/images/test_sets.py::test_other_bytes_are_no_idx_file",
    ),
    Mutant(
        "a search for the factor goes below zero",
        "byzantine/gradients/crafted/line_search.py",
        "_not_below_zero(tried - step, tried)",
        "tried - step",
        f"{_GRADIENTS}/test_line_search.py::test_it_never_goes_below_zero",
    ),
    Mutant(
        "forks share the moments of one optimizer",
        "lab/training/optimizer.py",
        "deepcopy(state)",
        "state",
        "tests/lab/training/test_optimizer.py::test_a_fork_takes_moments_along_and_keeps_the_optimizer",
    ),
    Mutant(
        "the rate of a swarm in the laboratory stays that of its first step",
        "lab/training/optimizer.py",
        "self._optimizer.step(direction.to(weights.device), self._rate(step))",
        "self._optimizer.step(direction.to(weights.device), self._rate(0))",
        "tests/lab/training/test_protocol.py::test_every_peer_moves_as_the_optimizer_does",
    ),
    Mutant(
        "a figure does not say what it was made from",
        "lab/study/canvas.py",
        'f"Data: {data}"',
        '""',
        "tests/lab/study/test_figures.py::test_a_figure_of_lines_says_what_it_shows",
    ),
    Mutant(
        "rows that pre-aggregators make are in memory after all",
        "lab/training/aggregation.py",
        "            with rows_made_in(self._rows_in):",
        "            with rows_made_in(None):",
        "tests/lab/training/test_row_memory.py::test_rows_that_are_made_lie_in_a_file_too",
    ),
    Mutant(
        "a fork of a swarm draws the samples of its origin",
        "lab/training/protocol.py",
        "return public if seed == self._origin_seed else",
        "return public if seed is not None else",
        "tests/lab/training/test_protocol.py::test_one_state_of_a_swarm_grows_into_many_attacks",
    ),
    Mutant(
        "validators repeat what was before a fork with the fork's samples",
        "lab/training/protocol.py",
        "seed = self._drawn.setdefault(public, self.settings.seed)",
        "seed = self.settings.seed",
        "tests/lab/training/test_protocol.py::test_one_state_of_a_swarm_grows_into_many_attacks",
    ),
    Mutant(
        "views of one buffer are kept as buffers of their own",
        "lab/simulation/snapshot.py",
        "    if not isinstance(memory, bytearray) or not view:\n",
        "    if True:\n",
        "tests/lab/simulation/test_snapshot.py::test_views_of_one_buffer_stay_views_of_one_buffer",
    ),
    Mutant(
        "a swarm's state may name any function",
        "lab/simulation/snapshot.py",
        "if name in _ELSEWHERE.get(module, ()) or name in _FUNCTIONS.get(module, ()):",
        "if True:",
        "tests/lab/simulation/test_snapshot.py::test_nothing_but_a_swarm_can_be_named",
    ),
    Mutant(
        "min_max stops at the mean of the bounds",
        "byzantine/gradients/crafted/min_max.py",
        "        return min(factors)\n",
        "        return sum(factors) / len(factors)\n",
        f"{_GRADIENTS}/test_crafted.py::test_distances_stay_within_those_of_honest_workers",
    ),
    Mutant(
        "a delayed gradient is a step too young",
        "byzantine/gradients/blunt/delayed.py",
        "if step < knowledge.step - self.delay]",
        "if step <= knowledge.step - self.delay]",
        f"{_GRADIENTS}/test_blunt.py::test_delayed_means_are_as_old_as_stated",
    ),
    Mutant(
        "an attack with a memory sleeps until its first step",
        "byzantine/gradients/live/published.py",
        "            self.attack.observe(knowledge)\n",
        "",
        "tests/byzantine/test_gradients.py::test_an_attack_with_a_memory_learns_while_it_rests",
    ),
    Mutant(
        "gradients of a loss that changes are those of its recording",
        "lab/training/workers/replay.py",
        "            if not (_same(made[0], again[0]) and torch.equal(made[1], again[1])):",
        "            if False:",
        "tests/lab/training/workers/test_replay.py::test_a_function_that_changes_is_not_replayed",
    ),
    Mutant(
        "a sweep that cannot run is said to take no time",
        "lab/sweep/estimate.py",
        "seconds = total + total / timed * (len(runs) - timed - refused) if timed else None",
        "seconds = total + total / max(timed, 1) * (len(runs) - timed - refused)",
        "tests/lab/sweep/test_estimate.py::test_runs_that_cannot_be_have_no_forecast_but_a_reason",
    ),
    Mutant(
        "a forecast tries all kinds of runs, however long that takes",
        "lab/sweep/estimate.py",
        "if probed and time.perf_counter() - begun > most_seconds:",
        "if probed and False:",
        "tests/lab/sweep/test_estimate.py::test_a_forecast_ends_after_its_time",
    ),
    Mutant(
        "a busy machine ends a simulated run",
        "lab/stress/soak.py",
        "signal.ITIMER_REAL, _WAITING * seconds",
        "signal.ITIMER_REAL, seconds",
        "tests/lab/stress/test_soak.py::test_a_busy_machine_ends_nothing",
    ),
    Mutant(
        "what a swarm's packages import can be named in its state",
        "lab/simulation/snapshot.py",
        "if isinstance(found, type) and found.__module__ == module:",
        "if True:",
        "tests/lab/simulation/test_snapshot.py::test_nothing_leads_beyond_what_a_swarm_defines",
    ),
    Mutant(
        "a state calls any method of Python's own",
        "lab/simulation/snapshot.py",
        '    if "__" in name:\n        raise UserError(f"the state of a swarm calls',
        '    if False:\n        raise UserError(f"the state of a swarm calls',
        "tests/lab/simulation/test_snapshot.py::test_a_call_of_pythons_own_methods_is_refused",
    ),
)
