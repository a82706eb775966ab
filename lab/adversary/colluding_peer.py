"""What leaves a colluder's machine, and when: messages that are held back, changed, late, or more than an honest peer
has to say."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from btard.behaviour import LeaveReason
from btard.hashing import Payload
from btard.identity import Envelope, Heading, MessageKind, PeerId
from btard.lab.adversary.colluder import Colluder
from btard.lab.adversary.garbling import garbled, signed_like
from btard.lab.adversary.knowledge import Occasion
from btard.lab.adversary.lies import (
    CallLate,
    Complain,
    Contradict,
    Delay,
    FallSilent,
    Garble,
    Goodbye,
    LetterLie,
    Withhold,
)
from btard.lab.adversary.strategy import Clause
from btard.lab.simulation.peer import LabPeer
from btard.round.actions import Action, Send, SendPart
from btard.round.messages.accusations import Report


@dataclass(frozen=True)
class Letter:
    """A message to one peer.

    Attributes:
        payload: the numbers of a part or an aggregate, of which the message is the header; None for others.
        delay: seconds before it is sent.
    """

    receiver: PeerId
    envelope: Envelope
    payload: Payload | None = None
    delay: float = 0.0


class ColludingPeer(LabPeer):
    """A peer with the behaviour `Colluder`. Everything that its session sends goes through the strategy's lies about
    messages, one receiver at a time; it hears what arrives, and lets the others know."""

    def __post_init__(self) -> None:
        super().__post_init__()
        assert isinstance(self.behaviour, Colluder)
        self._colluder = self.behaviour
        clauses = self._colluder.strategy.clauses
        self._clauses = [
            (clause, clause.lie) for clause in clauses if isinstance(clause.lie, LetterLie) and not clause.decided_early
        ]
        self._left: set[int] = set()
        self._colluder.meet(self)

    def receive(self, sender: PeerId, data: bytes) -> None:
        """Let all colluders know what has been said, then take it as any peer."""
        self._colluder.ring.hear(Heading.read(data))
        super().receive(sender, data)

    def perform(self, actions: Sequence[Action]) -> None:
        """Carry out what the session asks for; what it sends is looked at first."""
        if not self._clauses:
            return super().perform(actions)
        for action in actions:
            match action:
                case Send(peers, data, delay):
                    envelope = Envelope.parse(data)
                    for peer in peers:
                        self._post(Letter(peer, envelope, delay=delay))
                case SendPart():
                    self._post(Letter(action.peer, action.envelope, action.payload))
                case _:
                    super().perform([action])
        return super().perform([])

    def _post(self, letter: Letter) -> None:
        """Decide about a letter, at once or after the longest wait of those that want to."""
        wait = max((clause.wait for clause, lie in self._clauses if lie.word is letter.envelope.kind), default=0.0)
        if wait:
            self.network.at(self.network.now + wait, lambda: self._decide(letter))
        else:
            self._decide(letter)

    def _decide(self, letter: Letter) -> None:
        word, receiver = letter.envelope.kind, letter.receiver
        letters = [letter]
        for clause, lie in self._clauses:
            occasion = Occasion(self._colluder.ring, self._colluder.seats, word, receiver)
            if lie.word is word and not self.crashed and clause.holds(occasion):
                letters = [told for each in letters for told in self._told(clause, lie, each)]
        for each in letters:
            self._send(each)

    def _told_to_all(self, letter: Letter, envelope: Envelope) -> Letter:
        """The letter with another message, which the own session takes for what it has said from now on: it must not
        contradict the lie by what it passes on, attaches, or counts."""
        machine, place = self.session.machine, (envelope.kind, envelope.author)
        assert machine is not None, "nothing is sent before the first step"
        if machine.attempt.said.signed.get(place) == letter.envelope:
            machine.attempt.said.signed[place] = envelope
        return dataclasses.replace(letter, envelope=envelope)

    def _told(self, clause: Clause, lie: LetterLie, letter: Letter) -> list[Letter]:
        """Return what is sent instead of a letter."""
        match lie:
            case Withhold():
                return []
            case Delay(seconds=seconds):
                return [dataclasses.replace(letter, delay=letter.delay + seconds)]
            case Garble():
                envelope, payload = garbled(self.key, letter.envelope, letter.payload)
                if clause.to_all and payload is None:
                    return [self._told_to_all(letter, envelope)]
                return [dataclasses.replace(letter, envelope=envelope, payload=payload)]
            case Contradict(seconds=seconds):
                envelope, payload = garbled(self.key, letter.envelope, letter.payload)
                later = dataclasses.replace(letter, envelope=envelope, payload=payload, delay=letter.delay + seconds)
                return [letter, later]
            case Complain():
                return [letter, *self._complaint(lie, letter)]
            case CallLate():
                report = self._colluder.calling_late(lie, letter.envelope.read(Report))
                envelope = signed_like(self.key, letter.envelope, report.encode())
                return [dataclasses.replace(letter, envelope=envelope)]
            case Goodbye(reason=reason):
                self._say_goodbye(letter.envelope.step, reason)
                return [letter]
            case FallSilent():
                self.crash()
                return []

    def _complaint(self, lie: Complain, letter: Letter) -> list[Letter]:
        """The report of the attempt, which the session says, too, if it gives the attempt up later."""
        place, seats = (letter.envelope.step, letter.envelope.attempt), self._colluder.seats
        complaint = self._colluder.complaint(lie)
        if place != (seats.roster.step, seats.number) or complaint is None:
            return []
        report = self._colluder.say_once(*place, complaint)
        return [Letter(letter.receiver, signed_like(self.key, letter.envelope, report.encode(), MessageKind.REPORT))]

    def _say_goodbye(self, step: int, reason: LeaveReason) -> None:
        if step not in self._left:
            self._left.add(step)
            self.perform(self.session.leave(reason))

    def _send(self, letter: Letter) -> None:
        if self.crashed:
            return
        if letter.payload is None:
            super().perform([Send((letter.receiver,), letter.envelope.encode(), letter.delay)])
        elif letter.delay:
            later = dataclasses.replace(letter, delay=0.0)
            self.network.at(self.network.now + letter.delay, lambda: self._send(later))
        else:
            super().perform([SendPart(letter.receiver, letter.envelope, letter.payload)])
