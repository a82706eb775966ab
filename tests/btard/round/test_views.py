"""Liars that let members hear different things at the last moment of a settlement: views part, and come together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from btard.behaviour import Behaviour, Outgoing, View
from btard.identity import Envelope, IdentityKey, MessageKind, PeerId
from btard.round.messages.accusations import Relay, Report
from btard.round.messages.bodies import Reveal
from tests.btard.round.swarm import Swarm, keys, voids

STEP = 1


class Mute(Behaviour):
    """Voids the attempt: reveals nothing."""

    def reveal(self, step: int, reveal: Reveal, view: View) -> Reveal | None:
        return None if step == STEP else reveal


class Hidden(Behaviour):
    """Reports to its colluder alone: peers that hear of it go on with it, others without."""

    def __init__(self, box: list[Envelope]) -> None:
        self._box = box

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> Sequence[Outgoing] | None:
        if envelope.step != STEP or envelope.kind not in (MessageKind.REPORT, MessageKind.RELAY):
            return None
        if envelope.kind is MessageKind.REPORT and envelope.attempt == 0 and not self._box:
            report = Report.decode(envelope.body)
            self._box.append(sign(replace(report, complaints=(), reaction=True).encode()))
        return []


class Injector(Behaviour):
    """Relays the hidden report to some of the members only."""

    def __init__(self, told: set[PeerId], box: list[Envelope]) -> None:
        self._told = told
        self._box = box

    def attach(self, key: IdentityKey) -> None:
        self._me = key.peer_id

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> Sequence[Outgoing] | None:
        if envelope.step != STEP or envelope.kind is not MessageKind.RELAY or not self._box:
            return None
        relay, hidden = Relay.decode(envelope.body), self._box[0]
        rest = [data for data in relay.envelopes if Envelope.decode(data).author != hidden.author]
        shown = [*rest, hidden.encode()] if receiver in self._told else rest
        return [Outgoing(sign(replace(relay, envelopes=tuple(shown)).encode()).encode())]


@pytest.mark.parametrize("peers", [8, 9, 11])
def test_views_that_an_injection_has_split_come_together(peers: int) -> None:
    ids = [key.peer_id for key in keys(peers)]
    told = set(ids[: peers // 2])
    box: list[Envelope] = []
    liars = {peers - 1: Hidden(box), peers - 2: Injector(told, box), peers - 3: Mute()}
    swarm = Swarm(peers, steps=4, behaviours=liars).run()
    swarm.check_agreement()
    assert all(len(peer.finished()) == 4 for peer in swarm.honest), [peer.stopped for peer in swarm.honest]
    first = [voids(peer)[0] for peer in swarm.honest]
    assert len({frozenset(dict(event.suspended)) for event in first}) == 2, "the injection must have split the views"
    assert len({peer.finished()[-1].roster for peer in swarm.honest}) == 1


class OtherView(Behaviour):
    """Claims to be in another membership whenever an attempt is repeated."""

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> Sequence[Outgoing] | None:
        if envelope.kind is not MessageKind.COMMIT or envelope.attempt == 0:
            return None
        from btard.round.messages.bodies import Commit

        commit = Commit.decode(envelope.body)
        return [Outgoing(sign(replace(commit, attempt_id=bytes(32)).encode()).encode())]


def test_a_peer_that_always_claims_another_view_is_left_out() -> None:
    swarm = Swarm(7, steps=3, behaviours={6: OtherView(), 5: Mute()}).run()
    swarm.check_agreement()
    assert all(len(peer.finished()) == 3 for peer in swarm.honest), [peer.stopped for peer in swarm.honest]
    liars = {swarm.peers[i].peer_id for i in (5, 6)}
    assert not liars & set(swarm.honest[0].finished()[-1].roster.members)
