"""The minutes of a step as a peer keeps them beside the training state before it: with both, it can begin the next step
in another process, and look back from there."""

from __future__ import annotations

from dataclasses import dataclass, field

from btard.durable import sealed, unsealed
from btard.hashing import DIGEST_SIZE
from btard.identity import Malformed
from btard.identity.codec import as_bytes, as_fields, as_int, decode, encode
from btard.reunion.messages import Place
from btard.round.attempt.minutes import most_minutes_bytes
from btard.round.roster import Roster
from btard.vectors.momentum import KeptLink

_FORMAT = "btard kept minutes 1"
_MOST_ROSTER = 1 << 20
_SIZES = 3
_LENGTH = 8


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
        link = self.link
        vectors = b"" if link is None else link.base + link.vector
        step = None if link is None else link.step
        sizes = [len(self.minutes), len(self.aggregate), len(vectors)]
        header = encode([_FORMAT, self.run, self.following.pack(), self.digest, step, sizes])
        length = len(header).to_bytes(_LENGTH, "big")
        return sealed(b"".join((length, header, self.minutes, self.aggregate, vectors)))

    @classmethod
    def decode(cls, data: bytes) -> KeptMinutes:
        """Read bytes of a file or of anybody; raises Malformed for any that are cut, changed, or of another form. What
        the minutes say is not looked at."""
        body = unsealed(data)
        if body is None:
            raise Malformed("it was cut or changed")
        length = int.from_bytes(body[:_LENGTH], "big")
        header, rest = body[_LENGTH : _LENGTH + length], body[_LENGTH + length :]
        form, run, roster, digest, step, sizes = as_fields(decode(header, limit=_MOST_ROSTER), 6)
        if form != _FORMAT:
            raise Malformed(f"its format is not {_FORMAT}")
        said, summed, shown = (as_int(size, 0, len(rest)) for size in as_fields(sizes, _SIZES))
        if said + summed + shown != len(rest):
            raise Malformed("its pieces are not as long as it says")
        vectors, half = rest[said + summed :], shown // 2
        link = None if step is None else KeptLink(as_int(step, 0, 2**62), vectors[:half], vectors[half:])
        following = Roster.unpack(roster)
        if following.step < 1:
            raise Malformed("nothing comes before the first step")
        pieces = rest[:said], rest[said : said + summed]
        return cls(as_bytes(run, 16), following, as_bytes(digest, DIGEST_SIZE), *pieces, link)


def most_bytes(following: Roster, aggregate_bytes: int) -> int:
    """Return how many bytes minutes without a link have at the most, if such a roster follows."""
    return most_minutes_bytes(following) + aggregate_bytes + 2 * _MOST_ROSTER
