"""Numbers of a step: parts and wire types, memory used again, momentum, and the heavy work as pure functions."""
