"""What a peer keeps on its disk: `progress` where it has stood, `checkpoints` its training state, `cadence` says when.

`record` is what a checkpoint is made of; `reports` keeps what was reported of the last steps.
"""
