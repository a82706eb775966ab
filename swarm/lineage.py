"""From the coordinator's last roster to the newest one, however long it is away and however many have left since.

The members of a step sign its end, and with it the next roster. So a roster is believed that most voters of a trusted
one have signed, and then the one that most of its voters have signed. A chain needs a link only where half of the
voters have changed. It may come from anybody: only the signatures of those that are trusted already count.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from btard.identity import Envelope, Malformed, PeerId
from btard.identity.codec import as_bytes, as_fields, as_int, as_list, decode, encode
from btard.round.phases.agree import check_certificate
from btard.round.roster import Roster
from btard.round.rules import StepRules
from btard.swarm.questions import Question, Want
from btard.transport.libp2p import FetchError, Libp2pTransport
from btard.vocabulary import MAX_INCARNATIONS, MAX_PEERS

logger = logging.getLogger(__name__)

MAX_LINKS = 32
"""Links of a chain; where so many times half of the voters have changed, newcomers need the coordinator."""

MAX_LINEAGE = 4 << 20
"""Bytes of a chain."""

_ANSWER_SECONDS = 5.0

Stand = tuple[int, Roster]
"""An incarnation of the run, and a roster in it."""


@dataclass(frozen=True)
class ChainLink:
    """The end of a step.

    Attributes:
        incarnation: of the run.
        roster: of the step.
        following: of the next one.
        certificate: what all members of the attempt that finished have signed.
    """

    incarnation: int
    roster: Roster
    following: Roster
    certificate: tuple[Envelope, ...] = field(repr=False)

    @property
    def signers(self) -> frozenset[PeerId]:
        """Those whose names are under it."""
        return frozenset(envelope.author for envelope in self.certificate)

    def check(self, rules: StepRules) -> None:
        """Check that most voters of `roster` have signed `following`, in the run of these rules; raises Malformed."""
        _, digest = check_certificate(self.certificate, rules.reborn(self.incarnation), self.roster)
        if digest.following != self.following.digest:
            raise Malformed("another roster was signed")


def extended(links: Sequence[ChainLink], base: Roster, new: ChainLink) -> tuple[ChainLink, ...]:
    """Return the shortest chain from the coordinator's roster to the newest step.

    Args:
        links: the chain up to now.
        base: the newest roster that the coordinator has signed.
        new: the end of a step that this peer has just finished; steps that are in `links` and not before it are lost.
    """
    kept = [link for link in links if base.step < link.following.step <= new.roster.step]
    before = kept[-2].following if len(kept) > 1 else base
    if kept and before.is_majority(new.signers):
        kept[-1] = new
    elif len(kept) < MAX_LINKS and (kept[-1].following if kept else base).is_majority(new.signers):
        kept.append(new)
    return tuple(kept)


def followed(links: Iterable[ChainLink], trusted: Stand, rules: StepRules) -> tuple[Stand, tuple[ChainLink, ...]]:
    """Return what a chain leads to from a trusted roster, and the links that lead there; false ones lead nowhere."""
    used = []
    for link in links:
        later = (link.incarnation, link.following.step) > (trusted[0], trusted[1].step)
        if not later or not trusted[1].is_majority(link.signers):
            continue
        try:
            link.check(rules)
        except Malformed:
            continue
        used.append(link)
        trusted = link.incarnation, link.following
    return trusted, tuple(used)


def to_bytes(links: Iterable[ChainLink]) -> bytes:
    """Return the canonical bytes of a chain."""
    return encode(
        [
            [link.incarnation, link.roster.pack(), link.following.pack(), [each.encode() for each in link.certificate]]
            for link in links
        ]
    )


def from_bytes(data: bytes) -> tuple[ChainLink, ...]:
    """Read bytes from the network; raises Malformed. Signatures are not looked at."""
    return tuple(map(_link, as_list(decode(data, limit=MAX_LINEAGE), most=MAX_LINKS)))


async def ask_chains(transport: Libp2pTransport, peers: Iterable[PeerId]) -> list[tuple[ChainLink, ...]]:
    """Return the chains that some peers show, unchecked; ends in a few seconds."""
    question = Question(want=Want.LINEAGE).encode()

    async def ask(peer: PeerId) -> tuple[ChainLink, ...]:
        try:
            answer = await transport.fetch(peer, question, limit=MAX_LINEAGE, timeout_seconds=_ANSWER_SECONDS)
            return from_bytes(answer)
        except (FetchError, Malformed) as error:
            logger.debug("no chain from %s: %s", peer.short, error)
            return ()

    return [chain for chain in await asyncio.gather(*map(ask, peers)) if chain]


def _link(value: object) -> ChainLink:
    incarnation, roster, following, signed = as_fields(value, 4)
    envelopes = tuple(Envelope.parse(as_bytes(each)) for each in as_list(signed, most=MAX_PEERS))
    number = as_int(incarnation, 0, MAX_INCARNATIONS)
    return ChainLink(number, Roster.unpack(roster), Roster.unpack(following), envelopes)
