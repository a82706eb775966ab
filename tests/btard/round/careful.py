"""Simulated peers that look at what honest ones sign: it must never be what a peer is banned for, or is not read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from btard.behaviour import Behaviour
from btard.identity import Envelope, MessageKind, PeerId
from btard.round.actions import Action, Send
from btard.round.messages.form import form_fault
from btard.transport.memory import SimulatedPeer


class Careful(SimulatedPeer):
    """Asserts that whatever an honest peer sends is well-formed, no longer, and no oftener, than what others read."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._sent: Counter[tuple[PeerId, int, int, MessageKind]] = Counter()

    def perform(self, actions: Sequence[Action]) -> None:
        machine = self.session.machine
        if machine is not None and type(self.behaviour) is Behaviour:
            previous = self.session.previous
            for action in actions:
                if not isinstance(action, Send):
                    continue
                said = Envelope.decode(action.data)
                assert form_fault(said) is None, f"{said.kind.name}: {form_fault(said)}"
                assert said.kind is not MessageKind.REPORT or machine.attempt.said.malformation(said) is None
                late = previous is not None and said.step == previous.seats.roster.step
                caps = (previous if late and previous is not None else machine.attempt).seats.caps
                assert said.size <= caps.body[said.kind], f"{said.kind.name} of {said.size} bytes"
                for peer in action.peers:
                    place = (peer, said.step, said.attempt, said.kind)
                    self._sent[place] += 1
                    timeless = said.kind is MessageKind.CERTIFICATE  # answers to what others ask
                    assert timeless or self._sent[place] <= caps.count[said.kind], place
        super().perform(actions)
