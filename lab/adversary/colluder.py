"""The decisions of a colluder: its vector, its charges, its opinions."""

from __future__ import annotations

import dataclasses

import torch

from btard.behaviour import Behaviour, View
from btard.identity import IdentityKey, MessageKind, PeerId
from btard.lab.adversary.garbling import M, opposite, other
from btard.lab.adversary.knowledge import Occasion, Ring
from btard.lab.adversary.lies import Accuse, CallLate, Complain, Garble, Opine, Poison, Twist, WhichPart, Whom
from btard.lab.adversary.strategy import Strategy
from btard.lab.simulation.peer import LabPeer
from btard.round.attempt.attempt import Attempt
from btard.round.attempt.seats import Seats
from btard.round.messages.accusations import Charge, Opinion, Report
from btard.round.messages.bodies import Commit, Phase, Reveal, Scalars


class Colluder(Behaviour):
    """Follows a strategy; what is not lied about is honest.

    Args:
        strategy: of all colluders.
        ring: the colluders of the swarm.
    """

    name = "ADVERSARY"

    def __init__(self, strategy: Strategy, ring: Ring) -> None:
        self.strategy = strategy
        self.ring = ring
        self._charged: dict[int, int] = {}
        self._reported: dict[tuple[int, int], Report] = {}

    def attach(self, key: IdentityKey) -> None:
        self.key = key

    def meet(self, peer: LabPeer) -> None:
        """Be told of the own peer, whose session knows what this colluder knows."""
        self.peer = peer
        self.ring.join(peer)

    @property
    def seats(self) -> Seats:
        """Of the attempt that the own peer is in."""
        return self._attempt.seats

    @property
    def _attempt(self) -> Attempt:
        machine = self.peer.session.machine
        assert machine is not None, "nothing is decided before the first step"
        return machine.attempt

    def others(self, whom: Whom, purpose: str) -> list[PeerId]:
        """Return the other members of a kind, in an order that is drawn in each step."""
        seats, ring = self.seats, self.ring
        others = [peer for peer in seats.members if peer != seats.me]
        if whom is not Whom.ANYBODY:
            others = [peer for peer in others if (peer in ring.insiders) is (whom is Whom.COLLUDER)]
        return ring.drawn(purpose, seats.roster.step, others)

    def vector(self, step: int, attempt: int, vector: torch.Tensor) -> torch.Tensor:
        """Return the vector of the first poison that is due, and let the ring know that it is one."""
        occasion = Occasion(self.ring, self.seats)
        for clause in self.strategy.clauses:
            if isinstance(clause.lie, Poison) and clause.holds(occasion):
                told = self._twisted(clause.lie, step, vector)
                if not torch.equal(told, vector):
                    self.ring.poisoned.add((step, attempt, self.key.peer_id))
                return told
        return vector

    def _twisted(self, lie: Poison, step: int, vector: torch.Tensor) -> torch.Tensor:
        match lie.twist:
            case Twist.FLIP:
                return -lie.scale * vector
            case Twist.STRETCH:
                return lie.scale * vector
            case Twist.TURN:
                generator = torch.Generator().manual_seed(self.ring.seed_of("direction", 0))
                direction = torch.randn(len(vector), generator=generator)
                length = torch.linalg.vector_norm(vector) / torch.linalg.vector_norm(direction)
                return lie.scale * length * direction

    def commit(self, step: int, commit: Commit, view: View) -> Commit:
        return self._said(MessageKind.COMMIT, commit)

    def reveal(self, step: int, reveal: Reveal, view: View) -> Reveal:
        return self._said(MessageKind.REVEAL, reveal)

    def scalars(self, step: int, scalars: Scalars, view: View) -> Scalars:
        return self._said(MessageKind.SCALARS, scalars)

    def _said(self, word: MessageKind, message: M) -> M:
        """What is broadcast, garbled for everybody if that is due."""
        occasion = Occasion(self.ring, self.seats, word)
        for clause in self.strategy.clauses:
            if (
                clause.decided_early
                and isinstance(clause.lie, Garble)
                and clause.lie.word is word
                and clause.holds(occasion)
            ):
                message = other(word, message)
        return message

    def charge(self, step: int, phase: Phase, honest: Charge | None, view: View) -> Charge | None:
        """Return the charge of the first accusation that is due and names somebody; honest charges only of others."""
        occasion = Occasion(self.ring, self.seats, phase=phase)
        for clause in self.strategy.clauses:
            if isinstance(clause.lie, Accuse) and clause.holds(occasion):
                charge = self._charge(clause.lie, step)
                if charge is not None:
                    return charge
        return None if honest is not None and honest.accused in self.ring.insiders else honest

    def _charge(self, lie: Accuse, step: int) -> Charge | None:
        """Charge another one each time in a step, since nothing is heard twice."""
        seats = self.seats
        accused = self.others(lie.whom, "accused")
        if lie.where is WhichPart.THEIRS and not lie.charge.about_last_step:
            accused = [peer for peer in accused if peer in seats.part_of]
        if not accused:
            return None
        turn = self._charged.get(step, 0)
        self._charged[step] = turn + 1
        chosen = accused[turn % len(accused)]
        if lie.charge.about_last_step:
            return Charge(lie.charge, chosen, 0)
        match lie.where:
            case WhichPart.MINE:
                part = seats.my_part
            case WhichPart.THEIRS:
                part = seats.part_of[chosen]
            case WhichPart.OTHER:
                part = (turn // len(accused)) % max(1, len(seats.owners))
        return None if part is None else Charge(lie.charge, chosen, part)

    def report(self, step: int, report: Report, view: View) -> Report:
        """Return what has been said of the attempt already, or else the report with the lies that all are told."""
        return self.say_once(step, view.attempt, self._lied(report))

    def say_once(self, step: int, attempt: int, report: Report) -> Report:
        """Return the one report of an attempt: the first that was to be said. Another one would be a proof."""
        return self._reported.setdefault((step, attempt), report)

    def _lied(self, report: Report) -> Report:
        occasion = Occasion(self.ring, self.seats, MessageKind.REPORT)
        for clause in self.strategy.clauses:
            if clause.decided_early and clause.holds(occasion):
                match clause.lie:
                    case Garble(word=MessageKind.REPORT):
                        report = other(MessageKind.REPORT, report)
                    case CallLate():
                        report = self.calling_late(clause.lie, report)
                    case Complain():
                        report = self.complaint(clause.lie) or report
        return report

    def complaint(self, lie: Complain) -> Report | None:
        """Return a report that complains of somebody; None where there is nobody."""
        seats, others = self.seats, self.others(lie.whom, "complaint")
        if not others:
            return None
        accused = others[seats.number % len(others)]
        digest = self._attempt.said.signed.get((MessageKind.DIGEST, seats.me))
        attached = () if digest is None else (digest.encode(),)
        return Report(lie.phase, False, seats.members, ((accused, lie.fault),), None, attached)

    def calling_late(self, lie: CallLate, report: Report) -> Report:
        """Return a report with one more peer that was late."""
        others = [peer for peer in self.others(lie.whom, "late") if peer in report.members]
        return dataclasses.replace(report, late=tuple(sorted({*report.late, *others[:1]})))

    def opinion(self, step: int, charge: Charge, opinion: Opinion) -> Opinion:
        """Return the first opinion that is due, or its opposite where votes are garbled for all."""
        occasion = Occasion(self.ring, self.seats, charge=charge)
        for clause in self.strategy.clauses:
            if isinstance(clause.lie, Opine) and clause.holds(occasion):
                return clause.lie.opinion
            if clause.decided_early and clause.lie == Garble(MessageKind.VOTE) and clause.holds(occasion):
                return opposite(opinion)
        return opinion
