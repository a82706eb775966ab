"""The version of the protocol: everything that travels, is signed or is kept as proof names it."""

PROTOCOL_VERSION = 7
"""Peers of different versions cannot work together, and check no evidence of each other's runs."""
