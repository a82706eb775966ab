"""What a daemon tells those who watch it: metrics over HTTP, and to Weights & Biases.

`address`, `http`, `guard` and `server` are a small HTTP server for strangers, which the coordinator's dashboard uses
too; `endpoint` serves metrics with it, `meter` are those of a peer; `wandb_run` is a run at Weights & Biases.
"""
