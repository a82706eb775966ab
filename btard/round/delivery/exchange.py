"""What did not come the straight way: parts and messages that are asked for, and peers that were late with them.

A peer that misses something asks others for it: for a part first two that are drawn, then, as for a message at once,
all. A member that holds it passes it on under its author's signature, another asks the author first. So what reaches
one honest member in time reaches all, and what an author has kept from one it has either shown to all or refused to
most: their reports say which (`late`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from btard.identity import Envelope, Heading, MessageKind, PeerId
from btard.round.actions import Action, Send, SendPart
from btard.round.attempt.attempt import Attempt
from btard.round.context import StepContext
from btard.round.delivery.patience import Patience
from btard.round.delivery.sending import send_aggregate, send_part
from btard.round.delivery.waiting import WaitingAccount
from btard.round.draw import relays_between
from btard.round.messages.accusations import Fault
from btard.round.messages.bodies import BROADCASTS, Phase
from btard.round.messages.requests import Forward, Item, Pull

MOST_PULLS = 8
"""Parts of other columns than its own that one peer may ask this one for in an attempt: a court looks at a few."""

_FRAME = 16 << 10
"""Bytes; more than the list takes that messages are forwarded in."""

_SILENT = {
    Fault.NO_COMMIT: MessageKind.COMMIT,
    Fault.NO_REVEAL: MessageKind.REVEAL,
    Fault.NO_SCALARS: MessageKind.SCALARS,
    Fault.NO_DIGEST: MessageKind.DIGEST,
}
"""Faults that are the lack of a message, which other members may have."""


def _lacking(missing: Mapping[PeerId, Fault], wanted: Sequence[Item] | None) -> Sequence[Item]:
    """Return what a phase lacks; `wanted` are the payloads that have not come, None where none travel."""
    silent = [(_SILENT[fault], peer, 0) for peer, fault in missing.items() if fault in _SILENT]
    return silent if wanted is None else wanted


class Exchange:
    """Answers and sends requests. What a peer does not hold yet, it passes on once it comes.

    Attributes:
        attempt: what it is about.
        account: of what was late.
    """

    def __init__(self, context: StepContext, attempt: Attempt) -> None:
        self._context = context
        self.attempt = attempt
        self._seats = attempt.seats
        self._said = attempt.said
        self._carried = attempt.carried
        self._waiting: dict[Item, list[PeerId]] = defaultdict(list)
        self._seen: set[tuple[PeerId, Item]] = set()
        self._count: Counter[PeerId] = Counter()
        self._urged: set[tuple[Item, bool]] = set()
        self.account = WaitingAccount(context, attempt)
        self._broadcasts: set[Item] = set()
        self._answered: set[tuple[PeerId, Item]] = set()
        self._awaited: dict[PeerId, Phase] = {}
        self._told: set[tuple[PeerId, Item]] = set()
        self._collectors: dict[int, frozenset[PeerId]] = {}

    def _send(self, kind: MessageKind, body: bytes, receivers: Iterable[PeerId]) -> Send:
        return Send(tuple(receivers), self._context.sign(self._seats.number, kind, body).encode())

    def pull_version(self, item: Item, teller: PeerId) -> list[Action]:
        """Ask a peer for what it was told by a message's author, of which this peer holds another version. It is asked
        for the header of an aggregate by being shown the other one: a request would bring the whole."""
        self._broadcasts.add(item)
        if item[0] is MessageKind.AGGREGATE:
            return self._forward([item], [teller])
        return [self._send(MessageKind.PULL, Pull((item,)).encode(), [teller])]

    def answer_version(self, asker: PeerId, other: Envelope) -> list[Action]:
        """Show a member the header that this peer has got in place of another one, which that member has shown it."""
        item = (other.kind, other.author, 0)
        if other.kind is not MessageKind.AGGREGATE or item in self._broadcasts:
            return []
        return self._forward([item], [asker])

    def pull(self, item: Item, holders: Iterable[PeerId]) -> list[Action]:
        """Ask peers for a part, each once."""
        asked = tuple(h for h in holders if (h, item) not in self._carried.pulled and h != self._seats.me)
        if not asked:
            return []
        self._carried.ask(asked, item)
        return [self._send(MessageKind.PULL, Pull((item,)).encode(), asked)]

    def pull_from(self, author: PeerId, items: Sequence[Item]) -> list[Action]:
        """Ask the author of several parts for all of them in one message, each once."""
        fresh = tuple(item for item in items if (author, item) not in self._carried.pulled)
        if not fresh or author == self._seats.me:
            return []
        for item in fresh:
            self._carried.ask((author,), item)
        return [self._send(MessageKind.PULL, Pull(fresh).encode(), [author])]

    def collects(self, part: int, askers: Iterable[PeerId]) -> None:
        """Let these peers ask for all rows of a part, from all that hold them."""
        self._collectors[part] = self._collectors.get(part, frozenset()).union(askers)

    def urge(self, now: float, items: Iterable[Item], *, everyone: bool) -> list[Action]:
        """Ask drawn members, or all, for what is late, once each."""
        seats = self._seats
        fresh = sorted(item for item in items if (item, everyone) not in self._urged)
        self._urged.update((item, everyone) for item in fresh)
        if not everyone:
            relays = {item: relays_between(seats.attempt_id, item[1], seats.me, seats.members) for item in fresh}
            return [action for item in fresh for action in self.pull(item, relays[item])]
        if not fresh or not seats.others:
            return []
        for item in fresh:
            self.account.note_asked(item, now)
            self._welcome(seats.others, item)
        return self._ask(fresh, seats.others)

    def urge_for(
        self,
        now: float,
        phase: Phase,
        missing: Mapping[PeerId, Fault],
        wanted: Sequence[Item] | None,
        patience: Patience,
    ) -> list[Action]:
        """Ask third peers for what is late in a phase, or did not come whole; and those that wait for this peer.

        Args:
            missing: what the phase lacks of whom.
            wanted: the payloads that have not come; None in a phase in which none travel.
        """
        late, very_late = patience.takes_late(now)
        broken = {author for _, author in self._carried.broken}
        actions = self.urge(now, [item for item in wanted or () if late or item[1] in broken], everyone=False)
        actions += self.urge_all(now, missing, wanted) if very_late else []
        return actions + self._tell_held_up(phase, missing, wanted)

    def urge_all(self, now: float, missing: Mapping[PeerId, Fault], wanted: Sequence[Item] | None) -> list[Action]:
        """Ask all members at once for what a phase lacks; `wanted` as for `urge_for`."""
        return self.urge(now, _lacking(missing, wanted), everyone=True)

    def is_awaited(self, phase: Phase) -> bool:
        """Whether somebody has asked for what this peer makes only in a later phase than this."""
        return any(awaited > phase for awaited in self._awaited.values())

    def _tell_held_up(
        self, phase: Phase, missing: Mapping[PeerId, Fault], wanted: Sequence[Item] | None
    ) -> list[Action]:
        """Ask those that wait for what this peer makes in a later phase for what it lacks in this one, each once.

        So they know that it is held up, and by whom, however long it would wait by its own measure.
        """
        actions: list[Action] = []
        for asker in [asker for asker, awaited in self._awaited.items() if awaited > phase]:
            fresh = [item for item in _lacking(missing, wanted) if self._is_news(asker, item)]
            self._told.update((asker, item) for item in fresh)
            for item in fresh:
                self._welcome((asker,), item)
            actions += self._ask(fresh, (asker,))
        return actions

    def _is_news(self, asker: PeerId, item: Item) -> bool:
        """Whether a member has not been asked for an item, which is not its own."""
        return item[1] != asker and (asker, item) not in self._told and (item, True) not in self._urged

    def _welcome(self, holders: Sequence[PeerId], item: Item) -> None:
        """Take an item from these once they send it."""
        if item[0] in BROADCASTS:
            self._broadcasts.add(item)
        else:
            self._carried.ask(holders, item)

    def _ask(self, items: Sequence[Item], receivers: Sequence[PeerId]) -> list[Action]:
        """Ask for items, no more in a message than there are members."""
        most, ordered = len(self._seats.roster.members), sorted(items)
        batches = [tuple(ordered[i : i + most]) for i in range(0, len(ordered), most)]
        return [self._send(MessageKind.PULL, Pull(batch).encode(), receivers) for batch in batches]

    def _owed(self, item: Item) -> bool:
        """Whether the attempt makes its author send this."""
        seats, (kind, author, part) = self._seats, item
        if kind is MessageKind.PART:
            return author in seats.working and part < seats.partition.count
        if kind is MessageKind.AGGREGATE:
            return seats.part_of.get(author) == part
        return author in (seats.submitters if kind is MessageKind.SCALARS else seats.known)

    def _has(self, item: Item) -> bool:
        if item[0] in BROADCASTS:
            return item[:2] in self._said.signed
        return self._carried.holds(item) is not None

    def _admits(self, asker: PeerId, item: Item) -> bool:
        """Whether to answer this request: once, about what there is, and within what the asker needs in a step."""
        seats, (kind, author, part) = self._seats, item
        if (asker, item) in self._seen or author == asker or not self._owed(item):
            return False
        own_column = seats.owners[part] == asker if kind is MessageKind.PART else True
        if not own_column and author != seats.me and asker not in self._collectors.get(part, ()):
            self._count[asker] += 1
            if self._count[asker] > MOST_PULLS:
                return False
        # The own aggregate goes to all once it is there.
        return not (kind is MessageKind.AGGREGATE and author == seats.me and not self._has(item))

    def on_pull(self, now: float, envelope: Envelope) -> list[Action]:
        """A member asks for something; raises Malformed."""
        asker, actions = envelope.author, list[Action]()
        held: list[Item] = []
        absent: dict[PeerId, list[Item]] = defaultdict(list)
        for item in envelope.read(Pull).items:
            if item[1] == self._seats.me and self._owed(item) and not self._has(item):
                awaited = self.account.phase_of(item)
                self._awaited[asker] = max(awaited, self._awaited.get(asker, awaited))
            if not self._admits(asker, item):
                continue
            self._seen.add((asker, item))
            if self._has(item):
                held.append(item)
                continue
            self._waiting[item].append(asker)
            self.account.note_asker(asker, item, now)
            author = item[1]
            if author != self._seats.me and not self.account.has_asked(item):
                absent[author].append(item)
        messages = [item for item in held if item[0] in BROADCASTS]
        if messages:
            actions += self._forward(messages, [asker])
        for item in held:
            if item[0] not in BROADCASTS:
                actions += self._send_part(item, asker)
        for author, items in absent.items():
            for item in items:
                self.account.note_asked(item, now)
                self._welcome((author,), item)
            actions.append(self._send(MessageKind.PULL, Pull(tuple(items)).encode(), [author]))
        return actions

    def _forward(self, messages: Iterable[Item], askers: Iterable[PeerId]) -> list[Action]:
        signed, most = self._said.signed, self._seats.caps.evidence
        batches: list[list[bytes]] = [[]]
        for kind, author, _ in messages:
            data = signed[kind, author].encode()
            if batches[-1] and sum(map(len, batches[-1])) + len(data) > most - _FRAME:
                batches.append([])
            batches[-1].append(data)
        receivers = tuple(askers)
        return [self._send(MessageKind.FORWARD, Forward(tuple(batch)).encode(), receivers) for batch in batches]

    def _send_part(self, item: Item, asker: PeerId) -> list[Action]:
        attempt, (kind, author, part) = self.attempt, item
        if kind is MessageKind.PART and author == self._seats.me:
            return send_part(self._context, attempt, asker, part)
        if author == self._seats.me:
            return send_aggregate(self._context, attempt, asker)
        header = self._said.headers.get((author, part)) if kind is MessageKind.PART else None
        header = header or self._said.signed.get((kind, author))
        payload = self._carried.holds(item)
        return [SendPart(asker, header, payload)] if header is not None and payload is not None else []

    def serve(self, now: float) -> list[Action]:
        """Pass what has come on to those that wait for it, and note when what this peer has asked for came."""
        actions: list[Action] = []
        self.account.note_arrivals(now, self._has)
        for item in [item for item in self._waiting if self._has(item)]:
            askers = self._waiting.pop(item)
            self.account.note_served(askers, item, now)
            if item[0] in BROADCASTS:
                actions += self._forward([item], askers)
            else:
                actions += [action for asker in askers for action in self._send_part(item, asker)]
        return actions

    def on_forward(self, envelope: Envelope) -> list[Envelope]:
        """Return the messages that a member passes on, and that this peer has asked for; and numbers that it has not
        got, which a member shows to an owner before it accuses it; and another header of an aggregate. Raises
        Malformed."""
        found = []
        for data in envelope.read(Forward).envelopes:
            heading = Heading.read(data)
            item = (heading.kind, heading.author, 0)
            told = item[:2] in self._said.signed
            shown = told if heading.kind is MessageKind.AGGREGATE else heading.kind is MessageKind.SCALARS and not told
            asked = item in self._broadcasts or shown
            expected = asked and (envelope.author, item) not in self._answered
            if not expected or heading.author == self._seats.me or heading.size > self._seats.caps.body[item[0]]:
                continue
            self._answered.add((envelope.author, item))
            inner = Envelope.parse(data)
            known = self._said.signed.get((inner.kind, inner.author))
            if known is None or known.content_digest() != inner.content_digest():
                inner.verify()
                found.append(inner)
        return found

    def take_up(self, envelope: Envelope) -> list[Action]:
        """File the messages that a member passes on, and show it other versions of them; raises Malformed."""
        found = self.on_forward(envelope)
        for inner in found:
            self.attempt.file(inner)
        return [action for inner in found for action in self.answer_version(envelope.author, inner)]
