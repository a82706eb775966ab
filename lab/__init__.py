"""The laboratory: the real protocol among simulated peers in one process, what must hold, and how long attackers last.

`simulation` runs one scenario that `settings` describes on a `workload`, `admissions` lets peers join and come back,
`invariants` checks every step, `report` says what happened. `chaos` draws scenarios, `soak` runs them as long as it is
told, and `theory` compares the time until all attackers are banned with its closed form. `adversary` looks for the
liars that hurt most.
"""
