"""Bans as data, and as files that a stranger can check."""
