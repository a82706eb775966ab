"""One step of BTARD as a state machine without input or output: events in, actions out.

`session` strings steps together, `step` runs one step with its attempts, and there is one file a phase: `commit`,
`scatter`, `gather`, `agree`, and `settle` for an attempt that failed. The drivers are in `btard.transport`.
"""
