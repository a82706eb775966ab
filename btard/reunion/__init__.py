"""How members that come back agree on which step goes on, once most of them were gone; it computes nothing itself.

`messages` is what they sign, `reunion` one member's part in it.
"""
