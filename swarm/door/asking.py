"""Asks a peer where the others are."""

from __future__ import annotations

import logging

from btard.identity import Malformed, PeerId
from btard.swarm.questions import MAX_DIRECTORY, Directory, Question, Want
from btard.transport.libp2p import FetchError, Libp2pTransport

logger = logging.getLogger(__name__)

_ANSWER_SECONDS = 5.0


async def ask_directory(transport: Libp2pTransport, peer: PeerId) -> Directory | None:
    """Return where a peer believes the others to be, None if it does not say; ends in a few seconds."""
    question = Question(want=Want.ADDRESSES).encode()
    try:
        return Directory.decode(
            await transport.fetch(peer, question, limit=MAX_DIRECTORY, timeout_seconds=_ANSWER_SECONDS)
        )
    except (FetchError, Malformed) as error:
        logger.debug("%s tells no addresses: %s", peer.short, error)
        return None
