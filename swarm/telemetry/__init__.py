"""Small HTTP parts of both daemons: addresses, tokens, the guarded server, and a wandb run."""
