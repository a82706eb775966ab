"""How a peer gets in: `joining` learns the manifest, `rosters` the coordinator's newest roster; `knocking` knocks at
members, `neighbours` knows where they are and names newcomers to them.
"""
