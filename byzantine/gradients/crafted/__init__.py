"""Attacks made of the vectors that honest workers submit, so that a rule mistakes them for honest ones."""
