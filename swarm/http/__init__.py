"""A small HTTP server for strangers, of metrics and of the dashboard.

`address` is where something is served, `token` and `guard` decide who may read it, `messages` reads requests and writes
responses, `server` keeps many connections within bounds.
"""
