"""How messages travel: one interface, a simulated network for proofs (`memory`) and libp2p for the world (`libp2p`)."""
