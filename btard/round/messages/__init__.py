"""What peers say in a step: bodies of messages, their bounds and forms, and signed messages that carry others."""
