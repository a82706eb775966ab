"""The coordinator: the first peer of a run, on a CPU machine. It says what the run is, welcomes, watches and saves.

`settings` and `daemon` are the program; `manifest_maker` makes the run's manifest, `welcome` its first roster;
`follower`, `metrics` and `checkpoints` watch the swarm, which does not need them: peers train on without a coordinator.
What peers say is believed only when more than half of a roster that is already trusted says it.
"""
