"""What a peer keeps of a step that begins: all that it takes to begin it in another process."""

from __future__ import annotations

from dataclasses import dataclass, field

from btard.hashing import DIGEST_SIZE
from btard.identity.codec import as_bytes, as_int
from btard.peer.keeping.framing import framed, link_from, link_piece, unframed
from btard.reunion.messages import Place
from btard.round.roster import Roster
from btard.vectors.momentum import KeptLink

_FORMAT = "btard kept state 1"


@dataclass(frozen=True)
class KeptState:
    """A state before a step.

    Attributes:
        run: 16 bytes, of the run's first incarnation.
        roster: of the step, with its randomness, its audits and its bans.
        digest: 32 bytes, of the training state.
        state: the training state, serialised.
        link: the last link of the peer's own momentum, None where there is none.
    """

    run: bytes
    roster: Roster
    digest: bytes
    state: bytes = field(repr=False)
    link: KeptLink | None = field(default=None, repr=False)

    @property
    def place(self) -> Place:
        """What names it among peers."""
        return Place(self.roster.step, self.roster.digest, self.digest)

    def encode(self) -> bytes:
        """Return the bytes of a file, which show whether they are whole."""
        step, vectors = link_piece(self.link)
        fields = (self.run, self.roster.pack(), self.digest, step, len(self.state))
        return framed(_FORMAT, fields, (self.state, vectors))

    @classmethod
    def decode(cls, data: bytes) -> KeptState:
        """Read a file; raises Malformed for one that is cut, changed, or of another form."""
        (run, roster, digest, step, size), pieces = unframed(data, _FORMAT, 5)
        end = as_int(size, 0, len(pieces))
        link = link_from(step, pieces[end:])
        return cls(as_bytes(run, 16), Roster.unpack(roster), as_bytes(digest, DIGEST_SIZE), pieces[:end], link)
