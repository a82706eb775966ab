"""The life of a run: `supervisor` leads it from the first roster (`welcome`) over later ones (`follower`) to its end;
`checkpoints` saves training states, `ban_keeper` the evidence of bans.
"""
