"""One simulated swarm: what `btard simulate` is told, its peers and their work, what must hold, and what happened."""
