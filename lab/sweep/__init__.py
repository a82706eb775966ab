"""Many experiments: a grid of settings, run in parallel, and what is missing run again.

`grid` makes the runs of a file, `versions` tells which code a result is of, `sweep_folder` which runs are done.
`running` does one run in a process of its own, `local` keeps such processes busy on this machine and `cluster` on those
of a Ray cluster. `estimate` says before how long it takes, `tuning` chooses a setting for each group of runs, `forks`
lets all runs go on from one state, `missing_runs` does what is not done, and `sweep` puts it together.
"""
