"""The networks of the published experiments, written here; each takes images and gives log-probabilities of classes."""
