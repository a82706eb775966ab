"""What a stage does in one step, beside its neighbours.

`lineup` says who takes part, `channels` are the boundaries, `passes` goes forward and back, `rows` are what all are
told at the end, `sealing` makes the step binding, and `redo` are the reasons to do it anew.
"""
