"""Bugs in what accuses and what convicts."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

EDGES = "tests/btard/round/test_edges.py"
TABLE = "tests/btard/verification/test_thresholds.py"
SCALARS_FILE = "btard/verification/scalars.py"
DIRECTION = "btard/verification/projection.py"
MEASURING = "tests/btard/verification/test_projection.py"
LIMITS = "btard/verification/thresholds.py"

THRESHOLDS: tuple[Mutant, ...] = (
    Mutant(
        "what verification 1 lets others lie is not granted to the owner of the sum",
        SCALARS_FILE,
        "granted = 1.0 + SCALARS.accuse",
        "granted = 1.0",
        "tests/byzantine/test_collusion.py::test_tolerated_lies_of_almost_half_cost_no_owner_its_place[8-1000.0]",
    ),
    Mutant(
        "the limit of a sum does not allow for false norms that are tolerated",
        SCALARS_FILE,
        "return _MOVED_LIMIT * sum_tolerance(",
        "return 0.5 * sum_tolerance(",
        f"{TABLE}::test_tolerated_lies_never_convict_an_honest_owner",
    ),
    Mutant(
        "owners measure the length of rows in float32, and accuse of what just convicts",
        "btard/round/work/rows.py",
        "if LENGTH.accuses(row_length_excess(v, limit, wire)))",
        "if row_length_excess(v, limit, wire) > LENGTH.acquit)",
        f"{EDGES}::test_a_row_is_too_long_beyond_the_limit_only[float32-convict]",
    ),
    Mutant(
        "what accuses of a part that is too long is what convicts, and nothing lies between",
        LIMITS,
        "convict=1 + 2.0**-11, accuse=1 + 2.0**-10)",
        "convict=1 + 2.0**-10, accuse=1 + 2.0**-10 + 2.0**-40)",
        f"{TABLE}::test_limits_lie_farther_apart_than_machines_measure[LENGTH]",
    ),
    Mutant(
        "a clipped part that rounding made longer is an offence",
        SCALARS_FILE,
        "longest = limit + _rounding(limit, count, wire)",
        "longest = limit",
        f"{TABLE}::test_what_an_honest_sender_clips_is_never_too_long",
    ),
    Mutant(
        "validators accuse of scalars that owners let pass, and judges convict of less than nobody measures",
        LIMITS,
        "SCALARS = Thresholds(acquit=0.5, convict=1.0, accuse=2.0)",
        "SCALARS = Thresholds(acquit=0.1, convict=0.2, accuse=0.3)",
        f"{TABLE}::test_limits_lie_farther_apart_than_machines_measure[SCALARS]",
    ),
    Mutant(
        "owners are accomplices of whatever they did not have to accuse of",
        LIMITS,
        "COVER_UP = 3.0",
        "COVER_UP = 1.0",
        f"{EDGES}::test_an_owner_covers_up_only_what_it_would_have_accused_of[1.1-1-False-False]",
    ),
    Mutant(
        "a stranger calls unproven what one judge in doubt would not have convicted of",
        "btard/round/proof.py",
        "if SUM.acquits(excess):",
        "if not excess > 1.02:",
        f"{EDGES}::test_a_charge_about_a_sum_on_the_edge_costs_one_liar[1.01-verdict2]",
    ),
    Mutant(
        "what machines measure differently counts as the distance of a vector",
        SCALARS_FILE,
        " - measure_tolerance(measure.norm, math.inf)",
        "",
        f"{TABLE}::test_a_far_aggregate_makes_no_honest_vector_guilty[200000-100000.0]",
    ),
    Mutant(
        "what the wire type rounds differently counts as a lie",
        SCALARS_FILE,
        "half_step = relative + absolute * math.sqrt(length) / size",
        "half_step = 0.0",
        f"{TABLE}::test_honest_differences_after_rounding_are_acquitted",
    ),
    Mutant(
        "norms longer than any row pass, and their sums overflow",
        SCALARS_FILE,
        "0 <= norm <= longest * _SLACK",
        "0 <= norm",
        f"{EDGES}::test_sums_beyond_any_float_crash_nobody",
    ),
    Mutant(
        "what is said about an aggregate of NaN is measured against it",
        "btard/round/work/rows.py",
        "    if not finite_rows([aggregate])[0]:\n        return Inspected(0.0, 0.0, finite, too_long)\n",
        "",
        f"{EDGES}::test_no_number_about_an_aggregate_of_nan_is_a_lie",
    ),
    Mutant(
        "a norm is summed in pieces so long that machines differ",
        DIRECTION,
        "PIECE = 128\n",
        "PIECE = 16384\n",
        f"{TABLE}::test_machines_measure_within_a_quarter_of_the_tolerance",
    ),
    Mutant(
        "whatever the randomness, z is the same",
        DIRECTION,
        'tagged_digest("btard verification direction", randomness)',
        'tagged_digest("btard verification direction")',
        f"{MEASURING}::test_other_randomness_gives_another_direction",
    ),
    Mutant(
        "a part that begins within a block has that block's first words",
        DIRECTION,
        "        stream.update(bytes(before))\n",
        "",
        f"{MEASURING}::test_the_direction_does_not_depend_on_how_the_vector_is_cut",
    ),
    Mutant(
        "each chunk of a long row is measured along the words of the first",
        DIRECTION,
        "drawn = np.frombuffer(stream.update(",
        "drawn = np.frombuffer(self._stream(start).update(",
        f"{MEASURING}::test_all_ways_of_measuring_agree_with_exact_sums",
    ),
)
