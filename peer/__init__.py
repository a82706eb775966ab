"""The trainer daemon: it learns the run from its manifest, joins, computes, averages by rounds, and reports.

`manifest`, `records` and `questions` are what peers and coordinator tell each other, `settings` is what is local to a
peer, `daemon` is the program.
"""
