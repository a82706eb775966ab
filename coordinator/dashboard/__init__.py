"""The live page of a run: what its directory tells, made into a view, and served read-only over HTTP.

`source` reads the files of a run while they grow, `model` and `series` make a view of them, `feed` tells clients what
has changed, `server` speaks to browsers over `swarm.http`, `service` starts and ends it all. Nothing here asks the
network or the coordinator anything: a page that fails, or lies, costs the run nothing.
"""
