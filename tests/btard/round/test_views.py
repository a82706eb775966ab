"""Liars that let members hear different things when an attempt fails: nobody is divided, and they go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from btard.behaviour import Behaviour, Outgoing, View
from btard.identity import Envelope, MessageKind, PeerId
from btard.round.messages.bodies import Commit, Reveal
from tests.btard.round.swarm import RULES, Swarm, keys, voids
from tests.quick import quick

STEP = 1


class Mute(Behaviour):
    """Voids the attempt: reveals nothing."""

    def reveal(self, step: int, reveal: Reveal, view: View) -> Reveal | None:
        return None if step == STEP else reveal


class Hidden(Behaviour):
    """Tells nobody of the failure but one member, and that one when it is told to."""

    def __init__(self, confidant: PeerId, after_seconds: float) -> None:
        self._confidant, self._after = confidant, after_seconds

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> Sequence[Outgoing] | None:
        if envelope.step != STEP or envelope.kind not in (MessageKind.REPORT, MessageKind.RELAY):
            return None
        hidden = envelope.kind is MessageKind.REPORT and receiver == self._confidant
        return [Outgoing(envelope.encode(), self._after)] if hidden else []


@pytest.mark.parametrize(
    ("windows", "peers"),
    quick(7, [(windows, peers) for windows in (0.0, 0.9, 0.999, 1.0, 1.001, 1.1, 2.0) for peers in (8, 9, 11)]),
)
def test_a_report_shown_to_one_at_any_moment_divides_nobody(peers: int, windows: float) -> None:
    confidant = keys(peers)[0].peer_id
    hidden = Hidden(confidant, windows * 2 * RULES.delay_bound_seconds - 0.01)
    swarm = Swarm(peers, steps=4, behaviours={peers - 1: hidden, peers - 2: Mute()}).run()
    swarm.check_agreement()
    assert all(len(peer.finished()) == 4 for peer in swarm.honest), [peer.stopped for peer in swarm.honest]
    first = [voids(peer)[0] for peer in swarm.honest]
    assert len({frozenset(dict(event.suspended)) for event in first}) == 1, "all have heard the same"
    assert len({peer.finished()[-1].roster for peer in swarm.honest}) == 1


class OtherView(Behaviour):
    """Claims to be in another membership whenever an attempt is repeated."""

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> Sequence[Outgoing] | None:
        if envelope.kind is not MessageKind.COMMIT or envelope.attempt == 0:
            return None
        commit = Commit.decode(envelope.body)
        return [Outgoing(sign(replace(commit, attempt_id=bytes(32)).encode()).encode())]


def test_a_peer_that_claims_another_view_is_left_out_at_once() -> None:
    swarm = Swarm(7, steps=3, behaviours={6: OtherView(), 5: Mute()}).run()
    swarm.check_agreement()
    assert all(len(peer.finished()) == 3 for peer in swarm.honest), [peer.stopped for peer in swarm.honest]
    liars = {swarm.peers[i].peer_id for i in (5, 6)}
    assert not liars & set(swarm.honest[0].finished()[-1].roster.members)
    assert max(len(voids(peer)) for peer in swarm.honest) == 2
