"""A stage among others, without a network: messages in, messages out.

`messages` is what stages sign and send, `inbox` what has arrived of it, `context` what a stage knows, `machine` the
stage itself, `memory` drives all stages of a pipeline in one process on a virtual clock.
"""
