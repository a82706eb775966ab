"""Copies a colluder's commitment to its share, so that the two cancel out."""

from __future__ import annotations

import dataclasses

from btard.behaviour import View
from btard.byzantine.conspirator import Conspirator
from btard.round.messages.bodies import Commit


class CopyCommitment(Conspirator):
    """The second one copies from the first; the peer's id inside the hash keeps the copy from being opened.

    Nobody sees the commitment of an honest peer in time, unless that peer is much faster; a colluder lends its own.
    """

    name = "COPY_COMMITMENT"

    def commit(self, step: int, commit: Commit, view: View) -> Commit | None:
        """Commit to the share of a colluder's that came first, or lend the own one."""
        if not self.attacks(step):
            return commit
        topic = f"share-{commit.attempt_id.hex()}"
        lent = {peer: note for peer, note in self.channel.read(step, topic).items() if peer != self.me}
        if lent:
            return dataclasses.replace(commit, share=lent[min(lent)])
        self.channel.post(step, topic, self.me, commit.share)
        return commit
