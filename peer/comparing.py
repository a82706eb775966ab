"""Before the first step: would the members take an honest gradient of this machine for a lie?"""

from __future__ import annotations

import asyncio
import logging
import random

from btard.errors import UserError
from btard.identity import Envelope, IdentityKey, Malformed, MessageKind, PeerId
from btard.peer.trainer import TaskTrainer
from btard.round.messages.bodies import Leave, LeaveReason
from btard.round.roster import Roster
from btard.swarm.manifest import RunManifest
from btard.swarm.probe import MAX_PROBE, Probe, differences, is_foreign
from btard.swarm.questions import Question, Want
from btard.transport.libp2p import FetchError, Libp2pTransport
from btard.vocabulary import Validation

logger = logging.getLogger(__name__)

MOST_ASKED = 16
"""Members that are asked, drawn by chance."""

LEAST_DECIDING = 2
"""Answers without which nobody is refused: of two machines nobody knows which one is wrong."""

_ANSWER_SECONDS = 5.0


async def compare_numerics(
    transport: Libp2pTransport, key: IdentityKey, trainer: TaskTrainer, manifest: RunManifest, roster: Roster
) -> None:
    """Compare the run's probe with what some members say that they get for it.

    Nothing is asked where gradients are not recomputed. Members that do not answer count for nothing. A member that is
    refused says goodbye, so that the others do not wait for it.

    Raises:
        UserError: more than half of those that answer, and two at least, would convict this machine; the sentence says
            what differs.
    """
    others = sorted(set(roster.members) - {transport.peer_id})
    if not manifest.validators or not others:
        return
    asked = random.sample(others, min(MOST_ASKED, len(others)))
    mine = await trainer.probe()
    answers = [probe for probe in await asyncio.gather(*(_ask(transport, peer) for peer in asked)) if probe is not None]
    foreign = [probe for probe in answers if is_foreign(mine, probe, manifest)]
    if not foreign:
        return
    # The nearest of them: a liar may say anything, and what differs by little is the most telling.
    nearest = min(foreign, key=mine.distance)
    differing = differences(mine.arithmetic, nearest.arithmetic) or "nothing that is known differs"
    if len(answers) < LEAST_DECIDING or 2 * len(foreign) <= len(answers):
        logger.warning(
            "%d of %d members get other gradients than this machine, by %.2g of their length: %s",
            len(foreign),
            len(answers),
            mine.distance(nearest),
            differing,
        )
        return
    if transport.peer_id in roster.members:
        await _say_goodbye(transport, key, manifest, roster)
    how = "bit by bit" if manifest.validation is Validation.EXACT else f"and convicts beyond {manifest.convict:g}"
    raise UserError(
        f"this machine gets other gradients than {len(foreign)} of {len(answers)} members, by "
        f"{mine.distance(nearest):.2g} of their length, where the run compares them {how}, so it would be banned: "
        f"{differing}; make this machine compute as they do (torch's version, --device, --threads), or leave it out"
    )


async def _say_goodbye(transport: Libp2pTransport, key: IdentityKey, manifest: RunManifest, roster: Roster) -> None:
    """Leave the step that this member has not begun, and the next."""
    body = Leave(LeaveReason.SHUTDOWN).encode()
    for step in (roster.step, roster.step + 1):
        data = Envelope.sign(key, run=manifest.run, step=step, kind=MessageKind.LEAVE, body=body).encode()
        for peer in roster.members:
            transport.send(peer, data)
    await transport.flush(manifest.deadlines.settle)


async def _ask(transport: Libp2pTransport, peer: PeerId) -> Probe | None:
    question = Question(want=Want.PROBE).encode()
    try:
        return Probe.decode(
            await transport.fetch(peer, question, limit=MAX_PROBE, timeout_seconds=_ANSWER_SECONDS),
        )
    except (FetchError, Malformed) as error:
        logger.debug("%s tells no probe: %s", peer.short, error)
        return None
