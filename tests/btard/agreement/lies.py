"""What liars say: each lie is thought up when it arrives, by one that knows what all members hold and have signed.

Places are positions in the order of all members. The alphabet:

`Show`: a statement, with endorsements of it by some liars, and perhaps by all honest voters whose endorsements have
reached a liar. `Mark`: a liar's endorsement of a statement that does not come along. `Echo`: a liar endorses exactly
what one honest member holds, or the one that is told. `Junk`: it endorses as many things as count, which nobody has
said. `Vote`: it votes for what one honest member holds, or the one that is told, in either round. `Prove`: the votes
for what most honest members have voted for, or fewer, with those of all liars. `Certify`: a certificate of the same,
with endorsements of it by some liars. `Want`: it asks for all that is known. `Bye`: a liar says goodbye, to those that
are told alone, and goes on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from btard.agreement.messages import Endorsement, Package, Spoken, Statement, VectorCertificate, VectorVote, VoteRound
from btard.identity import PeerId
from tests.btard.agreement.model import World, endorsement, statement, vote


@dataclass
class Knowledge:
    """What liars know: a world, who of its members lies, whom they tell something now, and how much they have read."""

    world: World
    liars: tuple[PeerId, ...]
    told: int = 0
    read: int = 0

    def __post_init__(self) -> None:
        self._votes: dict[tuple[VoteRound, bytes], dict[PeerId, VectorVote]] = {}
        self._endorsements: dict[Spoken, dict[PeerId, Endorsement]] = {}

    def listen(self) -> None:
        """Take in what has come since."""
        for _, _, package in self.world.heard[self.read :]:
            for one in package.votes:
                self._votes.setdefault((one.round, one.vector), {})[one.voter] = one
            for each in package.endorsements:
                for item in each.items:
                    self._endorsements.setdefault(item, {})[each.voter] = each
        self.read = len(self.world.heard)

    def member(self, place: int) -> PeerId:
        return self.world.terms.members[place]

    def held(self, place: int | None) -> list[Spoken]:
        """Return what an honest member has accepted."""
        return list(self.world.machines[self.member(self.told if place is None else place)]._ledger.accepted)

    def digest(self, place: int | None) -> bytes:
        """Return the digest of what an honest member holds."""
        return self.world.machines[self.member(self.told if place is None else place)]._ledger.own_digest

    def chain(self, item: Spoken, liars: Iterable[int], honest: bool) -> tuple[Endorsement, ...]:
        """Return endorsements of an item: by these liars, and by honest voters that a liar has heard."""
        known = self._endorsements.get(item, {}) if honest else {}
        return (*(endorsement(self.member(liar), [item]) for liar in liars), *known.values())

    def votes(self, rank: int, round_: VoteRound) -> tuple[VectorVote, ...]:
        """Return the votes in a round for what most honest voters have voted for in it, or fewer by `rank`, with those
        of all liars."""
        cast = {vector: votes for (voted, vector), votes in self._votes.items() if voted is round_}
        if len(cast) <= rank:
            return ()
        best = sorted(cast, key=lambda digest: -len(cast[digest]))[rank]
        voters = self.world.terms.voters
        return tuple((cast[best] | {liar: vote(liar, best, round_) for liar in self.liars if liar in voters}).values())

    def certificate(self, rank: int = 0, round_: VoteRound = VoteRound.FIRST) -> VectorCertificate | None:
        """Return a certificate of such votes, if they are enough."""
        votes = self.votes(rank, round_)
        vector = self.world.voted.get(votes[0].vector) if votes else None
        if vector is None or not self.world.terms.certifies(round_, [one.voter for one in votes]):
            return None
        return VectorCertificate(tuple(vector.items()), votes)


@dataclass(frozen=True)
class Show:
    author: int
    body: bytes
    chain: tuple[int, ...] = ()
    honest: bool = False

    def package(self, known: Knowledge) -> Package:
        shown: Statement = statement(known.member(self.author), self.body)
        return Package((shown,), None, known.chain(shown.item, self.chain, self.honest))


@dataclass(frozen=True)
class Mark:
    liar: int
    author: int
    body: bytes

    def package(self, known: Knowledge) -> Package:
        item = statement(known.member(self.author), self.body).item
        return Package(endorsements=(endorsement(known.member(self.liar), [item]),))


@dataclass(frozen=True)
class Echo:
    liar: int
    of: int | None = None

    def package(self, known: Knowledge) -> Package:
        return Package(endorsements=(endorsement(known.member(self.liar), known.held(self.of)),))


@dataclass(frozen=True)
class Junk:
    liar: int

    def package(self, known: Knowledge) -> Package:
        voter = known.member(self.liar)
        count = 2 * len(known.world.terms.members) + 1
        return Package(endorsements=(endorsement(voter, [Spoken(voter, bytes([n]) * 32) for n in range(count)]),))


@dataclass(frozen=True)
class Vote:
    liar: int
    of: int | None = None
    round: VoteRound = VoteRound.FIRST

    def package(self, known: Knowledge) -> Package:
        return Package(votes=(vote(known.member(self.liar), known.digest(self.of), self.round),))


@dataclass(frozen=True)
class Prove:
    rank: int = 0
    round: VoteRound = VoteRound.FIRST

    def package(self, known: Knowledge) -> Package:
        return Package(votes=known.votes(self.rank, self.round))


@dataclass(frozen=True)
class Certify:
    chain: tuple[int, ...] = ()
    rank: int = 0
    round: VoteRound = VoteRound.FIRST

    def package(self, known: Knowledge) -> Package:
        certificate = known.certificate(self.rank, self.round)
        chain = () if certificate is None else known.chain(certificate.item, self.chain, honest=False)
        return Package(certificate=certificate, endorsements=chain)


@dataclass(frozen=True)
class Want:
    def package(self, known: Knowledge) -> Package:
        items = {item: None for machine in known.world.machines.values() for item in machine._ledger.accepted}
        return Package(wanted=tuple(items))


@dataclass(frozen=True)
class Bye:
    liar: int

    def package(self, known: Knowledge) -> Package:
        known.world.goodbyes[known.member(known.told)].add(known.member(self.liar))
        return Package()


Said = Show | Mark | Echo | Junk | Vote | Prove | Certify | Want | Bye


@dataclass(frozen=True)
class Lie:
    """Something that arrives at honest members, at each so many seconds after its windows have begun to count."""

    seconds: float
    receivers: tuple[int, ...]
    said: Said
