"""Honest peers that leave or die at the end of a step: the others end it in one way, and soon."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Callable, Sequence
from functools import partial

import pytest

from btard.behaviour import Behaviour, Outgoing
from btard.identity import Envelope, IdentityKey, MessageKind, PeerId
from btard.round.actions import Action, Send
from btard.round.messages.accusations import Fault, Report
from btard.round.messages.bodies import LeaveReason, Phase
from btard.transport.memory import NetworkConditions, SimulatedPeer
from tests.btard.round.swarm import RULES, Swarm, keys, one_of, suspended
from tests.quick import quick, stride

COUNT, LEAVER, STEP = 5, 2, 1
SHORT = dataclasses.replace(
    RULES,
    commit_seconds=3.0,
    scatter_seconds=1.5,
    gather_seconds=1.5,
    agree_seconds=1.5,
    delay_bound_seconds=0.5,
)


def leaving(first: tuple[int, ...], hold: float, later: float, *, says_goodbye: bool) -> type[SimulatedPeer]:
    """Return a peer that goes when it has signed the digest: `first` hear it after `hold`, the others `later` still."""

    class Leaver(SimulatedPeer):
        gone = False

        def perform(self, actions: list[Action]) -> None:
            told: list[Action] = []
            for action in actions:
                ends = isinstance(action, Send) and Envelope.decode(action.data).kind is MessageKind.DIGEST
                if not ends or self.gone or self.session.roster is None or self.session.roster.step != STEP:
                    told.append(action)
                    continue
                assert isinstance(action, Send)
                self.gone = True
                members = sorted(action.peers)
                firsts = tuple(members[index] for index in first)
                rest = tuple(peer for peer in action.peers if peer not in firsts)
                for bye in self.session.leave(LeaveReason.SHUTDOWN) if says_goodbye else ():
                    assert isinstance(bye, Send)
                    told += [Send(rest, bye.data), Send(firsts, bye.data, hold)]
                told += [Send(firsts, action.data, hold), Send(rest, action.data, hold + later)]
                self.network.at(self.network.now + 0.1, self.crash)
            super().perform(told)

    return Leaver


def swarm_of(leaver: type[SimulatedPeer], computing: float, seed: int) -> Swarm:
    swarm = Swarm(
        COUNT,
        steps=4,
        seed=seed,
        peer_type=one_of(leaver, LEAVER),
        rules=SHORT,
        conditions=NetworkConditions(delay=(0.008, 0.012)),
    )
    for peer in swarm.peers:
        peer.compute_seconds = computing
    swarm.run()
    assert swarm.peers[LEAVER].gone  # type: ignore[attr-defined]
    return swarm


MOMENTS = list(itertools.product([(0,), (1,), (2,), (3,), (0, 1)], [0.01, 0.03], [0.0, 0.02], [0.005, 0.05]))


@pytest.mark.parametrize("first, hold, later, computing", quick(6, MOMENTS, slow=12))
def test_a_goodbye_at_the_digest_divides_nobody(
    first: tuple[int, ...], hold: float, later: float, computing: float
) -> None:
    for seed in range(3):
        swarm = swarm_of(leaving(first, hold, later, says_goodbye=True), computing, seed)
        swarm.check_agreement()
        assert swarm.network.now < 5, "nobody waits for one that has said goodbye"
        stayed = [peer for number, peer in enumerate(swarm.peers) if number != LEAVER]
        assert all(len(peer.finished()) == 4 for peer in stayed), [peer.stopped for peer in stayed]
        assert not {peer.peer_id for peer in stayed} & set().union(*map(suspended, stayed))


@pytest.mark.parametrize("told", [(), (0,), (0, 1, 2)])
def test_one_that_dies_after_its_digest_delays_nobody_else(told: tuple[int, ...]) -> None:
    """Those that have its digest finish; the others finish with them, without an attempt more in this step."""
    swarm = swarm_of(leaving(told, 0.0, 100.0, says_goodbye=False), 0.005, 0)
    swarm.check_agreement()
    stayed = [peer for number, peer in enumerate(swarm.peers) if number != LEAVER]
    assert all(len(peer.finished()) == 4 for peer in stayed), [peer.stopped for peer in stayed]
    assert all(event.attempt == 0 for peer in stayed for event in peer.finished()[: STEP + 1])
    shown = {len(peer.finished()[STEP].certificate) for peer in stayed}
    assert shown <= {0, COUNT}, "a certificate of fewer cannot be checked"


class Denies(Behaviour):
    """Gives its digest to one member alone, and tells the others at once that it has none and somebody is to blame."""

    key: IdentityKey

    def __init__(self, confidant: PeerId) -> None:
        self._confidant = confidant

    def attach(self, key: IdentityKey) -> None:
        self.key = key

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> Sequence[Outgoing] | None:
        if (envelope.step, envelope.attempt) != (STEP, 0) or envelope.kind in (MessageKind.COMMIT, MessageKind.PART):
            return None
        if envelope.kind is MessageKind.DIGEST and receiver != self._confidant:
            members = tuple(key.peer_id for key in keys(COUNT))
            blamed = next(peer for peer in members if peer not in (self.key.peer_id, self._confidant))
            report = Report(Phase.AGREE, False, members, ((blamed, Fault.NO_DIGEST),), None, ())
            place = {"run": envelope.run, "step": envelope.step, "kind": MessageKind.REPORT}
            late = Envelope.sign(self.key, body=report.encode(), **place)  # type: ignore[arg-type]
            return [Outgoing(late.encode(), 0.05)]
        said = (MessageKind.REVEAL, MessageKind.SCALARS, MessageKind.DIGEST)
        return None if envelope.kind in said else []


@pytest.mark.parametrize("confidant", [0, 1, 3])
def test_one_that_has_finished_shows_it_to_the_others(confidant: int) -> None:
    """Else they would take the word of the liar that it has signed nothing, and repeat the attempt without it."""
    told = keys(COUNT)[confidant].peer_id
    swarm = Swarm(COUNT, steps=3, behaviours={LEAVER: Denies(told)}, rules=SHORT).run()
    swarm.check_agreement()
    assert all(len(peer.finished()) == 3 for peer in swarm.honest), [peer.stopped for peer in swarm.honest]


def depart(count: int, leavers: int, after: float, within: float, seed: int) -> Swarm:
    """Return a swarm of which so many leave, the first after so many seconds, and all within so many more."""
    swarm = Swarm(count, steps=4, seed=seed, conditions=NetworkConditions(delay=(0.005, 0.02)))
    for number in random.Random(seed).sample(range(count), leavers):
        later = random.Random(100 * seed + number).random() * within
        swarm.network.at(after + later, partial(swarm.peers[number].leave, LeaveReason.SHUTDOWN))
    return swarm.run()


def check_departure(count: int, leavers: int, moment: int, within: float) -> None:
    """They leave at one of 24 moments, from the middle of the first step to that of the second."""
    swarm = depart(count, leavers, STEP_SECONDS * (0.5 + 0.045 * moment), within, moment)
    swarm.check_agreement()
    assert len(swarm.honest) == count - leavers
    assert all(len(peer.finished()) == 4 for peer in swarm.honest), [peer.stopped for peer in swarm.honest]
    assert not {peer.peer_id for peer in swarm.honest} & set().union(*map(suspended, swarm.honest))
    assert swarm.network.now < 2, "four steps take one second if nobody leaves"


STEP_SECONDS = 0.23050683845805375
"""What a step of five takes; exactly so, since the worst moments are short."""

CROWDS = [(5, 2), (7, 2), (7, 3), (16, 2), (16, 7)]


@pytest.mark.parametrize("count, leavers", quick(2, CROWDS))
@pytest.mark.parametrize("within", [0.0, 0.1, 0.3])
def test_just_under_half_may_leave_at_some_moments(count: int, leavers: int, within: float) -> None:
    for moment in (3, 7, 19):
        check_departure(count, leavers, moment, within)


@pytest.mark.slow
@pytest.mark.parametrize("count, leavers", CROWDS)
@pytest.mark.parametrize("within", [0.0, 0.05, 0.1, 0.2, 0.3][:: stride(2)])
def test_just_under_half_may_leave_at_any_moment(count: int, leavers: int, within: float) -> None:
    for moment in range(0, 24, stride(4)):
        check_departure(count, leavers, moment, within)


def test_a_goodbye_counts_in_a_step_that_is_finished() -> None:
    """A peer that has finished may be needed to agree on how others end the step: it must know who has left."""
    swarm = Swarm(5, steps=1).run()
    stays, leaver = swarm.peers[0].session, swarm.peers[LEAVER]
    goodbye, _ = leaver.session.leave(LeaveReason.SHUTDOWN)
    assert isinstance(goodbye, Send)
    assert stays.on_message(swarm.network.now, leaver.peer_id, goodbye.data) == []
    assert stays._last is not None
    left = stays._last._settlement.heard.left
    assert {author: envelope.encode() for author, envelope in left.items()} == {leaver.peer_id: goodbye.data}
