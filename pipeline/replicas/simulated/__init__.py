"""Pipelines beside each other in one process, on a virtual clock.

`peer` takes part in the rounds of a stage, `group` runs the rounds of all its replicas, `stage` is one stage in the
network of all, `pipelines` are all stages of all pipelines, and `trial` is a whole run.
"""
