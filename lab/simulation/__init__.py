"""One simulated swarm: what `btard simulate` is told, its peers and their work, what must hold, what
happened, and all of it as bytes."""
