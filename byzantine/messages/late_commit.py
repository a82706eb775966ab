"""Commits late before half of the peers."""

from __future__ import annotations

from btard.byzantine.messages.late import Late
from btard.identity import MessageKind


class LateCommit(Late):
    """Around the deadline some count it in, and some do not."""

    name = "LATE_COMMIT"
    kind = MessageKind.COMMIT
