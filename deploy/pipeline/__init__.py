"""A pipeline of real processes on this machine, over loopback: `btard pipeline run --processes real`."""
