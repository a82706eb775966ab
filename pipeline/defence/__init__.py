"""Against stages that lie: whom an alarm passes by, and how stages lie in experiments."""
