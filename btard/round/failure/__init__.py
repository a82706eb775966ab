"""A failed attempt: why it stops, who reports what, the court, and what follows for members."""
