"""The minutes of a step as a peer keeps them beside the training state before it: with both, it can begin the next step
in another process, and look back from there."""

from __future__ import annotations

from dataclasses import dataclass, field

from btard.hashing import DIGEST_SIZE
from btard.identity import Malformed
from btard.identity.codec import as_bytes, as_fields, as_int
from btard.peer.keeping.framing import MOST_HEADER, framed, link_from, link_piece, unframed
from btard.reunion.messages import Place
from btard.round.attempt.minutes import most_minutes_bytes
from btard.round.roster import Roster
from btard.vectors.momentum import KeptLink

_FORMAT = "btard kept minutes 1"
_SIZES = 3


@dataclass(frozen=True)
class KeptMinutes:
    """What the audits of a step need, beside the training state before it.

    Attributes:
        run: 16 bytes, of the run's first incarnation.
        following: the roster of the step after.
        digest: 32 bytes, of the training state that the aggregate leads to.
        minutes: see `Minutes.encode`.
        aggregate: the wire bytes of the aggregated vector.
        link: the last link of the peer's own momentum, None where there is none.
    """

    run: bytes
    following: Roster
    digest: bytes
    minutes: bytes = field(repr=False)
    aggregate: bytes = field(repr=False)
    link: KeptLink | None = field(default=None, repr=False)

    @property
    def step(self) -> int:
        """The step that they are of."""
        return self.following.step - 1

    @property
    def place(self) -> Place:
        """Where they lead to from the state before."""
        return Place(self.following.step, self.following.digest, self.digest)

    def encode(self) -> bytes:
        """Return the bytes of a file, or of an answer, which show whether they are whole."""
        step, vectors = link_piece(self.link)
        pieces = (self.minutes, self.aggregate, vectors)
        fields = (self.run, self.following.pack(), self.digest, step, [len(piece) for piece in pieces])
        return framed(_FORMAT, fields, pieces)

    @classmethod
    def decode(cls, data: bytes) -> KeptMinutes:
        """Read bytes of a file or of anybody; raises Malformed for any that are cut, changed, or of another form. What
        the minutes say is not looked at."""
        (run, roster, digest, step, sizes), pieces = unframed(data, _FORMAT, 5)
        said, summed, shown = (as_int(size, 0, len(pieces)) for size in as_fields(sizes, _SIZES))
        if said + summed + shown != len(pieces):
            raise Malformed("its pieces are not as long as it says")
        link = link_from(step, pieces[said + summed :])
        following = Roster.unpack(roster)
        if following.step < 1:
            raise Malformed("nothing comes before the first step")
        minutes, aggregate = pieces[:said], pieces[said : said + summed]
        return cls(as_bytes(run, 16), following, as_bytes(digest, DIGEST_SIZE), minutes, aggregate, link)


def most_bytes(following: Roster, aggregate_bytes: int) -> int:
    """Return how many bytes minutes without a link have at the most, if such a roster follows."""
    return most_minutes_bytes(following) + aggregate_bytes + 2 * MOST_HEADER
