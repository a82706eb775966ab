"""Studies of models in stages: their runs are pipelines, not trainings among workers.

`run` says what a run is, `missing_runs` does those that are missing, `forecast` says how long that takes, `study` is
what a study has, and `origin` trains the model that runs go on from. `attack` and `ac_sgd` are the studies, each with
its runs in a file beside it.
"""
