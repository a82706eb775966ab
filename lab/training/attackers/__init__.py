"""Workers that lie.

`groups` reads which there are and when they attack, `crew` makes what they send and bans them, `camp` lets the same
attacks happen in the protocol.
"""
