"""One step of BTARD as a state machine without input or output: events in, actions out.

`session` strings steps together, and `step` runs one step with its attempts. The wings: `phases` has one file a phase,
`attempt` what an attempt has received, `messages` what peers say, `delivery` how it reaches them, `failure` what
follows when an attempt fails, `evidence` bans as data and as files, `vectors` the numbers. The drivers are in
`btard.transport`.
"""
