"""Pipeline mode: a model too large for one peer, cut into stages between which activations travel."""
