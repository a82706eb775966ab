"""The roster: members of a step, banned and former peers, and the public randomness that seeds everyone's batch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from btard.hashing import DIGEST_SIZE, tagged_digest
from btard.identity import PeerId
from btard.identity.codec import Malformed, Reader, as_bytes, as_fields, as_int, as_list, ascending
from btard.identity.peer_id import PEER_ID_SIZE
from btard.round.draw import Audit
from btard.vocabulary import MAX_PEERS

ADMISSION_WINDOW = 20
"""Steps in which so many new keys may come in and no more (see `admission`)."""

MAX_FORMER = 128
"""Keys that are remembered after they have left."""

FREE_ABSENCES = 3
"""Times that a member may lose its place, lately, and come back at once."""

ABSENCE_HALVED_AFTER = 100
"""Steps after which half of a peer's absences are forgotten."""

_FIRST_WAIT = 4
"""Steps that the first absence beyond the free ones costs; each further one costs twice as many."""

_MOST_ABSENCES = 32
_MAX_ABSENT = 24
"""Peers whose absences are remembered; of more, those with the fewest are forgotten."""

_FIELDS = 9
"""Of a packed roster without clients."""

_KEY_SIZE = 32
_LAST_STEP = 2**62


@dataclass(frozen=True)
class Absence:
    """How often a peer has lost its place, whatever the reason but a ban.

    Attributes:
        count: of the times until the step `since`; half of them are forgotten after every ABSENCE_HALVED_AFTER steps.
        since: the first step without it, when it lost its place last.
    """

    peer: PeerId
    count: int
    since: int

    def left(self, step: int) -> int:
        """Return how many absences are not forgotten in a step."""
        return self.count >> ((step - self.since) // ABSENCE_HALVED_AFTER)

    @property
    def back_in(self) -> int:
        """The first step in which the peer may be a member again."""
        beyond = self.count - FREE_ABSENCES
        return self.since + (_FIRST_WAIT << (beyond - 1) if beyond > 0 else 0)


@dataclass(frozen=True)
class Roster:
    """The agreed membership of one step.

    Attributes:
        step: the global step.
        members: ascending by id.
        banned: keys that may never be members again.
        randomness: 32 bytes, r^{t-1} of the paper.
        audits: validators that sit this step out, and their targets; ascending by validator.
        probation: (newcomer, first step in which it counts), ascending: its gradients are checked, but not used, and it
            has no vote.
        arrivals: the first steps of the new keys that came in within the last ADMISSION_WINDOW steps, ascending, one
            entry a key.
        former: keys that have been members beyond their probation and are so no more, nor banned: a returning one is
            not new. In the order in which they lost their place, the latest last; of more than MAX_FORMER the earliest
            are forgotten.
        absences: of peers that have lost their place lately, ascending by peer.
        clients: the members that own no part and have no vote, as long as they stay (see `admission`), ascending.
    """

    step: int
    members: tuple[PeerId, ...]
    banned: frozenset[PeerId]
    randomness: bytes
    audits: tuple[Audit, ...] = ()
    probation: tuple[tuple[PeerId, int], ...] = ()
    arrivals: tuple[int, ...] = ()
    former: tuple[PeerId, ...] = ()
    absences: tuple[Absence, ...] = ()
    clients: tuple[PeerId, ...] = ()

    @cached_property
    def digest(self) -> bytes:
        """32 bytes that name this roster."""
        return tagged_digest(
            "btard roster",
            self.step.to_bytes(8, "big"),
            self.randomness,
            b"".join(self.members),
            b"".join(sorted(self.banned)),
            b"".join(audit.validator + audit.target for audit in self.audits),
            b"".join(peer + until.to_bytes(8, "big") for peer, until in self.probation),
            b"".join(step.to_bytes(8, "big") for step in self.arrivals),
            b"".join(self.former),
            b"".join(a.peer + a.count.to_bytes(1, "big") + a.since.to_bytes(8, "big") for a in self.absences),
            *([b"".join(self.clients)] if self.clients else []),
        )

    @cached_property
    def newcomers(self) -> frozenset[PeerId]:
        """The members on probation."""
        return frozenset(peer for peer, _ in self.probation)

    @cached_property
    def voters(self) -> frozenset[PeerId]:
        """The members whose word counts."""
        return self.established.difference(self.clients)

    @cached_property
    def established(self) -> frozenset[PeerId]:
        """The members whose gradients count: all that are not on probation."""
        return frozenset(self.members) - self.newcomers

    @cached_property
    def validators(self) -> dict[PeerId, PeerId]:
        """The target of each validator."""
        return {audit.validator: audit.target for audit in self.audits}

    def kept_out(self, step: int) -> frozenset[PeerId]:
        """Return the peers that have lost their place too often lately to be members of a step."""
        return frozenset(absence.peer for absence in self.absences if absence.back_in > step)

    def is_majority(self, peers: Iterable[PeerId]) -> bool:
        """Whether these peers are more than half of the members that have a vote."""
        return 2 * len(self.voters.intersection(peers)) > len(self.voters)

    def batch_seed(self, peer: PeerId) -> bytes:
        """Return the 32-byte public seed of a peer's batch in this step: xi_i = H(r^{t-1} || i), paper section 3."""
        return tagged_digest("btard batch", self.randomness, peer)

    def successor(
        self,
        members: Iterable[PeerId],
        joined: Iterable[PeerId],
        banned: Iterable[PeerId],
        *,
        randomness: bytes,
        audits: tuple[Audit, ...] = (),
        probation_steps: int = 0,
        clients: Iterable[PeerId] = (),
    ) -> Roster:
        """Return the roster of the next step: all that finished this one or are admitted, less the banned ones.

        Args:
            members: of the attempt that finished.
            joined: admitted peers; how many may be, `admission` decides.
            banned: in this step.
            randomness: r^t.
            audits: of the next step.
            probation_steps: how long joining peers have no vote.
            clients: those of the joining peers that own no part and never vote.
        """
        step = self.step + 1
        all_banned = self.banned | frozenset(banned)
        stayed = set(members)
        fresh = set(joined) - stayed
        following = tuple(sorted((stayed | fresh) - all_banned))
        until = {peer: first for peer, first in self.probation if peer in stayed and first > step}
        if probation_steps:
            until |= dict.fromkeys(fresh, step + probation_steps)
        probation = tuple((peer, until[peer]) for peer in following if peer in until)
        new = fresh - all_banned - set(self.former)
        arrivals = (*(first for first in self.arrivals if first > step - ADMISSION_WINDOW), *[step] * len(new))
        established = set(following) - until.keys()
        lost = (*self.former, *sorted(self.established - established))
        former = tuple(peer for peer in lost if peer not in established and peer not in all_banned)[-MAX_FORMER:]
        without = sorted((stayed.intersection(self.clients) | fresh.intersection(clients)).intersection(following))
        absences = self._absences_after(set(self.members) - set(following), all_banned)
        return Roster(
            step, following, all_banned, randomness, audits, probation, arrivals, former, absences, tuple(without)
        )

    def _absences_after(self, lost: set[PeerId], banned: frozenset[PeerId]) -> tuple[Absence, ...]:
        step = self.step + 1
        known = {absence.peer: absence for absence in self.absences if absence.left(step)}
        for peer in lost:
            before = known[peer].left(step) if peer in known else 0
            known[peer] = Absence(peer, min(before + 1, _MOST_ABSENCES), step)
        held = sorted((a for a in known.values() if a.peer not in banned), key=lambda a: (-a.left(step), a.peer))
        return tuple(sorted(held[:_MAX_ABSENT], key=lambda absence: absence.peer))

    def pack(self) -> list[object]:
        """Return the fields for the codec. Peers are written as their keys, without the prefix that all ids have."""
        audits = _pack_keys(peer for audit in self.audits for peer in (audit.validator, audit.target))
        return [
            self.step,
            _pack_keys(self.members),
            _pack_keys(sorted(self.banned)),
            self.randomness,
            audits,
            [_pack_keys(peer for peer, _ in self.probation), [until for _, until in self.probation]],
            list(self.arrivals),
            _pack_keys(self.former),
            [
                _pack_keys(absence.peer for absence in self.absences),
                [absence.count for absence in self.absences],
                [absence.since for absence in self.absences],
            ],
            *([_pack_keys(self.clients)] if self.clients else []),
        ]

    @classmethod
    def unpack(cls, value: object) -> Roster:
        """Read `pack`'s fields; raises Malformed."""
        fields = as_list(value, most=_FIELDS + 1)
        step, members, banned, randomness, audits, probation, arrivals, former, absences = as_fields(
            fields[:_FIELDS], 9
        )
        step = as_int(step, 0, _LAST_STEP)
        pairs = _keys(audits, most=2 * MAX_PEERS)
        if len(pairs) % 2:
            raise Malformed("a validator without a target")
        newcomers, untils = as_fields(probation, 2)
        trials = [as_int(until, 0, _LAST_STEP) for until in as_list(untils, most=MAX_PEERS)]
        on_trial = _key_set(newcomers)
        if len(on_trial) != len(trials):
            raise Malformed("not one end of probation a newcomer")
        first = [as_int(item, 0, step) for item in as_list(arrivals, most=MAX_PEERS)]
        if sorted(first) != first or (first and first[0] <= step - ADMISSION_WINDOW):
            raise Malformed("arrivals are not those of the last steps, ascending")
        roster = cls(
            step,
            _key_set(members),
            frozenset(_key_set(banned)),
            as_bytes(randomness, DIGEST_SIZE),
            tuple(Audit(v, t) for v, t in zip(_ascending(pairs[::2]), pairs[1::2], strict=True)),
            tuple(zip(on_trial, trials, strict=True)),
            tuple(first),
            tuple(_keys(former, most=MAX_FORMER)),
            _absences(absences, step),
            _clients(fields[_FIELDS:]),
        )
        if not set(roster.clients) <= set(roster.members):
            raise Malformed("a client that is no member")
        remembered = set(roster.former)
        if len(remembered) != len(roster.former) or not remembered.isdisjoint(roster.established | roster.banned):
            raise Malformed("a former member twice, or one that counts or is banned")
        return roster


def _clients(rest: list[object]) -> tuple[PeerId, ...]:
    """Read the clients of a roster that has any: without, there is no such field."""
    clients = _key_set(rest[0]) if rest else ()
    if rest and not clients:
        raise Malformed("an empty list of clients")
    return clients


def _absences(value: object, step: int) -> tuple[Absence, ...]:
    packed, counts, since = as_fields(value, 3)
    peers = _ascending(_keys(packed, most=_MAX_ABSENT))
    times = [as_int(item, 1, _MOST_ABSENCES) for item in as_list(counts, most=_MAX_ABSENT)]
    steps = [as_int(item, 0, step) for item in as_list(since, most=_MAX_ABSENT)]
    if not len(peers) == len(times) == len(steps):
        raise Malformed("not one number and one step an absent peer")
    return tuple(map(Absence, peers, times, steps))


def _pack_keys(peers: Iterable[PeerId]) -> bytes:
    return b"".join(peer.public_key for peer in peers)


def _keys(value: object, *, most: int) -> list[PeerId]:
    data = as_bytes(value, most=most * _KEY_SIZE)
    if len(data) % _KEY_SIZE:
        raise Malformed("not whole keys")
    return [PeerId.from_public_key(data[start : start + _KEY_SIZE]) for start in range(0, len(data), _KEY_SIZE)]


def _key_set(value: object) -> tuple[PeerId, ...]:
    return _ascending(_keys(value, most=MAX_PEERS))


def _ascending(peers: list[PeerId]) -> tuple[PeerId, ...]:
    if not ascending(peers):
        raise Malformed("peer ids are not ascending")
    return tuple(peers)


def first_randomness(seed: int, step: int) -> bytes:
    """Return r of the first roster of a run that starts at `step`."""
    return tagged_digest("btard first randomness", seed.to_bytes(8, "big"), step.to_bytes(8, "big"))


def peer_id(value: object) -> PeerId:
    """Read a peer id; raises Malformed."""
    try:
        return PeerId.of(as_bytes(value))
    except ValueError as error:
        raise Malformed(str(error)) from None


def peer_set(value: object) -> tuple[PeerId, ...]:
    """Read a strictly ascending list of at most MAX_PEERS peer ids; raises Malformed."""
    return _ascending([peer_id(item) for item in as_list(value, most=MAX_PEERS)])


def read_peer(fields: Reader) -> PeerId:
    """Read a peer id; raises Malformed."""
    return peer_id(fields.blob(PEER_ID_SIZE))


def read_peers(fields: Reader, *, most: int = MAX_PEERS) -> tuple[PeerId, ...]:
    """Read a strictly ascending list of at most `most` peer ids; raises Malformed."""
    try:
        return _ascending(list(map(PeerId.of, fields.blobs(PEER_ID_SIZE, most=most))))
    except ValueError as error:
        raise Malformed(str(error)) from None
