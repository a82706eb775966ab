"""What one attempt at a step has received, and the checks that each message passes before it is kept."""
