"""Phase 4, reveal: the shares of r^t, opened once every commitment and every aggregate's hash is known."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from btard.identity import Envelope, MessageKind, PeerId
from btard.round.actions import Action
from btard.round.attempt.attempt import Attempt
from btard.round.context import StepContext
from btard.round.messages.accusations import Fault
from btard.round.messages.bodies import Commit, Phase, Reveal
from btard.round.randomness import combine, secret_share, share_commitment


class RevealPhase:
    """Broadcast the own share; wait for those of all members.

    Nobody can foresee r^t while a single honest member holds back its share, and it does until all aggregates are
    committed to: so no owner can choose an error that the random projections miss.
    """

    phase = Phase.REVEAL

    def __init__(self, context: StepContext, attempt: Attempt) -> None:
        self._context = context
        self._attempt = attempt
        self._seats = attempt.seats
        self._said = attempt.said
        self._results = attempt.results

    def enter(self) -> list[Action]:
        """Open the own share."""
        attempt, context = self._attempt, self._context
        reveal = Reveal(*secret_share(context.key, self._seats.draw_id))
        return context.publish(
            attempt, MessageKind.REVEAL, context.behaviour.reveal(context.number, reveal, attempt.view)
        )

    def busy(self) -> bool:
        """Nothing is left to do but to wait: never."""
        return False

    def complete(self) -> bool:
        """Whether all shares are here; a false one is found as a proof."""
        return len(self._said.reveals) == len(self._seats.members)

    def halfway(self) -> bool:
        """Whether most shares are here."""
        return self._seats.most_have_sent(self._said.reveals)

    def missing(self) -> dict[PeerId, Fault]:
        """Return the peers that have not revealed."""
        return {peer: Fault.NO_REVEAL for peer in self._seats.others if peer not in self._said.reveals}

    def false_reveals(self) -> Iterator[tuple[Envelope, Envelope]]:
        """Yield (commit, reveal) of members whose share is not the one that they committed to."""
        signed = self._said.signed
        for peer in self._said.reveals:
            commit, reveal = signed.get((MessageKind.COMMIT, peer)), signed[MessageKind.REVEAL, peer]
            if commit is not None and is_false_reveal(commit, reveal):
                yield commit, reveal

    def draw(self) -> None:
        """Combine the shares to r^t; the phase must be complete and without false shares."""
        shares = (self._said.reveals[peer].share for peer in self._seats.members)
        self._results.randomness = combine(self._seats.draw_id, shares)

    def seconds(self) -> float:
        """How long the phase may take."""
        return self._seats.rules.agree_seconds


def is_false_reveal(commit: Envelope, reveal: Envelope) -> bool:
    """Whether a signed share is not the one behind the author's signed commitment; raises Malformed."""
    return _is_false(commit.author, commit.body, reveal.body)


# In simulations all peers look at the same shares.
@lru_cache(maxsize=2048)
def _is_false(author: PeerId, commit: bytes, reveal: bytes) -> bool:
    promised, opened = Commit.decode(commit), Reveal.decode(reveal)
    return share_commitment(author, promised.attempt_id, opened.share, opened.salt) != promised.share
