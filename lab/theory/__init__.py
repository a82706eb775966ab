"""Closed forms beside the protocol's own draws: how long attackers last, accomplices as auditors, crowds of keys."""
