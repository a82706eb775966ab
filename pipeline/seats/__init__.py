"""Which peer runs which stage, and how training goes on after one is lost: decisions without a clock or a network.

`seating` is what the coordinator signs, `statements` what stages say about their states, `usher` decides for the
coordinator who sits where, and `occupant` is a peer's part: when it begins a step, what it keeps, and of whom.
"""
