"""How long a message of each kind may be, and how many of them one member may send: both follow from the roster.

Whatever is longer, or comes after the last that counts, is not read. What is malformed and within `evidence` fits into
a report beside everything else that it may carry, so that its author is banned for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

from btard.hashing import DIGEST_SIZE
from btard.identity import MessageKind
from btard.identity.envelope import MAX_ENVELOPE, MAX_HEADER, SIGNATURE_SIZE
from btard.identity.peer_id import PEER_ID_SIZE
from btard.round.messages.accusations import MAX_OVERDUE, MOST_SIGNS_OF_LIFE
from btard.round.messages.bodies import MAX_CANDIDATES
from btard.verification.openings import BLOCKS

FRAME = 192
"""Bytes; the most that a message takes beside its body: run, step, attempt, kind, author, signature."""

_ID, _DIGEST, _FLOAT = PEER_ID_SIZE + 2, DIGEST_SIZE + 2, 9
_MOST_EVIDENCE = 512 << 10
_MOST_OWN = 3 << 20

_FEW = 4
"""Messages of a kind that an honest member sends once in an attempt: a second one may convict, more add nothing."""


@dataclass(frozen=True)
class Caps:
    """Sizes in bytes, and counts, for a roster of so many members.

    Attributes:
        members: of the step's roster.
    """

    members: int

    @cached_property
    def own(self) -> int:
        """The longest report of an honest member, without the malformed messages that it shows.

        Of each member it holds what that has signed in the attempt (two contradicting commitments at the worst), a
        part's header, a goodbye, a complaint. Of a few it shows that most have waited for them too long.
        """
        each = 2 * self._commit + self._scalars + 8 * (FRAME + 160) + 4 * _ID
        return min(_MOST_OWN, 1024 + self.members * each + self._overdue)

    @cached_property
    def evidence(self) -> int:
        """The longest message whose malformed body is an offence: one that fits into a report whatever else it says."""
        return min(_MOST_EVIDENCE, self.own)

    @cached_property
    def carrier(self) -> int:
        """The longest report that shows malformed messages, or shows another report; and whatever carries such."""
        return min(MAX_ENVELOPE - FRAME, self.own + self.evidence + self.members * (FRAME + 32) + 4096)

    @property
    def echoes(self) -> int:
        """The most that a relay holds beside statements: endorsements of all voters, a certificate, votes."""
        n = self.members
        return 512 + n * (n * (_DIGEST + 6) + FRAME) + n * (_DIGEST + FRAME)

    @property
    def attached(self) -> int:
        """The most that a report attaches, beside its own words."""
        return self.body[MessageKind.REPORT] - 256 - 3 * self.members * (_ID + 4) - self._overdue

    @property
    def _commit(self) -> int:
        opened = 2 * _DIGEST + BLOCKS * _FLOAT + 8
        return 6 * _DIGEST + self.members * _DIGEST + 2 * MAX_CANDIDATES * _ID + opened + FRAME

    @property
    def _overdue(self) -> int:
        return 8 + MAX_OVERDUE * (_ID + 4 + (self.members // 2 + 1) * (SIGNATURE_SIZE + 6))

    @property
    def _scalars(self) -> int:
        return 64 + self.members * (2 * _FLOAT + 3) + FRAME

    @cached_property
    def body(self) -> dict[MessageKind, int]:
        """The longest body of each kind."""
        n = self.members
        return {
            MessageKind.COMMIT: self._commit,
            MessageKind.PART: MAX_HEADER,
            MessageKind.AGGREGATE: MAX_HEADER,
            MessageKind.REVEAL: 256,
            MessageKind.SCALARS: self._scalars,
            MessageKind.DIGEST: 256,
            MessageKind.LEAVE: 256,
            MessageKind.ASK: 256,
            MessageKind.OVERDUE: 256,
            MessageKind.PULL: 64 + n * (_ID + 5),
            MessageKind.CERTIFICATE: min(self.evidence, 64 + n * (FRAME + 4 * _DIGEST + 8)),
            MessageKind.VOTE: min(self.evidence, 64 + n * (3 * _ID + 16 + n * _ID + 2 * (self._commit + FRAME))),
            MessageKind.FORWARD: self.carrier,
            MessageKind.RELAY: min(MAX_ENVELOPE - FRAME, self.carrier + self.echoes),
            MessageKind.REPORT: self.carrier - 2 * FRAME,  # so that whatever is read can be relayed
        }

    @cached_property
    def count(self) -> dict[MessageKind, int]:
        """The most messages of each kind that are read of one member in an attempt.

        Requests: each member is asked for an item twice at most, alone or with others, and its author once more by
        each that was asked in vain. Answers: one a request, and one for each message that comes later.
        """
        many = 64 + 8 * self.members
        numerous = {MessageKind.PULL: many, MessageKind.FORWARD: many, MessageKind.RELAY: 32 + 12 * self.members}
        numerous[MessageKind.OVERDUE] = self.members + 2 * MOST_SIGNS_OF_LIFE
        return dict.fromkeys(self.body, _FEW) | numerous


@lru_cache(maxsize=64)
def caps_of(members: int) -> Caps:
    """Return the caps for a roster of so many members."""
    return Caps(members)
