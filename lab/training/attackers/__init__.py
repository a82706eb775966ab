"""Workers that lie.

`groups` reads which there are and when they attack, `crew` makes what they send and bans them,
`protocol_attackers` lets the same attacks happen in the protocol.
"""
