"""Reveals its share late before half of the peers."""

from __future__ import annotations

from btard.byzantine.messages.late import Late
from btard.identity import MessageKind


class LateReveal(Late):
    """Around the deadline some know r^t, and some do not."""

    name = "LATE_REVEAL"
    kind = MessageKind.REVEAL
