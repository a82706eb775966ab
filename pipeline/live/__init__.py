"""Stages on real sockets and the real clock.

`build` makes of a manifest what a stage computes, `gate` takes in what arrives, `driver` runs one stage machine,
`rounds` averages with its replicas, `sitting` is a seat while a seating lasts, `states` holds what may be asked for,
and `peer` puts them together for `btard-peer`. `first_states` are those of a trained model, and `merging` makes a model
of what a run has left.
"""
