"""Signs two different lists of hashes, one for each half of the peers."""

from __future__ import annotations

import dataclasses

from btard.byzantine.messages.two_faced import TwoFaced
from btard.hashing import digest
from btard.identity import MessageKind
from btard.round.messages.bodies import Commit


class EquivocateCommit(TwoFaced):
    """The last hash differs; in the step that it sits out, the commitment to its share."""

    name = "EQUIVOCATE_COMMIT"
    kind = MessageKind.COMMIT

    def other(self, body: bytes) -> bytes:
        commit = Commit.decode(body)
        if not commit.parts:
            return dataclasses.replace(commit, share=digest(commit.share)).encode()
        return dataclasses.replace(commit, parts=(*commit.parts[:-1], digest(commit.parts[-1]))).encode()
