"""A simulated swarm that is killed, with what its disks kept, and started again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from btard.executor import Executor
from btard.hashing import digest
from btard.identity import Envelope, PeerId
from btard.reunion.messages import Memory, Place
from btard.reunion.reunion import Reunion
from btard.round.actions import Finished
from btard.round.attempt.minutes import Minutes
from btard.round.roster import Roster
from btard.round.session import Session
from btard.tensors import bytes_of
from btard.transport.memory import SimulatedPeer, at_once
from btard.vectors.momentum import KeptLink
from btard.vectors.partition import from_wire
from tests.btard.round.swarm import Swarm

TURN = 1.0
WINDOW = 6.0
NEVER = 10_000.0


@dataclass
class Kept:
    """What a disk has of a step that began.

    Attributes:
        minutes, aggregate: of the step before.
    """

    roster: Roster
    parameters: bytes
    link: KeptLink | None
    minutes: bytes | None = None
    aggregate: bytes = b""

    @property
    def place(self) -> Place:
        return Place(self.roster.step, self.roster.digest, digest(self.parameters))


class Keeper(SimulatedPeer):
    """Keeps each state that it begins a step with, and may be killed and come back."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.disk: list[Kept] = []
        self.begun: list[tuple[int, int]] = []
        self.incarnation = 0
        self.proof: tuple[Envelope, ...] = ()
        self.reunion: Reunion | None = None
        self.present = False
        self.minutes: Minutes | None = None

    def begin(self, roster: Roster) -> None:
        minutes = self.session.legacy.minutes(roster.step)
        left = () if minutes is None else (minutes.encode(), bytes(minutes.aggregate))
        self.disk.append(Kept(roster, bytes(bytes_of(self.parameters)), self.trainer._momentum.last(), *left))
        assert (self.incarnation, roster.step) not in self.begun, "no step is begun twice in an incarnation"
        self.begun.append((self.incarnation, roster.step))
        super().begin(roster)

    @property
    def is_through(self) -> bool:
        """Whether it has finished the last step."""
        return not self.present and bool(self.history) and self.history[-1].step == self.last_step

    def come_back(self) -> None:
        """Start again with what the disk has, and nothing else."""
        memory = Memory(tuple(kept.place for kept in self.disk))
        roster = self.disk[-1].roster
        run, number = self.rules.reborn(0).run, self.incarnation
        self.reunion = Reunion(self.key, run, roster, memory, number, window_seconds=WINDOW, luck=0.5, proof=self.proof)
        self.present, self.crashed = True, True
        self.minutes = self._minutes()

    def _minutes(self) -> Minutes | None:
        """Read what is there to look back from the newest place, where the state before is there, too."""
        kept = self.disk[-1]
        if kept.minutes is None or self._before(kept) is None:
            return None
        return Minutes.decode(kept.minutes, kept.aggregate, self.rules, kept.roster, self.peer_id)

    def _before(self, kept: Kept) -> Kept | None:
        return next((one for one in self.disk if one.roster.step == kept.roster.step - 1), None)

    def transcript_of(self, step: int) -> bytes | None:
        known = self.minutes if self.present else None
        return known.attempt.said.transcript() if known and known.step == step else super().transcript_of(step)

    async def transcripts(self, step: int, holders: Sequence[PeerId], within_seconds: float) -> Sequence[bytes]:
        asked = [self.network.peers[peer] for peer in holders]
        here = [peer for peer in asked if isinstance(peer, Keeper) and (peer.present or not peer.crashed)]
        return [told for told in (peer.transcript_of(step) for peer in here) if told is not None]

    def go_on(self, incarnation: int, kept: Kept) -> None:
        """Begin again from a state, in another incarnation."""
        assert self.reunion is not None
        self.incarnation, self.proof = incarnation, self.reunion.proof(incarnation)
        self.rules = self.rules.reborn(incarnation)
        self.session = Session(self.rules, self.key, self.behaviour)
        self.executor = Executor(self.rules, self.peer_id, self.behaviour, self.trainer, self, _here)
        self.disk = [one for one in self.disk if one.place.step < kept.place.step]
        before = self._before(kept)
        minutes = self.minutes if self.minutes is not None and self.minutes.follows(kept.roster) else None
        if minutes is not None and before is not None:
            self.take_over(before.parameters, minutes.step)
            self._state = at_once(self.trainer.apply(from_wire(minutes.aggregate, self.rules.wire)))
            assert self._state == kept.place.state
            self.session.legacy.take_over(minutes)
        else:
            self.take_over(kept.parameters, kept.roster.step)
        if kept.link is not None:
            self.trainer._momentum.go_on(kept.link)
        self.history = [event for event in self.history if isinstance(event, Finished)]
        self.history = [event for event in self.history if event.step < kept.roster.step]
        self.present, self.crashed = False, False
        self._watched = -1.0
        self.begin(kept.roster)


async def _here(work: Callable[[], object]) -> object:
    return work()


class Killed:
    """A swarm that is killed at a time of the virtual clock, or once all have begun a step, and comes back."""

    def __init__(
        self, count: int = 5, *, at: float = NEVER, within: int | None = None, steps: int = 12, **named: object
    ) -> None:
        self.swarm = Swarm(count, steps=steps, peer_type=Keeper, **named)  # type: ignore[arg-type]
        self.peers: list[Keeper] = self.swarm.peers  # type: ignore[assignment]
        self._turning = False
        for peer in self.peers:
            peer.begin(self.swarm.genesis)
        self.swarm.network.run(until=at, done=lambda: within is not None and min(self.stood) >= within)
        self.kill()

    def kill(self) -> None:
        """Let all die without a word."""
        for peer in self.peers:
            peer.crashed, peer.present = True, False

    @property
    def stood(self) -> list[int]:
        """The step in which each peer was killed."""
        return [peer.disk[-1].roster.step for peer in self.peers]

    def come_back(self, *numbers: int) -> None:
        """Let these peers start again."""
        for number in numbers:
            self.peers[number].come_back()
        if not self._turning:
            self._turning = True
            self.swarm.network.at(self.swarm.network.now + TURN, self._turn)

    def _turn(self) -> None:
        """Let all that are back show each other what they know, and begin what they decide."""
        now, back = self.swarm.network.now, [peer for peer in self.peers if peer.present]
        kept = {one.place: one for peer in back for one in peer.disk}
        shown = [peer.reunion.envelopes for peer in back if peer.reunion is not None]
        for peer in back:
            assert peer.reunion is not None
            for envelopes in shown:
                peer.reunion.hear(now, envelopes)
            decided = peer.reunion.tick(now, kept)
            if decided is not None:
                peer.go_on(decided.incarnation, self._own(peer, kept[decided.place]))
        self._turning = any(peer.present for peer in self.peers) and now < NEVER
        if self._turning:
            self.swarm.network.at(now + TURN, self._turn)

    @staticmethod
    def _own(peer: Keeper, kept: Kept) -> Kept:
        """What was downloaded has another peer's momentum, which does not come along."""
        return next((one for one in peer.disk if one.place == kept.place), replace(kept, link=None))

    def run(self) -> Killed:
        """Let the swarm go on to its end."""
        alive = [peer for peer in self.peers if peer.present]
        self.swarm.network.run(until=NEVER, done=lambda: all(peer.is_through for peer in alive))
        return self

    def check(self) -> None:
        """Assert that all that came back hold the same."""
        back = [peer for peer in self.peers if not peer.crashed]
        assert back and len({bytes(bytes_of(peer.parameters)) for peer in back}) == 1
        assert {peer.history[-1].step for peer in back} == {back[0].last_step}
        self.swarm.check_agreement()
