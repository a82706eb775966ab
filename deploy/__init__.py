"""Swarms on machines: on this one, on AWS, on Kubernetes, and whole experiments; `names` is what these are called."""
