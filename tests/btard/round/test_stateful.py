"""Any mix of faults and lies, in any order, with what must hold after every single one of them.

Hypothesis chooses what happens next; TEST_MORE=100 lets it try a hundred times as often.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from btard.behaviour import Behaviour, Outgoing, View
from btard.hashing import Payload, digest
from btard.identity import Envelope, MessageKind, PeerId
from btard.round.actions import Finished, OutcomeKind, Stopped, Voided
from btard.round.messages.accusations import Charge, ChargeKind, Opinion
from btard.round.messages.bodies import Commit, Phase, Reveal, Scalars
from btard.round.proof import verify
from btard.transport.memory import NetworkConditions, SimulatedPeer
from tests.btard.round.swarm import Swarm
from tests.quick import MORE

COUNT, LIARS = 8, (1, 4)
STEPS = 1000


class Fickle(Behaviour):
    """Tells whatever lie it is told to tell, from one moment to the next."""

    def __init__(self) -> None:
        self.lie = ""
        self.victim: PeerId | None = None

    def gradient(self, step: int, gradient: torch.Tensor) -> torch.Tensor:
        return {"gradient": -gradient, "nan": gradient * math.nan}.get(self.lie, gradient)

    def commit(self, step: int, commit: Commit, view: View) -> Commit | None:
        if self.lie == "short commit":
            return dataclasses.replace(commit, parts=commit.parts[1:])
        return None if self.lie == "no commit" else commit

    def part(self, step: int, receiver: PeerId, payload: Payload) -> Payload | None:
        if self.lie == "no part" and receiver == self.victim:
            return None
        return bytes(len(payload)) if self.lie == "broken part" else payload

    def part_digest(self, step: int, receiver: PeerId, digest: bytes) -> bytes:
        return bytes(32) if self.lie == "mismatch" and receiver == self.victim else digest

    def aggregate(self, step: int, payload: Payload, view: View) -> Payload:
        return bytes(len(payload)) if self.lie == "aggregate" else payload

    def aggregate_for(self, step: int, receiver: PeerId, payload: Payload) -> Payload | None:
        return None if self.lie == "no aggregate" and receiver == self.victim else payload

    def reveal(self, step: int, reveal: Reveal, view: View) -> Reveal | None:
        if self.lie == "false reveal":
            return dataclasses.replace(reveal, share=bytes(32))
        return None if self.lie == "no reveal" else reveal

    def scalars(self, step: int, scalars: Scalars, view: View) -> Scalars | None:
        if self.lie == "scalars":
            return dataclasses.replace(scalars, products=tuple(-product for product in scalars.products))
        if self.lie == "doubts":
            return dataclasses.replace(scalars, doubts=tuple(range(len(view.owners))))
        return None if self.lie == "no scalars" else scalars

    def charge(self, step: int, phase: Phase, honest: Charge | None, view: View) -> Charge | None:
        if self.lie == "charge" and self.victim is not None:
            return Charge(ChargeKind.FALSE_SCALARS, self.victim, view.my_part or 0)
        return None if self.lie == "no charge" else honest

    def opinion(self, step: int, charge: Charge, opinion: Opinion) -> Opinion:
        return Opinion((opinion + 1) % 3) if self.lie == "opinion" else opinion

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> Sequence[Outgoing] | None:
        if self.lie == "silence" or (self.lie == "silence to one" and receiver == self.victim):
            return []
        if self.lie == "late" and receiver == self.victim:
            return [Outgoing(envelope.encode(), 1.5)]
        if self.lie == "two faces" and receiver == self.victim and envelope.kind is MessageKind.COMMIT:
            commit = dataclasses.replace(Commit.decode(envelope.body), share=digest(b"other"))
            return [Outgoing(sign(commit.encode()).encode())]
        return None


LIES = (
    "", "gradient", "nan", "short commit", "no commit", "no part", "broken part", "mismatch", "aggregate",
    "no aggregate", "false reveal", "no reveal", "scalars", "doubts", "no scalars", "charge", "no charge", "opinion",
    "silence", "silence to one", "late", "two faces",
)  # fmt: skip
peers = st.integers(0, COUNT - 1)


class Patient(SimulatedPeer):
    """Computes for long from a step on."""

    slow_from = STEPS

    def note(self, event: Finished | Stopped | Voided) -> None:
        super().note(event)
        if isinstance(event, Finished) and event.step + 1 >= self.slow_from:
            self.compute_seconds = 15.0


class Trouble(RuleBasedStateMachine):
    """Eight peers of which two lie; at most one honest one dies, so that the honest keep their majority."""

    @initialize(seed=st.integers(0, 999))
    def begin(self, seed: int) -> None:
        """Let all begin."""
        self.fickle = {i: Fickle() for i in LIARS}
        self.swarm = Swarm(COUNT, steps=STEPS, seed=seed, behaviours=dict(self.fickle), peer_type=Patient)
        self.faulty = False
        self.seen: dict[PeerId, int] = {}
        self.liars = {self.swarm.peers[i].peer_id for i in LIARS}
        for peer in self.swarm.peers:
            peer.begin(self.swarm.genesis)

    @rule(seconds=st.sampled_from([0.005, 0.02, 0.05, 0.1, 1.0, 3.0, 25.0]))
    def time_passes(self, seconds: float) -> None:
        """Let things happen."""
        until = self.swarm.network.now + seconds
        moved = [False]
        self.swarm.network.at(until, lambda: moved.__setitem__(0, True))
        limit = max(len(peer.finished()) for peer in self.swarm.peers) + 12  # steps without trouble are cheap and dull
        self.swarm.network.run(
            until=until, done=lambda: moved[0] or any(len(peer.finished()) > limit for peer in self.swarm.peers)
        )

    @rule(liar=st.sampled_from(LIARS), lie=st.sampled_from(LIES), victim=peers)
    def a_liar_changes_its_mind(self, liar: int, lie: str, victim: int) -> None:
        """From now on it tells another lie."""
        self.fickle[liar].lie = lie
        self.fickle[liar].victim = self.swarm.peers[victim].peer_id

    @precondition(lambda self: not self.faulty)
    @rule(victim=peers)
    def a_peer_dies(self, victim: int) -> None:
        """One honest peer is gone for good."""
        self.swarm.peers[victim].crash()
        self.faulty = True

    @precondition(lambda self: not self.faulty)
    @rule(victim=peers)
    def a_peer_is_cut_off(self, victim: int) -> None:
        """One peer reaches nobody until the network heals."""
        self.swarm.network.partition([self.swarm.peers[victim].peer_id])
        self.faulty = True

    @rule()
    def the_network_heals(self) -> None:
        """Everyone reaches everyone."""
        self.swarm.network.partition()

    @rule(most=st.sampled_from([0.01, 0.2, 1.0]))
    def the_network_slows_down(self, most: float) -> None:
        """Messages take longer, within the bound on delay, and overtake each other."""
        self.swarm.network.conditions = NetworkConditions(delay=(0.001, most))

    @property
    def honest(self) -> list[SimulatedPeer]:
        """The honest peers, dead or alive."""
        return [peer for i, peer in enumerate(self.swarm.peers) if i not in LIARS]

    @invariant()
    def honest_peers_agree(self) -> None:
        """All that finished a step finished it with the same bytes and rosters."""
        self.swarm.check_agreement()

    @invariant()
    def nobody_honest_is_banned_and_every_ban_is_proven(self) -> None:
        """Also not by evidence that only looks like proof."""
        for peer in self.honest:
            assert peer.stopped is None or peer.stopped.kind is not OutcomeKind.BANNED, peer.stopped
            history = peer.history[self.seen.get(peer.peer_id, 0) :]
            self.seen[peer.peer_id] = len(peer.history)
            for event in history:
                for verdict in event.verdicts if isinstance(event, Voided) else ():
                    assert verdict.peer in self.liars, verdict
                    assert verify(verdict.evidence)

    @invariant()
    def what_is_kept_is_bounded(self) -> None:
        """Nothing that a liar does makes a peer remember more than a few messages of each author."""
        for peer in self.honest:
            session = peer.session
            assert sum(map(len, session._early.values())) <= 16 * (2 * COUNT + 8)
            machine = session.machine
            if machine is None:
                continue
            attempt = machine.attempt
            kinds = len(MessageKind)
            assert len(attempt.said.signed) <= kinds * COUNT
            assert len(attempt.carried.in_flight) <= COUNT * COUNT * 2
            assert len(attempt.carried.rows) <= COUNT * COUNT
            assert sum(map(len, machine._intake._future.values())) <= (kinds + 8) * COUNT
            assert len(machine._settlement.heard._reports) <= COUNT
            assert len(machine._settlement._reports._ledger.accepted) <= 2 * COUNT

    def teardown(self) -> None:
        """In the end the honest peers go on, but for those that disputes and faults cost their place."""
        if not hasattr(self, "swarm"):
            return
        for fickle in self.fickle.values():
            fickle.lie = ""
        self.swarm.network.conditions = NetworkConditions()
        self.swarm.network.partition()
        begun = max(len(peer.finished()) for peer in self.swarm.peers)
        for peer in self.swarm.peers:
            assert isinstance(peer, Patient)
            peer.slow_from = begun + 1  # so that all deadlines pass within a few steps
        before = {peer.peer_id: len(peer.finished()) for peer in self.honest}
        self.swarm.network.run(until=self.swarm.network.now + 300.0)
        going = [peer for peer in self.honest if peer.stopped is None and not peer.crashed]
        assert len(going) >= len(self.honest) - len(LIARS) - self.faulty, [peer.stopped for peer in self.honest]
        assert all(len(peer.finished()) > before[peer.peer_id] for peer in going)
        self.honest_peers_agree()


Trouble.TestCase.settings = settings(
    max_examples=4 * MORE,
    stateful_step_count=20,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestTrouble = Trouble.TestCase
