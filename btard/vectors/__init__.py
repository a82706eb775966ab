"""Flat vectors: their parts and wire types, memory used again, and the momentum that they are built on."""
