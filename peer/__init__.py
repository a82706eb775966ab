"""The trainer daemon: it learns the run from its manifest, joins, computes, averages by rounds, and reports.

`daemon` is the program, `training` its loop over steps, `trainer` the model, `examiner` the check of others' work;
`meeting` finds the run and its members, `serving` answers them, `telemetry` reports. `doctor` and `visit` are tools.
"""
