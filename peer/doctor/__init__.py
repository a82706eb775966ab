"""What keeps a machine out of a swarm, one sentence a check.

`probe_*` modules gather facts and judge nothing; `check_*` modules are pure functions from facts to a CheckResult.
"""
