"""What must hold after every step of every run, whatever attackers do.

I1  Honest peers that have finished a step hold the same x^t, aggregate and next roster, and have banned the same peers
    in it, what they took back not counted. What for may differ where one peer gives several reasons at once; each must
    be proven (I3).
I2  No honest peer is banned, but for disputes under `mutual`, and then a Byzantine one goes with it.
I3  The evidence of every ban, written and read again, convinces a peer that was not there.
I4  Once all attackers are out, no attempt fails any more.
I5  The share of Byzantine members never rises by the protocol's own decisions.
I6  No exception leaves a peer, and what it keeps stays within bounds.
I7  As long as honest members are the majority and none is held up, they finish every step.
I8  Of keys that never had a vote at most max(1, 5 %) come in within any 20 steps, and nobody that is banned.
I9  An attempt that fails costs a Byzantine peer its place, and no honest one, unless an honest one has said goodbye.

I4, I5, I7 and I9, and in I2 the Byzantine companion, presuppose what the protocol does: that messages between honest
peers arrive within the bound on delay. So they are checked only where nothing is lost or cut.
"""

from __future__ import annotations

from btard.hashing import digest
from btard.identity import Malformed, PeerId
from btard.lab.simulation.peer import Event, LabPeer
from btard.lab.simulation.simulation import Simulation
from btard.round.actions import Finished, OutcomeKind, Stopped, Verdict, Voided
from btard.round.evidence.evidence import Offence
from btard.round.evidence.file import from_json, to_json
from btard.round.proof import Unproven, verify
from btard.round.roster import Roster
from btard.tensors import bytes_of
from btard.vocabulary import Eliminate

_KINDS = 16
_EARLY_TOTAL = 33 << 20
_WINDOW, _ONE_IN = 20, 20
_REMEMBERED = 8
"""Steps that the slowest honest peer may lie behind the fastest and still be compared with it."""

Log = frozenset[PeerId]
"""The peers banned in a step."""


class Violation(AssertionError):
    """Something does not hold that must; the message names the invariant, the seed, and the command that repeats it."""

    def __init__(self, invariant: str, words: str, simulation: Simulation) -> None:
        self.invariant = invariant
        self.words = words
        self.command = simulation.settings.command
        super().__init__(f"{invariant}: {words}; seed {simulation.settings.seed}; repeat it by: {self.command}")


class Invariants:
    """Watches a simulation. Give it to `watch` before the run."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._first: dict[int, tuple[bytes, bytes, Roster, Log]] = {}
        self._logs: dict[PeerId, Log] = {}
        self._rosters: dict[int, Roster] = {0: simulation.genesis}
        self._verified: set[bytes] = set()
        self._counted: set[PeerId] = set(simulation.genesis.established)
        self._new: list[int] = []
        self._newest = simulation.genesis.step
        self.checks = 0

    def happened(self, peer: LabPeer, event: Event) -> None:
        """Check what has happened to a peer; raises Violation."""
        self._check_bounds(peer)
        if not peer.honest:
            return
        if isinstance(event, Voided):
            self._check_void(peer, event)
        elif isinstance(event, Finished):
            self._check_finished(peer, event)
        else:
            self._check_stopped(peer, event)

    def moved(self, peer: LabPeer, result: Finished) -> None:
        """Nothing more: x^{t+1} follows from x^t and the aggregate, which `happened` compares."""

    def _fail(self, invariant: str, words: str) -> None:
        raise Violation(invariant, words, self._simulation)

    def _honest(self, peer: PeerId) -> bool:
        return self._simulation.chronicle.peers[peer].honest

    def _number(self, peer: PeerId) -> int:
        return self._simulation.chronicle.peers[peer].number

    def _check_finished(self, peer: LabPeer, result: Finished) -> None:
        self.checks += 1
        log = self._logs.pop(peer.peer_id, frozenset())
        state = digest(bytes_of(peer.parameters))
        found = (state, digest(result.flat), result.roster, log)
        first = self._first.setdefault(result.step, found)
        for name, mine, theirs in zip(("states", "aggregates", "rosters", "bans"), found, first, strict=True):
            if mine != theirs:
                self._fail("I1", f"two {name} in step {result.step}, one of them peer {peer.number}'s")
        for old in [step for step in self._first if step < result.step - _REMEMBERED]:
            del self._first[old]
            self._rosters.pop(old, None)
        self._rosters[result.roster.step] = result.roster
        before = self._rosters.get(result.step)
        if before is not None and result.roster.step > self._newest:
            self._newest = result.roster.step
            self._check_admitted(before, result.roster)
        if before is not None and self._simulation.settings.reliable:
            self._check_share(before, result.roster)

    def _check_admitted(self, before: Roster, after: Roster) -> None:
        """Count anew the peers that came in, from the memberships alone."""
        joined = set(after.members).difference(before.members)
        if not joined.isdisjoint(before.banned):
            self._fail("I8", f"somebody that is banned is a member in step {after.step}")
        new = joined - self._counted
        self._new += [after.step] * len(new)
        self._counted |= after.established
        recent = sum(step > after.step - _WINDOW for step in self._new)
        if new and recent > max(1, len(before.members) // _ONE_IN):
            self._fail("I8", f"{recent} beside {len(before.members)} members within {_WINDOW} steps, by {after.step}")

    def _check_share(self, before: Roster, after: Roster) -> None:
        """Joining is no decision against anybody, so only those that were there before are counted."""
        stayed = [member for member in after.members if member in set(before.members)]
        old = sum(not self._honest(member) for member in before.members)
        new = sum(not self._honest(member) for member in stayed)
        if stayed and new * len(before.members) > old * len(stayed):
            self._fail(
                "I5",
                f"step {before.step} began with {old} Byzantine of {len(before.members)} and ended with {new} of "
                f"{len(stayed)}",
            )

    def _check_void(self, peer: LabPeer, event: Voided) -> None:
        log = self._logs.get(peer.peer_id, frozenset())
        self._logs[peer.peer_id] = log.union(verdict.peer for verdict in event.verdicts)
        for verdict in event.verdicts:
            self._check_ban(event, verdict)
            self._check_evidence(peer, event, verdict)
        roster = peer.session.roster
        if roster is None or not self._simulation.settings.reliable:
            return
        if all(self._honest(member) for member in roster.members):
            reasons = [f"peer {self._number(who)} {why}" for who, why in event.suspended]
            self._fail(
                "I4", f"step {event.step} failed among honest peers: {', '.join(reasons) or 'nobody is left out'}"
            )

        if self._simulation.settings.eliminate is not Eliminate.MUTUAL:
            self._check_price(event)

    def _check_price(self, event: Voided) -> None:
        suspended = dict(event.suspended)
        if any(self._honest(peer) for peer in event.left):
            return
        for peer, why in suspended.items():
            if self._honest(peer):
                self._fail("I9", f"the honest peer {self._number(peer)} is out in step {event.step}: {why}")
        out = {*suspended, *event.left, *(verdict.peer for verdict in event.verdicts)}
        if not out:
            self._fail("I9", f"attempt {event.attempt} at step {event.step} has failed and costs nobody its place")

    def _check_ban(self, event: Voided, verdict: Verdict) -> None:
        if not self._honest(verdict.peer):
            return
        offence = verdict.evidence.offence
        mutual = self._simulation.settings.eliminate is Eliminate.MUTUAL and offence is Offence.ELIMINATED
        company = any(not self._honest(other.peer) for other in event.verdicts)
        if not mutual or (self._simulation.settings.reliable and not company):
            self._fail("I2", f"in step {event.step} the honest peer {self._number(verdict.peer)} is banned: {offence}")

    def _check_evidence(self, peer: LabPeer, event: Voided, verdict: Verdict) -> None:
        if verdict.evidence.offence is Offence.ELIMINATED:
            return  # the paper's rule, which proves no lie
        data = to_json(verdict.evidence)
        name = digest(data)
        if name in self._verified:
            return
        self._verified.add(name)
        try:
            verify(from_json(data))
        except (Unproven, Malformed) as error:
            offence = verdict.evidence.offence.name
            self._fail(
                "I3",
                f"peer {peer.number}'s evidence of {offence} by peer {self._number(verdict.peer)} in step {event.step} "
                f"proves nothing: {error}",
            )

    def _check_stopped(self, peer: LabPeer, event: Stopped) -> None:
        self._logs.pop(peer.peer_id, None)
        if event.kind is OutcomeKind.BANNED:
            mutual = self._simulation.settings.eliminate is Eliminate.MUTUAL
            if not mutual:
                self._fail("I2", f"in step {event.step} the honest peer {peer.number} learns that it is banned")
        if event.kind is OutcomeKind.OUT_OF_SYNC and self._simulation.settings.reliable:
            self._fail("I1", f"in step {event.step} the honest peer {peer.number} holds another state than the others")

    def _check_bounds(self, peer: LabPeer) -> None:
        session, machine = peer.session, peer.session.machine
        if machine is None:
            return
        attempt, members = machine.attempt, len(machine.attempt.seats.members)
        audited = members * attempt.seats.auditors  # rows, each of which may be asked of everybody
        asked_of_all = 2 * members + audited  # the rows of this peer's part, and all aggregates
        asked_of_author = members * len(attempt.seats.owners)  # rows that others miss, to pass them on
        requests = asked_of_all * members + asked_of_author
        kept = {
            "messages": (len(attempt.said.signed), _KINDS * members),
            "rows": (len(attempt.carried.rows), 2 * members + members * len(attempt.seats.owners)),
            "headers": (len(attempt.said.headers), 2 * members + members * len(attempt.seats.owners)),
            "payloads on their way": (len(attempt.carried.in_flight), requests + 2 * members),
            "requests": (len(attempt.carried.pulled), requests),
            "messages of the next attempt": (len(machine._intake._future), _KINDS * members),
            "early bytes": (session._early_bytes, _EARLY_TOTAL),
        }
        for what, (count, most) in kept.items():
            if count > most:
                self._fail("I6", f"peer {peer.number} keeps {count} {what} among {members} members")

    def finish(self) -> None:
        """Check what can only be said at the end."""
        settings, simulation = self._simulation.settings, self._simulation
        done = simulation.chronicle.finished + 1
        if settings.reliable and done < settings.steps and not self._lost_majority():
            stops = sorted({(step, why) for _, step, why in simulation.chronicle.stops})
            self._fail("I7", f"only {done} of {settings.steps} steps are done: {stops[-3:]}")

    def _lost_majority(self) -> bool:
        """Whether disputes have left no majority of a step's members, or too few for the rule, which is where the
        protocol stops on purpose."""
        return any(
            "more than half must agree" in why or "cannot aggregate" in why
            for _, _, why in self._simulation.chronicle.stops
        )


def watch(simulation: Simulation) -> Invariants:
    """Let a simulation be checked after every step."""
    invariants = Invariants(simulation)
    simulation.listeners.append(invariants)
    return invariants


def run_checked(simulation: Simulation) -> Invariants:
    """Run a simulation to its end; raises Violation.

    An exception that leaves a peer is a violation, too.
    """
    invariants = watch(simulation)
    try:
        simulation.run()
    except Violation:
        raise
    except Exception as error:
        raise Violation("I6", f"{type(error).__name__} left a peer: {error}", simulation) from error
    invariants.finish()
    return invariants
