"""What both daemons tell those who watch them.

`endpoint` serves metrics to Prometheus, `labels` names series, `wandb_run` is a run at Weights & Biases,
`validation_watch` notices when nobody is validated, `settings` are those of both daemons.
"""
