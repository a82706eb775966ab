"""Bugs in links that are made slow."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

QUEUE = "btard/transport/libp2p/link.py"
QUEUED = "tests/btard/transport/libp2p/test_link.py"
SHAPING = "btard/transport/shaping.py"
SHAPED = "tests/btard/transport/test_shaping.py"

LINK: tuple[Mutant, ...] = (
    Mutant(
        "a part whose buffer is used again still arrives",
        QUEUE,
        "                item.timer.cancel()",
        "                pass",
        f"{QUEUED}::test_parts_that_are_abandoned_never_arrive",
    ),
    Mutant(
        "control messages wait behind parts",
        QUEUE,
        "while queue := self._control or self._bulk:",
        "while queue := self._bulk or self._control:",
        f"{QUEUED}::test_messages_overtake_parts",
    ),
    Mutant(
        "an idle link saves up",
        SHAPING,
        "max(now, self._free_at) + size",
        "self._free_at + size",
        f"{SHAPED}::test_bytes_take_their_time_one_after_another",
    ),
)
