"""A training state in chunks: `shelf` holds what is asked for, `download` fetches from several peers at once,
`arrival` is the file where it arrives, and `progress` tells how far it is.
"""
