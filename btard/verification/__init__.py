"""The numbers by which everybody can check everybody: random projections of deviations, and what they may be.

`projection` measures vectors, a pass over the long dimension; `scalars` measures how far off the few numbers are that
come out; `thresholds` says what accuses, convicts and acquits. Nothing here knows messages, peers or phases.
"""

from btard.verification.projection import Measure, Projection, length_of, norm_of, projection_of
from btard.verification.scalars import (
    HONEST_SHARE,
    aggregate_error,
    clipped,
    distance_excess,
    doubtful,
    length_excess,
    measure_tolerance,
    norm_tolerance,
    plausible,
    published_sum_tolerance,
    scalars_excess,
    sketch_distance,
    sum_excess,
    sum_tolerance,
    within_bound,
)
from btard.verification.thresholds import COVER_UP, FIXED_POINT, LENGTH, SCALARS, SUM, Thresholds, gradient

__all__ = [
    "COVER_UP",
    "FIXED_POINT",
    "HONEST_SHARE",
    "LENGTH",
    "SCALARS",
    "SUM",
    "Measure",
    "Projection",
    "Thresholds",
    "aggregate_error",
    "clipped",
    "distance_excess",
    "doubtful",
    "gradient",
    "length_excess",
    "length_of",
    "measure_tolerance",
    "norm_of",
    "norm_tolerance",
    "plausible",
    "projection_of",
    "published_sum_tolerance",
    "scalars_excess",
    "sketch_distance",
    "sum_excess",
    "sum_tolerance",
    "within_bound",
]
