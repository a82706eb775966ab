"""The states of stages that a live peer holds, and where they come from.

`states` may be asked for, `keeping` fetches those of others, `first_states` are those of a trained model, and `merging`
makes a model of what a run has left.
"""
