"""Many experiments: a grid of settings, run in parallel, and what is missing run again.

`grid` makes the runs of a file, `versions` tells which code a result is of, `shelf` which runs are done. `running` does
one run in a process of its own, `local` keeps such processes busy on this machine and `cluster` on those of a Ray
cluster, `forecast` says before how long it takes, `campaign` puts it together, `tuning` chooses a setting for each
group of runs before, and `forks` lets all runs go on from one state.
"""
