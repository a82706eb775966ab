"""The coordinator: the first peer of a run, on a CPU machine. It says what the run is, welcomes, watches and saves.

`daemon` and `settings` are the program, `manifest_maker` makes the run's manifest, `run_directory` its files; `run` is
the life of a run, `network` what is asked of the network and served to it, `telemetry` what peers tell, `dashboard` the
page. The swarm needs none of it: peers train on without a coordinator. What peers say is believed only when more than
half of a roster that is already trusted says it.
"""
