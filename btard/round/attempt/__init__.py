"""One attempt at a step: its seats, what was said, what was carried, and what phases have measured."""
