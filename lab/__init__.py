"""The laboratory: the real protocol among simulated peers in one process, and trainings among hundreds of workers.

`simulation` runs one swarm, `stress` draws many, `adversary` looks for the liars that hurt most, and `theory` sets
closed forms beside the draws. `training` runs experiments that `metrics` measures, `sweep` many of them, `study`
compares them, and `reproductions` does published studies again.
"""
