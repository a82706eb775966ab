"""Parts beyond the straight way: shown to a witness or a court, or through third peers when one did not arrive."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from btard.identity import Envelope, MessageKind, PeerId
from btard.identity.envelope import UnsignedEnvelope
from btard.round.actions import Action, Send, SendPart
from btard.round.attempt import Attempt, Item
from btard.round.draw import relays_between
from btard.round.gather import send_aggregate
from btard.round.messages import PartHeader, Pull
from btard.round.phases import StepContext

MOST_PULLS = 8
"""Parts that one peer may ask this one for in an attempt, beyond those that everyone collects again."""


class Exchange:
    """Answers and sends requests for single parts. What a peer does not hold yet, it sends once it comes."""

    def __init__(self, step: StepContext, attempt: Attempt) -> None:
        self._step = step
        self._attempt = attempt
        self._waiting: dict[Item, list[PeerId]] = defaultdict(list)
        self._seen: set[tuple[PeerId, Item]] = set()
        self._count: Counter[PeerId] = Counter()
        self._urged: set[Item] = set()
        self.collected: set[int] = set()

    def send_own(self, receiver: PeerId, part: int) -> list[Action]:
        """Send an own part under a header that signs its hash."""
        attempt, step = self._attempt, self._step
        payload = step.behaviour.part(step.number, receiver, attempt.rows[attempt.me, part])
        if payload is None:
            return []
        committed = attempt.commits[attempt.me].parts if attempt.me in attempt.commits else ()
        if part >= len(committed):
            return []
        announced = step.behaviour.part_digest(step.number, receiver, committed[part])
        header = PartHeader(part, announced)
        envelope = UnsignedEnvelope.prepare(
            step.key,
            run=step.rules.run,
            step=step.roster.step,
            attempt=attempt.number,
            kind=MessageKind.PART,
            message=header,
        )
        return [SendPart(receiver, envelope, payload)]

    def pull(self, item: Item, holders: Iterable[PeerId]) -> list[Action]:
        """Ask peers for a part."""
        kind, author, part = item
        asked = tuple(h for h in holders if (h, item) not in self._attempt.pulled and h != self._attempt.me)
        if not asked:
            return []
        self._attempt.pulled.update((holder, item) for holder in asked)
        body = Pull(kind, author, part).encode()
        return [Send(asked, self._step.sign(self._attempt.number, MessageKind.PULL, body).encode())]

    def urge(self, items: Iterable[Item]) -> list[Action]:
        """Ask third peers for parts that are late, once each."""
        attempt = self._attempt
        actions: list[Action] = []
        for item in items:
            if item not in self._urged:
                self._urged.add(item)
                actions += self.pull(item, relays_between(attempt.context, item[1], attempt.me, attempt.members))
        return actions

    def on_pull(self, envelope: Envelope) -> list[Action]:
        """A member asks for a part; raises Malformed."""
        attempt, asker = self._attempt, envelope.author
        pull = Pull.decode(envelope.body)
        item = (pull.kind, pull.author, pull.part)
        if (asker, item) in self._seen or pull.author not in attempt.known or pull.part >= attempt.partition.count:
            return []
        own_row = item == (MessageKind.PART, attempt.me, attempt.my_part)  # asked for by its witness
        if pull.part not in self.collected and not own_row:
            self._count[asker] += 1
        if self._count[asker] > MOST_PULLS:
            return []
        self._seen.add((asker, item))
        self._waiting[item].append(asker)
        if attempt.holds(item) is not None:
            return self.serve(item)
        relays = relays_between(attempt.context, pull.author, asker, attempt.members)
        return self.pull(item, [pull.author]) if attempt.me in relays else []

    def serve(self, item: Item) -> list[Action]:
        """Send a part that has come to those that wait for it."""
        attempt = self._attempt
        kind, author, part = item
        actions: list[Action] = []
        for asker in self._waiting.pop(item, []):
            if kind is MessageKind.PART and author == attempt.me:
                actions += self.send_own(asker, part)
                continue
            if author == attempt.me:
                actions += send_aggregate(self._step, attempt, asker)
                continue
            header = attempt.headers.get((author, part)) if kind is MessageKind.PART else None
            header = header or attempt.signed.get((kind, author))
            payload = attempt.holds(item)
            if header is not None and payload is not None:
                actions.append(SendPart(asker, header, payload))
        return actions
