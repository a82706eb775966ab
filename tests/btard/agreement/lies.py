"""What liars say: each lie is thought up when it arrives, by one that knows what all members hold and have signed.

Places are positions in the order of all members. The alphabet:

`Show`: a statement, with endorsements of it by some liars, and perhaps by all honest voters whose endorsements have
reached a liar. `Mark`: a liar's endorsement of a statement that does not come along. `Echo`: a liar endorses exactly
what one honest member holds, or the one that is told. `Junk`: it endorses as many things as count, which nobody has
said. `Vote`: it votes for what one honest member holds, or the one that is told. `Certify`: a certificate of what most
honest members have voted for, with endorsements of it by some liars. `Want`: it asks for all that is known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from btard.agreement.messages import Endorsement, Package, Spoken, Statement, VectorCertificate, VectorVote
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
        self._votes: dict[bytes, dict[PeerId, VectorVote]] = {}
        self._endorsements: dict[Spoken, dict[PeerId, Endorsement]] = {}

    def listen(self) -> None:
        """Take in what has come since."""
        for _, _, package in self.world.heard[self.read :]:
            for one in package.votes:
                self._votes.setdefault(one.vector, {})[one.voter] = one
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

    def certificate(self) -> VectorCertificate | None:
        """Return a certificate of what most have voted for, if liars' votes are enough to make it one."""
        if not self._votes:
            return None
        best = max(self._votes, key=lambda digest: len(self._votes[digest]))
        votes = self._votes[best] | {liar: vote(liar, best) for liar in self.liars if liar in self.world.terms.voters}
        return VectorCertificate(tuple(self.world.voted[best].items()), tuple(votes.values()))


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

    def package(self, known: Knowledge) -> Package:
        return Package(votes=(vote(known.member(self.liar), known.digest(self.of)),))


@dataclass(frozen=True)
class Certify:
    chain: tuple[int, ...] = ()

    def package(self, known: Knowledge) -> Package:
        certificate = known.certificate()
        chain = () if certificate is None else known.chain(certificate.item, self.chain, honest=False)
        return Package(certificate=certificate, endorsements=chain)


@dataclass(frozen=True)
class Want:
    def package(self, known: Knowledge) -> Package:
        items = {item: None for machine in known.world.machines.values() for item in machine._ledger.accepted}
        return Package(wanted=tuple(items))


Said = Show | Mark | Echo | Junk | Vote | Certify | Want


@dataclass(frozen=True)
class Lie:
    """Something that arrives at honest members, at each so many seconds after its windows have begun to count."""

    seconds: float
    receivers: tuple[int, ...]
    said: Said
