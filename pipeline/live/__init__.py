"""Stages on real sockets and the real clock.

`build` makes of a manifest what a stage computes, `gate` takes in what arrives, `driver` runs one stage machine,
`rounds` averages with its replicas, `sitting` is a seat while a seating lasts, `held` are the states that may be asked
for, and `peer` puts all together for `btard-peer`. `ban_proof` reads the files of bans, `proofs` keeps them.
"""
