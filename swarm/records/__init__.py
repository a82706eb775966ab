"""What peers and coordinator publish in the DHT: `record` the bodies, `details` what a peer tells about itself."""
