"""What a peer tells: `meter` to Prometheus, `reporting` to the coordinator, `recorder` to all that record a step."""
