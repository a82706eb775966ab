"""Pipelines beside each other: the replicas of one stage average their gradients by BTARD.

`machine`, `rows` and what validators see are the same on the network (`btard.pipeline.live.rounds`) and in simulation.
`gradients` are a stage's as one vector, `machine` is a stage that waits for their average, `rows` and `notes` are what
pipelines tell each other. By `record` and `trainer` a validator sees what a replica's gradient had to be; `executor`
looks. `rules` says what a run of replicas can be, and `simulated` is one in this process.
"""
