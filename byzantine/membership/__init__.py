"""Lies about which peers belong to the run, and which state it holds."""
