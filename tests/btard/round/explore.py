"""Tries the whole round, one small swarm after the other, under every order of messages that is near the usual one.

In a case at most `depth` deliveries of one step are later than all others, each by a moment, so that what is sent after
it overtakes it, or by almost the bound on delay; every choice of deliveries is tried (delay-bounded search: Emmi,
Qadeer, Rakamaric, POPL 2011). Meanwhile nobody lies, or one member says goodbye at one of its events, or one key runs
twice, each of the two heard by some members (Bano et al.: Twins, 2020). What must hold: a step has one result among the
honest members that stay, nobody honest is banned, and the step ends.

`python -m tests.btard.round.explore --peers 3 --depth 1`; a case that fails is printed as the words that replay it.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import random
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache, partial
from typing import Any

import torch

from btard.identity import Envelope, Heading, MessageKind, PeerId
from btard.round.actions import Action, OutcomeKind, Send, SendPart
from btard.round.messages.bodies import LeaveReason
from btard.transport.memory import Network, NetworkConditions, SimulatedPeer
from btard.transport.vector_trainer import VectorTrainer
from btard.transport.virtual import Arrival
from tests.btard.round.swarm import RULES, Swarm, offences, one_by_one, seeded_gradient

STEP = 1
"""The step whose deliveries are late: nothing has been measured before the first one ends."""

BOUND_SECONDS, USUAL_SECONDS, COMPUTING_SECONDS = 0.5, 0.01, 0.02
_HANGS_SECONDS = 120.0

ENDS = frozenset(
    {
        MessageKind.DIGEST,
        MessageKind.LEAVE,
        MessageKind.REPORT,
        MessageKind.RELAY,
        MessageKind.VOTE,
        MessageKind.OVERDUE,
        MessageKind.ASK,
        MessageKind.CERTIFICATE,
    }
)
"""What decides how an attempt ends."""

TINY = dataclasses.replace(
    RULES,
    dimension=8,
    commit_seconds=3.0,
    scatter_seconds=1.5,
    gather_seconds=1.5,
    agree_seconds=1.5,
    delay_bound_seconds=BOUND_SECONDS,
)


class Lateness(StrEnum):
    """By how much a delivery is late."""

    MOMENT = "moment"
    """What is sent in answer to others overtakes it."""
    BOUND = "bound"
    """It comes just within the bound on delay."""

    @property
    def seconds(self) -> float:
        """Beyond the usual delay."""
        return 1.5 * USUAL_SECONDS if self is Lateness.MOMENT else 0.95 * BOUND_SECONDS - USUAL_SECONDS


class Story(StrEnum):
    """What happens beside late deliveries."""

    HONEST = "honest"
    GOODBYE = "goodbye"
    """`detail`: after how many events of the step."""
    TWIN = "twin"
    """Both of a key compute alike. `detail`: the others, as bits, that hear the second one of it, not the first."""
    UNLIKE = "unlike"
    """As TWIN, but the second one rounds in another way."""


@dataclass(frozen=True, order=True)
class Case:
    """One run; its text is what replays it.

    Attributes:
        actor: the place of the one that says goodbye, or runs twice.
        late: which deliveries of the step, in the order of sending, and by how much.
    """

    peers: int
    story: Story = Story.HONEST
    actor: int = 0
    detail: int = 0
    late: tuple[tuple[int, Lateness], ...] = ()

    def __str__(self) -> str:
        late = ",".join(f"{number}+{by}" for number, by in self.late)
        return f"{self.peers}:{self.story}:{self.actor}:{self.detail}:{late}"

    @classmethod
    def parse(cls, text: str) -> Case:
        """Read what `str` has made; raises ValueError."""
        peers, story, actor, detail, late = text.split(":")
        pairs = [one.split("+") for one in late.split(",") if one]
        delays = tuple((int(number), Lateness(by)) for number, by in pairs)
        return cls(int(peers), Story(story), int(actor), int(detail), delays)


@dataclass(frozen=True)
class Outcome:
    """What became of a case.

    Attributes:
        wrong: what must not be, in words; empty where all is well.
        sent: the kinds of the deliveries of the step, in the order of sending.
        events: of the actor, in the step.
    """

    wrong: tuple[str, ...]
    sent: tuple[MessageKind, ...]
    events: int


class _Late(Network):
    """A network in which some deliveries of one step are late, and a key may run twice."""

    speaker: _Explored
    speaks: Heading | Envelope

    def __init__(self, seed: int, conditions: NetworkConditions) -> None:
        super().__init__(seed, conditions)
        self.late: dict[int, Lateness] = {}
        self.sent: list[MessageKind] = []
        self.twin: _Explored | None = None
        self.hears_twin: frozenset[PeerId] = frozenset()

    def deliver_all(
        self, sender: PeerId, receivers: Sequence[PeerId], arrive: Arrival, wait: float = 0.0, size: int = 0
    ) -> None:
        for receiver in receivers:
            if self.twin is not None and sender == self.twin.peer_id:
                second = self.speaks.step >= STEP and receiver in self.hears_twin
                if second is not (self.speaker is self.twin):
                    continue
            seconds = wait + USUAL_SECONDS
            if self.speaks.step == STEP:
                by = self.late.get(len(self.sent))
                seconds += 0.0 if by is None else by.seconds
                self.sent.append(self.speaks.kind)
            self._deliver_at(self.now + seconds, sender, (receiver,), arrive)

    def _arrive(self, sender: PeerId, receivers: Sequence[PeerId], arrive: Arrival) -> None:
        super()._arrive(sender, receivers, arrive)
        if self.twin is not None and self.twin.peer_id in receivers:
            arrive(self.twin)


class _Explored(SimulatedPeer):
    """Does one thing after the other, and leaves where it is told to."""

    network: _Late
    leaves_at = math.inf
    events = 0

    def perform(self, actions: Sequence[Action]) -> None:
        for action in actions:
            for one in one_by_one(action):
                self._leave_in_time()
                if self.crashed:
                    return
                self._perform_one(one)
        super().perform([])

    def _perform_one(self, one: Action) -> None:
        self.network.speaker = self
        if isinstance(one, Send):
            self.network.speaks = Heading.read(one.data)
        elif isinstance(one, SendPart):
            self.network.speaks = one.envelope
        super().perform([one])

    def _leave_in_time(self) -> None:
        if self.session.roster is None or self.session.roster.step != STEP:
            return
        if self.events == self.leaves_at:
            for goodbye in self.session.leave(LeaveReason.SHUTDOWN):
                self._perform_one(goodbye)
            self.crash()
        self.events += 1


@lru_cache(maxsize=4096)
def _gradient(seed: bytes, parameters: bytes, factor: float) -> torch.Tensor:
    return seeded_gradient(seed, torch.frombuffer(bytearray(parameters), dtype=torch.float32)) * factor


class _Tried(Swarm):
    """The swarm of a case."""

    network_type = _Late
    network: _Late

    def __init__(self, case: Case) -> None:
        super().__init__(case.peers, steps=STEP + 2, rules=TINY, peer_type=_Explored)
        self.case = case
        self.network.late = dict(case.late)
        for peer in self.peers:
            peer.compute_seconds = COMPUTING_SECONDS
            peer.trainer.gradient = partial(self._computed, peer)
        actor = self.peers[case.actor]
        assert isinstance(actor, _Explored)
        self.actor = actor
        match case.story:
            case Story.GOODBYE:
                actor.leaves_at = case.detail
            case Story.TWIN | Story.UNLIKE:
                self.liars = {case.actor}
                self.network.twin = self._second(actor)
                others = [peer.peer_id for peer in self.peers if peer is not actor]
                self.network.hears_twin = frozenset(
                    peer for place, peer in enumerate(others) if case.detail >> place & 1
                )
            case Story.HONEST:
                pass

    def _second(self, first: _Explored) -> _Explored:
        trainer = VectorTrainer(seeded_gradient, torch.zeros(self.rules.dimension))
        twin = _Explored(self.network, first.key, first.rules, trainer, last_step=first.last_step)
        self.network.peers[first.peer_id] = first
        twin.compute_seconds = COMPUTING_SECONDS
        twin.trainer.gradient = partial(self._computed, twin)
        return twin

    def _computed(self, peer: SimulatedPeer, seed: bytes, parameters: torch.Tensor) -> torch.Tensor:
        roster = peer.session.roster
        apart = peer is self.network.twin and roster is not None and roster.step >= STEP
        unlike = apart and self.case.story is Story.UNLIKE
        return _gradient(seed, parameters.numpy().tobytes(), 1 + 1e-6 * unlike)

    def done(self) -> bool:
        """Whether each honest peer has stopped, or has heard all members commit in the next step: so these have ended
        this one, and nobody contests that any more."""
        return all(peer.stopped or _has_all_commits(peer) for peer in self.honest)

    def outcome(self) -> Outcome:
        """Let it happen, and look."""
        for peer in (*self.peers, *([self.network.twin] if self.network.twin else [])):
            peer.begin(self.genesis)
        self.network.run(done=self.done, until=_HANGS_SECONDS)
        return Outcome(tuple(self._wrong()), tuple(self.network.sent), self.actor.events)

    def _wrong(self) -> Iterator[str]:
        honest = {peer.peer_id for peer in self.honest}
        done = [one for peer in self.honest for one in peer.finished()]
        for step in range(STEP + 2):
            ends = {(bytes(one.flat), one.roster.digest) for one in done if one.step == step}
            if len(ends) > 1:
                yield f"step {step} has {len(ends)} results"
        for peer in self.honest:
            banned = honest & offences(peer).keys()
            if banned or (peer.stopped is not None and peer.stopped.kind is OutcomeKind.BANNED):
                yield f"an honest peer is banned: {[one.short for one in banned]}"
        if not self.done():
            yield "the step does not end"
        finished = sum(peer.stopped is None for peer in self.honest)
        lies = self.case.story in (Story.TWIN, Story.UNLIKE)
        if 2 * finished <= len(self.genesis.members) and not (lies and self.case.late):
            yield f"only {finished} go on"
        # Two deliveries late by almost the bound, one after the other, can make an author overdue for most of three.
        if not lies and len(self.case.late) < 2 and finished < len(honest):
            yield f"{len(honest) - finished} honest peers lose their place"


def _has_all_commits(peer: SimulatedPeer) -> bool:
    machine = peer.session.machine
    if machine is None or peer.session.roster is None or peer.session.roster.step <= STEP:
        return False
    return len(machine.attempt.said.commits) == len(machine.attempt.seats.members)


def play(case: Case) -> Outcome:
    """Run a case."""
    return _Tried(case).outcome()


def stories(peers: int, wanted: Iterable[Story] = Story, actors: Iterable[int] | None = None) -> Iterator[Case]:
    """Return all cases of some stories without late deliveries: each event, and each division of the others, of some
    actors, or of all."""
    for story in wanted:
        if story is Story.HONEST:
            yield Case(peers)
            continue
        for actor in range(peers) if actors is None else actors:
            if story is Story.GOODBYE:
                details = range(play(Case(peers, actor=actor)).events)
            else:  # alike, it is one whether the first is heard by some members or the second
                details = range(1, 2 ** (peers - (2 if story is Story.TWIN else 1)))
            for detail in details:
                yield Case(peers, story, actor, detail)


def near(case: Case, depth: int, kinds: Collection[MessageKind]) -> Iterator[tuple[Case, Outcome]]:
    """Play a case, and all that have up to `depth` late deliveries of these kinds more, each behind those that are late
    already."""
    outcome = play(case)
    yield case, outcome
    if depth > 0:
        first = case.late[-1][0] + 1 if case.late else 0
        for number in range(first, len(outcome.sent)):
            for by in Lateness if outcome.sent[number] in kinds else ():
                yield from near(dataclasses.replace(case, late=(*case.late, (number, by))), depth - 1, kinds)


def drawn(peers: int, depth: int, count: int, seed: int) -> Iterator[tuple[Case, Outcome]]:
    """Play cases with `depth` late deliveries, drawn at random."""
    luck, base = random.Random(seed), list(stories(peers))
    sent: dict[Case, int] = {}
    for _ in range(count):
        case = luck.choice(base)
        if case not in sent:
            sent[case] = len(play(case).sent)
        places = sorted(luck.sample(range(sent[case]), depth))
        late = tuple((place, luck.choice(list(Lateness))) for place in places)
        case = dataclasses.replace(case, late=late)
        yield case, play(case)


def main(words: list[str] | None = None) -> int:
    """Search, and print what is wrong; 1 if anything is."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--peers", type=int, default=3)
    parser.add_argument("--depth", type=int, default=1, help="deliveries that are late in one case")
    parser.add_argument("--story", type=Story, nargs="*", default=list(Story), choices=list(Story))
    parser.add_argument("--actor", type=int, nargs="*", help="all, if none is given")
    parser.add_argument("--ends", action="store_true", help="only what ends a step is late: digests, and what follows")
    parser.add_argument("--sample", type=int, help="play so many cases at random, not all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--replay", type=Case.parse, help="a case that was printed")
    told = parser.parse_args(words)
    began, processor = time.monotonic(), time.process_time()
    runs: Iterator[tuple[Case, Outcome]]
    if told.replay is not None:
        runs = iter([(told.replay, play(told.replay))])
    elif told.sample is not None:
        runs = drawn(told.peers, told.depth, told.sample, told.seed)
    else:
        kinds = ENDS if told.ends else frozenset(MessageKind)
        cases = stories(told.peers, told.story, told.actor)
        runs = (run for case in cases for run in near(case, told.depth, kinds))
    counted, failed = Counter[Any](), 0
    for case, outcome in runs:
        counted[case.story] += 1
        if outcome.wrong:
            failed += 1
            print(f"--replay {case}   {'; '.join(outcome.wrong)}", flush=True)
    each = ", ".join(f"{count} {story}" for story, count in counted.items())
    seconds = time.process_time() - processor
    spent = f"{seconds:.0f} s of a core in {time.monotonic() - began:.0f} s"
    print(f"{counted.total()} runs ({each}), {failed} failed, {spent}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
