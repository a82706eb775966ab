"""Malformed bytes under a good signature, of whatever kind and whenever: their author is banned, and nobody else."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import pytest

from btard.behaviour import Behaviour, Outgoing
from btard.identity import Envelope, MessageKind, PeerId
from btard.identity.envelope import STEP_KINDS
from btard.round.evidence.evidence import Offence
from btard.round.messages.accusations import Charge, ChargeKind
from btard.round.messages.bodies import Phase
from btard.round.proof import verify
from btard.transport.memory import SimulatedPeer
from tests.btard.round.careful import Careful
from tests.btard.round.swarm import Swarm, keys, offences, suspended, verdicts
from tests.quick import quick

COUNT, LIAR, VICTIM, SLANDERER = 8, 2, 5, 6
PEERS = tuple(key.peer_id for key in keys(COUNT))
KINDS = sorted(STEP_KINDS)


class Junk(Behaviour):
    """Sends junk of one kind beside a message of another kind, or in its place, to all or to one peer."""

    def __init__(self, kind: MessageKind, beside: MessageKind, *, only: PeerId | None = None) -> None:
        self.kind, self.beside, self.only = kind, beside, only

    def attach(self, key) -> None:  # type: ignore[no-untyped-def]
        self.key = key

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> Sequence[Outgoing] | None:
        if envelope.kind is not self.beside or self.only not in (None, receiver):
            return None
        place = {"run": envelope.run, "step": envelope.step, "attempt": envelope.attempt}
        junk = Envelope.sign(self.key, kind=self.kind, body=b"junk", **place)  # type: ignore[arg-type]
        return [Outgoing(e.encode()) for e in ([junk] if self.kind is self.beside else [envelope, junk])]


class Slanderer(Behaviour):
    def charge(self, step, phase, honest, view):  # type: ignore[no-untyped-def]
        return Charge(ChargeKind.WRONG_SUM, view.owners[0], 0) if phase is Phase.MEASURE else honest


def run(junk: Junk, *, steps: int = 2, **others: Behaviour) -> Swarm:
    behaviours = {LIAR: junk, **{int(number[1:]): behaviour for number, behaviour in others.items()}}
    return Swarm(COUNT, steps=steps, behaviours=behaviours, peer_type=Careful)


def check(swarm: Swarm, *crashed: int) -> list[SimulatedPeer]:
    """Assert that the liar is banned, provably, that nobody else is, and that the honest finish alike."""
    swarm.check_agreement()
    for peer in swarm.honest:
        assert offences(peer)[PEERS[LIAR]] is Offence.MALFORMED
        assert all(verify(verdict.evidence) for verdict in verdicts(peer))
        assert set(offences(peer)) <= {PEERS[i] for i in swarm.liars}
        assert suspended(peer) <= {PEERS[i] for i in (*swarm.liars, *crashed)}
        assert len(peer.finished()) == peer.last_step + 1
    return swarm.honest


def _words(value: object) -> str | None:
    return None if isinstance(value, MessageKind) else "to all" if value is None else "to one"


@pytest.mark.parametrize(("kind", "only"), quick(10, itertools.product(KINDS, (None, PEERS[VICTIM]))), ids=_words)
def test_junk_in_an_attempt_bans(kind: MessageKind, only: PeerId | None) -> None:
    check(run(Junk(kind, MessageKind.COMMIT, only=only)).run())


@pytest.mark.parametrize(
    ("kind", "only"), quick(9, itertools.product(KINDS, (None, PEERS[VICTIM])), slow=9), ids=_words
)
def test_junk_beside_the_report_on_an_attempt_bans(kind: MessageKind, only: PeerId | None) -> None:
    swarm = run(Junk(kind, MessageKind.REPORT, only=only))
    swarm.network.at(0.05, swarm.peers[0].crash)
    check(swarm.run(), 0)


@pytest.mark.parametrize("only", [None, PEERS[VICTIM]], ids=["to all", "to one"])
@pytest.mark.parametrize("beside", [MessageKind.VOTE, MessageKind.RELAY])
@pytest.mark.parametrize("kind", [MessageKind.VOTE, MessageKind.RELAY, MessageKind.FORWARD])
def test_junk_in_court_bans(kind: MessageKind, beside: MessageKind, only: PeerId | None) -> None:
    check(run(Junk(kind, beside, only=only), _6=Slanderer()).run())
