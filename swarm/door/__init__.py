"""Newcomers: `door` knows the callers and calls them back, `reception` answers what a stranger may ask."""
