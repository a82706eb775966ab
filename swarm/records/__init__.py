"""What peers and coordinator publish in the DHT: `record` the bodies, `details` what a peer tells about itself; and
`stages`, what a coordinator answers about those of its run."""
