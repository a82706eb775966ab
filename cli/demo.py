"""`btard demo`: eight peers on this machine, three of whom turn, and what becomes of them."""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str]) -> int:
    """Run the demonstration and return the exit code.

    Raises:
        UserError: the words are wrong, or a swarm failed.
    """
    from btard.deploy.local import demo

    return demo.main(argv)
