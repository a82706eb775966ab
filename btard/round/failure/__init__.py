"""A failed attempt: why it stops, what members report, the court, and what follows for members."""
