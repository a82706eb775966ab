"""Rules that treat every coordinate by itself; most begin with its values in ascending order (`sorted_rows`)."""
