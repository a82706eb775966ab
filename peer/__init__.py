"""The trainer daemon: it learns the run from its manifest, joins, computes, averages by rounds, and reports.

`manifest` and `records` are what peers and coordinator tell each other, `settings` what is local to a peer, `daemon` the
program; the coordinator uses the first two as well.
"""
