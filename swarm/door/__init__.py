"""Newcomers: `door` knows who knocks and calls back, `reception` answers what a stranger may ask."""
