"""The numbers by which everybody can check everybody: random projections of deviations, and what they may be.

`projection` measures vectors, a pass over the long dimension; `scalars` measures how far off the few numbers are that
come out; `thresholds` says what accuses, convicts and acquits. Nothing here knows messages, peers or phases.
"""
