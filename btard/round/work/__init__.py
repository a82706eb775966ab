"""The heavy work that a step asks its driver for, as pure functions: rows, recomputed vectors, and the answers."""
