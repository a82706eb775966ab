"""One step of BTARD as a state machine without input or output: events in, actions out.

`session` strings steps together, and `step` runs one step with its attempts. The wings, from the bottom: `messages` is
what peers say, `evidence` bans as data and as files, `attempt` what one attempt has received, `work` the numbers,
`delivery` how things reach peers, `phases` has one file a phase, `failure` what follows when an attempt fails. None
imports from above; `tests/test_layers.py` knows the order. The drivers are in `btard.transport`.
"""
