"""Behaviours of peers in a swarm whose lie is the vector; what they know is what their colluders know."""
