"""The images, tried in containers; `make test-images` runs it, and needs an engine and root."""
