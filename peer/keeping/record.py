"""What a peer keeps of a step that begins: all that it takes to begin it in another process."""

from __future__ import annotations

from dataclasses import dataclass, field

from btard.durable import sealed, unsealed
from btard.hashing import DIGEST_SIZE
from btard.identity import Malformed
from btard.identity.codec import as_bytes, as_fields, as_int, decode, encode
from btard.reunion.messages import Place
from btard.round.roster import Roster
from btard.vectors.momentum import KeptLink

_FORMAT = "btard kept state 1"
_MOST_HEADER = 1 << 20
_LENGTH = 8


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
        link, vectors = self.link, b""
        if link is not None:
            vectors = link.base + link.vector
        step = None if link is None else link.step
        header = encode([_FORMAT, self.run, self.roster.pack(), self.digest, step, len(self.state)])
        return sealed(len(header).to_bytes(_LENGTH, "big") + header + self.state + vectors)

    @classmethod
    def decode(cls, data: bytes) -> KeptState:
        """Read a file; raises Malformed for one that is cut, changed, or of another form."""
        body = unsealed(data)
        if body is None:
            raise Malformed("it was cut or changed")
        length = int.from_bytes(body[:_LENGTH], "big")
        header, rest = body[_LENGTH : _LENGTH + length], body[_LENGTH + length :]
        form, run, roster, digest, step, size = as_fields(decode(header, limit=_MOST_HEADER), 6)
        if form != _FORMAT:
            raise Malformed(f"its format is not {_FORMAT}")
        size = as_int(size, 0, len(rest))
        link = None
        if step is not None:
            vectors = rest[size:]
            half = len(vectors) // 2
            link = KeptLink(as_int(step, 0, 2**62), vectors[:half], vectors[half:])
        return cls(as_bytes(run, 16), Roster.unpack(roster), as_bytes(digest, DIGEST_SIZE), rest[:size], link)
