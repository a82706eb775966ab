"""What peers tell of themselves: `metrics` and `peer_details` into files, `meter` for Prometheus, `wandb_sink`."""
