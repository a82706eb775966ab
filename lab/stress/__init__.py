"""Trouble at random: scenarios as they are drawn, hours of coming and going, messages that are dear to read."""
