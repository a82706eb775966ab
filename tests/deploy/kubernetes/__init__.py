"""The Helm chart, rendered by helm itself; `make helm` fetches it, and without it these tests are skipped."""
