"""Steps in a row: which messages belong to the current one, which wait for the next, and which go to late peers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache, partial

from btard.identity import Envelope, Heading, IdentityKey, Malformed, MessageKind, PeerId
from btard.identity.envelope import MAX_HEADER, STEP_KINDS
from btard.round.actions import Action, Finished, OutcomeKind, Send, Stopped
from btard.round.attempt.attempt import Attempt
from btard.round.attempt.debts import NO_DEBTS
from btard.round.attempt.legacy import Legacy, Own
from btard.round.attempt.pace import Pace
from btard.round.context import StepContext
from btard.round.decisions import Decisions
from btard.round.failure.aftermath import SETTLING, Aftermath
from btard.round.failure.overdue import at_work
from btard.round.messages.bodies import NOBODY, Candidates, Leave, LeaveReason
from btard.round.messages.reading import genuine
from btard.round.messages.requests import Certificate
from btard.round.roster import Roster
from btard.round.rules import StepRules
from btard.round.step import StepMachine
from btard.round.work.answers import Answer, TargetExamined
from btard.vectors.buffers import BufferPool

_EARLY_MESSAGES = 16
_EARLY_BYTES = 1 << 17
_EARLY_STRANGERS = 8
_EARLY_TOTAL = 32 << 20

_MOST_SHOWN = 16
"""Times that a member is shown the certificate of the last step."""

_LATE = frozenset({MessageKind.ASK, MessageKind.PULL})
_PARTS = frozenset({MessageKind.PART, MessageKind.AGGREGATE})


class Session:
    """A peer in a run. Bytes come from authenticated neighbours; none of them raises or makes it grow without bound."""

    machine_type = StepMachine
    """What takes part in a step; measurements compare it with less."""

    def __init__(
        self,
        rules: StepRules,
        key: IdentityKey,
        behaviour: Decisions,
        pool: BufferPool | None = None,
        pace: Pace | None = None,
    ) -> None:
        """Make a peer that has not begun.

        Args:
            pool: with one, what Finished.flat holds lasts until the next step is over.
            pace: that has been measured before; nothing has, without one.
        """
        self._rules = rules
        self._key = key
        self._behaviour = behaviour
        behaviour.attach(key)
        self._pool = pool
        self._tampers = type(behaviour).transmit is not Decisions.transmit
        self.pace = pace or Pace(rules.delay_bound_seconds, rules.patience)
        self._early: dict[PeerId, list[Envelope]] = {}
        self._early_bytes = 0
        self._adrift = True
        self._ahead: set[PeerId] = set()
        self._ask_at = math.inf
        self._last_step = -1
        self._last_members: frozenset[PeerId] = frozenset()
        self._last_certificate: tuple[Envelope, ...] = ()
        self._certified = b""
        self._shown: Counter[PeerId] = Counter()
        self.legacy = Legacy(rules, key.peer_id)
        self.roster: Roster | None = None
        self.machine: StepMachine | None = None
        self._last: Aftermath | None = None

    def is_member(self, peer: PeerId) -> bool:
        """Whether a peer belongs to the roster of the current step, or of the last one."""
        return self.roster is not None and peer in self.roster.members

    @property
    def previous(self) -> Attempt | None:
        """The attempt that finished the step before, None if this peer does not know."""
        return self.legacy.previous

    @property
    def target(self) -> PeerId | None:
        """The target that this peer validates in the current step, None for none."""
        return None if self.machine is None else self.machine.attempt.seats.target

    @property
    def wants_tick(self) -> bool:
        """Whether `tick` wants to be called as soon as all that has arrived is handed over."""
        return self.machine is not None and self.machine.wants_tick

    @property
    def deadline(self) -> float:
        """When `tick` wants to be called at the latest; infinite while there is nothing to wait for."""
        if self.machine is None:
            return math.inf
        deadline = self.machine.deadline
        if self._last is not None:
            deadline = min(deadline, self._last.deadline)
        return deadline if deadline < self._ask_at else self._ask_at

    def begin(self, now: float, roster: Roster, parameters: bytes, candidates: Candidates = NOBODY) -> list[Action]:
        """Begin the step of `roster`, on the training state whose digest is `parameters`."""
        self.roster = roster
        if self._key.peer_id not in roster.members:
            return self._remember([Stopped(roster.step, OutcomeKind.SUSPENDED, "most have waited for it too long")])
        self._adrift = False
        self._ahead, self._ask_at = set(), math.inf
        previous = self.legacy.before(roster.step)
        proves = self._certificate if previous is not None and self._last_certificate else None
        context = StepContext(
            self._rules,
            roster,
            self._key,
            self._behaviour,
            parameters,
            candidates,
            previous,
            self.pace,
            self.legacy.links,
            certificate=proves,
            pledges=self.legacy.pledges,
            debts=self.legacy.debts if previous is not None else NO_DEBTS,
        )
        self.machine = self.machine_type(context, self._pool)
        actions = self._remember(self.machine.start(now))
        actions += self._of_last(now, [])
        early, self._early, self._early_bytes = self._early, {}, 0
        for envelope in (e for envelopes in early.values() for e in envelopes):
            if envelope.step == roster.step:
                actions += self._hear(now, envelope, envelope)
            elif envelope.step > roster.step:
                self._keep_early(envelope, envelope)
        return actions

    def on_message(self, now: float, sender: PeerId, data: bytes | Envelope) -> list[Action]:
        """A control message came from the neighbour `sender`.

        A simulation may decode what many get once, and spare itself the headers' bytes below.
        """
        try:
            heading = data if isinstance(data, Envelope) else Heading.read(data)
        except Malformed:
            return []
        if heading.run != self._rules.run or heading.author != sender or heading.kind not in STEP_KINDS:
            return []
        step = self.roster.step if self.roster is not None else -1
        machine = self.machine
        if machine is not None and heading.step == step and not machine.over:
            return self._hear(now, heading, data)
        if heading.step == self._last_step and sender in self._last_members:
            if heading.kind in SETTLING:
                return self._hear_last(now, heading, data)
            return self._show_certificate(sender) if heading.kind in _LATE else []
        if heading.step == step + 1 or (self._adrift and heading.step > step):
            self._keep_early(heading, data)
        if heading.step == step + 1 and heading.kind is MessageKind.COMMIT:
            self._note_ahead(now, sender)
        return []

    def _hear(self, now: float, heading: Heading | Envelope, data: bytes | Envelope) -> list[Action]:
        """Take in a message of the current step; its signature is looked at only if the rest is of use."""
        machine = self.machine
        assert machine is not None
        if not machine.wants(heading):
            return []
        envelope = genuine(data)
        if envelope is None:
            return []
        actions = machine.on_envelope(now, envelope)
        return self._remember(actions) if actions else actions  # most arrivals only fill a place

    def _hear_last(self, now: float, heading: Heading | Envelope, data: bytes | Envelope) -> list[Action]:
        """Take part in agreeing on the end of a step that this peer has finished, and others have not."""
        last = self._last
        envelope = genuine(data) if last is not None and last.wants(heading) else None
        return [] if last is None or envelope is None else self._of_last(now, last.hear(now, envelope))

    def _of_last(self, now: float, actions: list[Action]) -> list[Action]:
        """Stand as long as the end of the last step is being agreed on: members that have not finished it cannot begin
        this one. Where the others have agreed on another end, this one has no place any more."""
        machine, last = self.machine, self._last
        if machine is not None and any(isinstance(action, Stopped) for action in actions):
            machine.abandon()
        elif machine is not None and last is not None:
            actions += machine.stand(now, still=last.contested)
        return self._remember(actions)

    def abandon(self, reason: str) -> list[Action]:
        """Give up the current step, for a reason that no message of it tells."""
        if self.machine is None or self.machine.over or self.roster is None:
            return []
        self.machine.abandon()
        return self._remember([Stopped(self.roster.step, OutcomeKind.NO_MAJORITY, reason)])

    def _show_certificate(self, asker: PeerId) -> list[Action]:
        """Answer late peers with the certificate of the last step, if it has one."""
        self._shown[asker] += bool(self._last_certificate)
        return [Send((asker,), self._certificate())] if 0 < self._shown[asker] <= _MOST_SHOWN else []

    def _note_ahead(self, now: float, sender: PeerId) -> None:
        """A member has finished the step that this peer is in: what is missing may have been lost with its sender.

        Usually it is only late; after a moment this peer asks for the certificate, before its own silence in the next
        step is held against it.
        """
        if self.roster is not None and self.machine and not self.machine.over and sender in self.roster.members:
            self._ahead.add(sender)
            self._ask_at = min(self._ask_at, now + self._rules.delay_bound_seconds / 4)

    def _ask(self, now: float) -> list[Action]:
        if now < self._ask_at or self.machine is None or self.machine.over or self.roster is None:
            return []
        self._ask_at = math.inf
        ask = Envelope.sign(self._key, run=self._rules.run, step=self.roster.step, kind=MessageKind.ASK, body=b"")
        return [Send(tuple(sorted(self._ahead)), ask.encode())]

    def _keep_early(self, heading: Heading | Envelope, data: bytes | Envelope) -> None:
        """Keep a message of a later step, within bounds; its signature is looked at when that step begins.

        Others may be a step ahead, and a newcomer is spoken to before it has taken over the state. Each author has a
        few places, in which later steps push earlier ones out.
        """
        size, author = heading.size, heading.author
        members = self.roster.members if self.roster else ()
        crowded = len(self._early) >= len(members) + _EARLY_STRANGERS
        if size >= _EARLY_BYTES or (crowded and author not in self._early and author not in members):
            return
        kept = self._early.setdefault(author, [])
        if len(kept) >= _EARLY_MESSAGES and heading.step <= kept[0].step:
            return
        try:
            kept.append(data if isinstance(data, Envelope) else Envelope.parse(data))
        except Malformed:
            return
        kept.sort(key=lambda e: e.step)
        self._early_bytes += size
        while len(kept) > _EARLY_MESSAGES or (kept and self._early_bytes > _EARLY_TOTAL):
            self._early_bytes -= kept.pop(0).size

    def _certificate(self) -> bytes:
        """Return the message that proves the end of the last step, made once."""
        if not self._certified:
            body = Certificate(tuple(envelope.encode() for envelope in self._last_certificate)).encode()
            self._certified = Envelope.sign(
                self._key, run=self._rules.run, step=self._last_step, kind=MessageKind.CERTIFICATE, body=body
            ).encode()
        return self._certified

    def accept_part(self, sender: PeerId, header: bytes | Envelope, length: int) -> memoryview | None:
        """A neighbour announces a payload: return its buffer, or None to refuse it."""
        envelope = self._part_header(header)
        return self.machine.accept_part(sender, envelope, length) if envelope and self.machine else None

    def on_part(self, sender: PeerId, header: bytes | Envelope, digest: bytes) -> bool:
        """An accepted payload with this digest is complete. Returns whether it is not what was announced."""
        envelope = self._part_header(header)
        if envelope is None or self.machine is None:
            return False
        return self.machine.on_part(sender, envelope, digest)

    def on_part_failed(self, now: float, sender: PeerId, header: bytes) -> list[Action]:
        """An accepted payload will not come."""
        envelope = self._part_header(header)
        return self._remember(self.machine.on_part_failed(now, sender, envelope)) if envelope and self.machine else []

    def _part_header(self, header: bytes | Envelope) -> Envelope | None:
        """Return the header of a part of this step, of any author: third peers pass on what did not arrive directly."""
        try:
            envelope = header if isinstance(header, Envelope) else _parse_header(bytes(header))
        except Malformed:
            return None
        ours = envelope.run == self._rules.run and self.roster is not None and envelope.step == self.roster.step
        return envelope if ours and envelope.kind in _PARTS else None

    def tick(self, now: float) -> list[Action]:
        """Time has passed."""
        if self.machine is None:
            return []
        last = self._last
        late = self._of_last(now, last.tick(now)) if last is not None and now >= last.deadline else []
        return [*late, *self._ask(now), *self._remember(self.machine.tick(now))]

    def answer(self, now: float, answer: Answer) -> list[Action]:
        """The answer to an action of this step has come; one to an action of another step or attempt is ignored."""
        if isinstance(answer, TargetExamined) and answer.pledges.owed and answer.step == self._last_step + 1:
            self.legacy.pledges[answer.target] = answer.pledges  # judges must hear of all that a charge may rest on
        return self._remember(self.machine.answer(now, answer)) if self.machine else []

    def _remember(self, actions: list[Action]) -> list[Action]:
        """Keep what a finished step leaves: its certificate, for members that have not finished it, and its last
        attempt, for the validators and the court of the next one."""
        self._ask_at = math.inf if self.machine is not None and self.machine.over else self._ask_at
        for action in actions:
            if isinstance(action, Finished) and self.roster is not None and self.machine is not None:
                self._last = self.machine.aftermath
                self._last_step = action.step
                self._last_members = frozenset(self.roster.members)
                self._last_certificate = action.certificate
                self._certified = b""
                self._shown.clear()
                self._leave_behind(self.machine, action)
            elif isinstance(action, Stopped):
                self._adrift = True
                self._last = None
                self.legacy.forget()
        return self._tampered(actions) if self._tampers else actions

    def _leave_behind(self, machine: StepMachine, result: Finished) -> None:
        """Keep what a step that has finished leaves to the next one."""
        attempt, own = machine.attempt, machine.own
        target = attempt.seats.target
        recomputed = None if target is None else own.vector_of(target)
        failed = _may_have_drawn(machine, result)
        self.legacy.finished(attempt, result.roster, Own(recomputed, own.submitted), failed)

    def commits_of(self, target: PeerId, step: int) -> bytes | None:
        """Return what this peer shows of the commitments of a target of the current step, in failed attempts at `step`,
        the one before; None where it holds none."""
        pledges = self.legacy.pledges.get(target)
        return pledges.encode() if pledges is not None and step == self._last_step else None

    def transcript_of(self, step: int) -> bytes | None:
        """Return 32 bytes over all that was signed in `step`, the one before, where this peer can look back at it."""
        previous = None if self.roster is None else self.legacy.before(self.roster.step)
        return previous.said.transcript() if previous is not None and previous.seats.roster.step == step else None

    def _tampered(self, actions: Sequence[Action]) -> list[Action]:
        """Let a behaviour that wants to change what each receiver is told."""
        result: list[Action] = []
        for action in actions:
            if not isinstance(action, Send):
                result.append(action)
                continue
            envelope = Envelope.decode(action.data)
            sign = partial(self._sign_like, envelope)
            for peer in action.peers:
                changed = self._behaviour.transmit(peer, envelope, sign)
                if changed is None:
                    result.append(Send((peer,), action.data))
                else:
                    result += [Send((peer,), outgoing.data, outgoing.delay) for outgoing in changed]
        return result

    def _sign_like(self, envelope: Envelope, body: bytes) -> Envelope:
        return Envelope.sign(
            self._key, run=envelope.run, step=envelope.step, attempt=envelope.attempt, kind=envelope.kind, body=body
        )

    def tell_at_work(self, roster: Roster) -> list[Action]:
        """Tell the other members of a step that this peer has not begun that it will."""
        return [at_work(self._rules, roster, self._key)]

    def leave(self, reason: LeaveReason) -> list[Action]:
        """Tell the members that this peer is gone from the step that it is in, and from the one before and the next.

        Some may be ahead; others may still agree on the end of a step that this peer has finished.
        """
        if self.roster is None or self.machine is None:
            return []
        others = tuple(sorted(set(self.roster.members) - {self._key.peer_id}))
        body = Leave(reason).encode()
        sign = partial(Envelope.sign, self._key, run=self._rules.run, kind=MessageKind.LEAVE, body=body)
        steps = range(self.roster.step if self._last is None else self._last_step, self.roster.step + 2)
        return [Send(others, sign(step=step).encode()) for step in steps]


def _may_have_drawn(machine: StepMachine, result: Finished) -> list[Attempt]:
    """Return the failed attempts after which r^t may have been known, before the one that finished: of a later one
    those know nothing that had finished before it."""
    settled = (one for number, one in machine.settled.items() if number < result.attempt)
    return [one.attempt for one in settled if one.resolution is not None and one.resolution.redraw]


@lru_cache(maxsize=1024)
def _parse_header(header: bytes) -> Envelope:
    return Envelope.parse(header, limit=MAX_HEADER)
