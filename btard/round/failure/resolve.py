"""What follows from reports and votes: bans, suspensions, the members that go on.

`resolve` is a pure function of the reports and votes that the members have agreed on, so all decide alike.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from btard.identity import Envelope, MessageKind, PeerId
from btard.round.attempt.attempt import Attempt
from btard.round.evidence.evidence import Offence
from btard.round.failure.disputes import Disputes
from btard.round.failure.overdue import proves_delay
from btard.round.failure.stories import told_otherwise
from btard.round.messages.accusations import Charge, ChargeKind, Opinion, Report, Vote
from btard.round.messages.attachments import ECHOED
from btard.round.messages.bodies import Commit, Leave, LeaveReason, PartHeader, Phase, contradict
from btard.round.phases.reveal import is_false_reveal


@dataclass(frozen=True)
class Ban:
    """A decision to ban, with the messages that it rests on.

    Attributes:
        charge: the accusation that the court decided, if one did, and `accuser` whose it was.
    """

    peer: PeerId
    offence: Offence
    envelopes: tuple[Envelope, ...]
    charge: Charge | None = None
    accuser: PeerId | None = None


@dataclass(frozen=True)
class Resolution:
    """The members that go on, and why the others do not.

    Attributes:
        redraw: most members had revealed their shares, so r^t may be known: the next draw has one validator more.
        judged: charges that the court has seen; none of them is heard again in this step.
    """

    members: tuple[PeerId, ...]
    suspended: tuple[tuple[PeerId, str], ...]
    bans: tuple[Ban, ...]
    left: tuple[PeerId, ...]
    redraw: bool
    judged: frozenset[tuple[PeerId, Charge]]


@dataclass
class Testimony:
    """What has been said about a failed attempt.

    Attributes:
        reports: one an author, decoded and signed.
        attached: the signed messages of this attempt that each author's report carries, contradicting reports included.
        charges: those that the court has heard, by accuser.
        votes: one a voter, decoded and signed.
        banned: by earlier attempts at the step.
    """

    reports: Mapping[PeerId, Report]
    signed: Mapping[PeerId, Envelope]
    attached: Mapping[PeerId, Sequence[Envelope]]
    charges: Mapping[PeerId, Charge] = field(default_factory=dict)
    votes: Mapping[PeerId, tuple[Envelope, Vote]] = field(default_factory=dict)
    banned: frozenset[PeerId] = frozenset()


def resolve(attempt: Attempt, testimony: Testimony) -> Resolution:
    """Decide the next attempt's members.

    Charges about an attempt in which somebody told different peers different things are dropped: honest peers computed
    on different numbers, and the attempt is repeated without the one that did it.

    In this order: proofs and verdicts of the court ban; a peer that left or reports nothing is out; one that is late
    for more than half of the voters, or else complains of one that is not, is out (`Disputes`).
    """
    seats = attempt.seats
    reports, attached, voters = testimony.reports, testimony.attached, seats.voters
    proven = convict(attempt, (envelope for envelopes in attached.values() for envelope in envelopes))
    misled = tells_two_stories(attached)
    unlike = _told_otherwise(attempt, testimony)
    judged = [
        ban
        for ban in _judgements(attempt, testimony)
        if (ban.charge is not None and ban.charge.kind.about_last_step) or not (misled or ban.accuser in unlike)
    ]
    bans = {ban.peer: ban for ban in [*judged, *proven]}
    left = leavers(envelope for envelopes in attached.values() for envelope in envelopes)
    suspended: dict[PeerId, str] = {}

    def remaining() -> list[PeerId]:
        return [peer for peer in seats.members if not (peer in bans or peer in left or peer in suspended)]

    for peer in remaining():
        why = _own_fault(attempt, testimony, peer, misled=misled or peer in unlike)
        if why is not None:
            suspended[peer] = why

    for peer, authors in unlike.items():
        # Where most were told the same as the accuser, its list is true, and the other version a liar's.
        for blamed in authors if _is_believed(attempt, testimony, peer) else {peer}:
            if blamed in remaining() and authors.isdisjoint(bans):
                suspended[blamed] = "stands behind another version of what it was told, or told"
    for accuser, charge in testimony.charges.items():
        guilty = seats.is_majority(len(_votes(attempt, testimony, accuser, Opinion.GUILTY)))
        own = testimony.charges.get(charge.accused)
        excused = own is not None and (own.kind, own.part) == (ChargeKind.FALSE_SCALARS, charge.part)
        silent = _had_no_say(attempt, testimony, charge) and not excused
        if not guilty or charge.accused not in remaining() or (misled and not charge.kind.about_last_step):
            continue
        if charge.kind is ChargeKind.WITHHELD:
            suspended[charge.accused] = "did not show what its vector was built on, or the vector"
        elif silent:
            suspended[charge.accused] = "the products around its aggregate do not add up, and it has not said why"
        elif charge.kind is ChargeKind.NO_OPENING:
            suspended[charge.accused] = "did not open what it had to recompute"

    disputes = Disputes(attempt, testimony.reports, attached, set(remaining()))
    disputes.decide(proven=bool(bans))
    suspended |= disputes.suspended
    for accuser, accused in disputes.pairs:
        pair = tuple(testimony.signed[peer] for peer in (accuser, accused) if peer in testimony.signed)
        for peer in (accuser, accused):
            bans.setdefault(peer, Ban(peer, Offence.ELIMINATED, pair))
    members = tuple(remaining())
    return Resolution(
        members=members,
        suspended=tuple(sorted((peer, why) for peer, why in suspended.items() if peer not in bans)),
        bans=tuple(bans[peer] for peer in sorted(bans)),
        left=tuple(sorted(left - bans.keys())),
        redraw=seats.is_majority(sum(reports[peer].phase >= Phase.REVEAL for peer in voters & reports.keys())),
        judged=frozenset() if misled else frozenset(testimony.charges.items()),
    )


def _own_fault(attempt: Attempt, testimony: Testimony, peer: PeerId, *, misled: bool) -> str | None:
    """Return why a peer is out by what it has done in this failure, or left undone."""
    report, attached = testimony.reports.get(peer), testimony.attached.get(peer, ())
    if report is None:
        return "did not answer"
    proves = is_proof(attempt, attached)
    if not report.reaction and not gives_reason(attempt, peer, report, testimony.charges, proves=proves):
        return "gave up without a reason"
    if testimony.charges and peer in attempt.seats.voters and peer not in testimony.votes:
        return "did not judge"
    if peer in testimony.charges and _falls(attempt, testimony, peer, misled=misled):
        return "convinced too few of its accusation"
    return None


def tells_two_stories(attached: Mapping[PeerId, Sequence[Envelope]]) -> bool:
    """Whether somebody is shown to have broadcast two versions of a message that others compute on."""
    first: dict[tuple[MessageKind, PeerId, int], Envelope] = {}
    echoed = (envelope for envelopes in attached.values() for envelope in envelopes if envelope.kind in ECHOED)
    return any(contradict(first.setdefault((e.kind, e.author, e.attempt), e), e) for e in echoed)


def gives_reason(
    attempt: Attempt, author: PeerId, report: Report, charges: Mapping[PeerId, Charge], *, proves: bool
) -> bool:
    """Whether a report misses something of another member, accuses one, or `proves` something by what it attaches; or
    proves that most wait for one."""
    return (
        proves
        or proves_delay(attempt, report)
        or author in charges
        or any(peer in attempt.seats.known and peer != author for peer, _ in report.complaints)
    )


def is_proof(attempt: Attempt, attached: Sequence[Envelope]) -> bool:
    """Whether messages that a report attaches convict somebody, or say goodbye."""
    return bool(leavers(attached)) or bool(convict(attempt, attached))


def leavers(envelopes: Iterable[Envelope]) -> set[PeerId]:
    """Return the authors of goodbyes."""
    return {envelope.author for envelope in envelopes if envelope.kind is MessageKind.LEAVE}


OFFENCES = {
    ChargeKind.FALSE_SCALARS: Offence.FALSE_SCALARS,
    ChargeKind.NOT_FINITE: Offence.NOT_FINITE,
    ChargeKind.TOO_LONG: Offence.TOO_LONG,
    ChargeKind.WRONG_SUM: Offence.WRONG_SUM,
    ChargeKind.WRONG_AGGREGATE: Offence.WRONG_AGGREGATE,
    ChargeKind.GRADIENT: Offence.GRADIENT,
    ChargeKind.FALSE_OPENING: Offence.FALSE_OPENING,
}
"""What a charge convicts of; silence is no offence, and has none."""


def _judgements(attempt: Attempt, testimony: Testimony) -> list[Ban]:
    """Return the bans that a majority of votes decides, also of peers that lied in the step before and have left."""
    seats = attempt.seats
    bans: list[Ban] = []
    for accuser, charge in testimony.charges.items():
        signed = (testimony.signed[accuser],)
        offence = OFFENCES.get(charge.kind)
        guilty = [] if offence is None else _condemning(attempt, testimony, accuser, offence, charge.accused)
        innocent = _condemning(attempt, testimony, accuser, Offence.FALSE_ACCUSATION, accuser)
        if offence and seats.is_majority(len(guilty)) and not _had_no_say(attempt, testimony, charge):
            vouched = (testimony.signed[charge.accused],) if offence is Offence.WRONG_SUM else ()
            bans.append(Ban(charge.accused, offence, signed + tuple(guilty) + vouched, charge, accuser))
        if seats.is_majority(len(innocent)):
            bans.append(Ban(accuser, Offence.FALSE_ACCUSATION, signed + tuple(innocent), charge, accuser))
        named = {peer for _, vote in testimony.votes.values() for ballot in vote.ballots for peer in ballot.accomplices}
        for accomplice in sorted(named.intersection(seats.roster.members) - testimony.banned):
            votes = _condemning(attempt, testimony, accuser, Offence.COVER_UP, accomplice)
            if seats.is_majority(len(votes)):
                bans.append(Ban(accomplice, Offence.COVER_UP, signed + tuple(votes), charge, accuser))
    return bans


def condemns(vote: Vote, offence: Offence, accused: PeerId, accuser: PeerId, charge: Charge) -> bool:
    """Whether a vote is one for banning `accused` for this offence, going by its ballot on a charge: what the court
    counts, and what evidence has to show."""
    ballot = next((b for b in vote.ballots if (b.accuser, b.charge) == (accuser, charge)), None)
    if ballot is None:
        return False
    guilty = ballot.opinion is Opinion.GUILTY
    match offence:
        case Offence.FALSE_ACCUSATION:
            # That a target has shown something, no stranger can see: it costs a place, as silence does.
            blamed = accused == accuser and charge.kind is not ChargeKind.WITHHELD
            return blamed and ballot.opinion is Opinion.INNOCENT
        case Offence.COVER_UP:
            return guilty and accused in ballot.accomplices
        case Offence.WRONG_SUM if _excuses(vote, charge):
            return False
    return guilty and accused == charge.accused and OFFENCES.get(charge.kind) is offence


def _excuses(vote: Vote, charge: Charge) -> bool:
    """Whether a vote upholds that somebody else's product spoilt the sum, as its owner says."""
    return any(
        (b.accuser, b.charge.kind, b.charge.part) == (charge.accused, ChargeKind.FALSE_SCALARS, charge.part)
        and b.opinion is Opinion.GUILTY
        for b in vote.ballots
    )


def _told_otherwise(attempt: Attempt, testimony: Testimony) -> dict[PeerId, set[PeerId]]:
    """Return the members that say that they were told something of which another version has been shown, and whose
    messages those are."""
    shown = [envelope for envelopes in testimony.attached.values() for envelope in envelopes]
    lists = {author: report.told for author, report in testimony.reports.items() if report.told}
    found = {author: told_otherwise(attempt, told, shown) for author, told in lists.items()}
    return {author: authors for author, authors in found.items() if authors}


def _is_believed(attempt: Attempt, testimony: Testimony, accuser: PeerId) -> bool:
    """Whether most voters were told what an accuser says that it was told."""
    alike = (voter for voter, (_, vote) in testimony.votes.items() if accuser in vote.alike)
    return attempt.seats.is_majority(len(attempt.seats.voters.intersection(alike)))


def _condemning(
    attempt: Attempt, testimony: Testimony, accuser: PeerId, offence: Offence, accused: PeerId
) -> list[Envelope]:
    charge = testimony.charges[accuser]
    return [
        envelope
        for voter, (envelope, vote) in sorted(testimony.votes.items())
        if voter in attempt.seats.voters and condemns(vote, offence, accused, accuser, charge)
    ]


def _votes(attempt: Attempt, testimony: Testimony, accuser: PeerId, opinion: Opinion) -> list[Envelope]:
    charge = testimony.charges[accuser]
    return [
        envelope
        for voter, (envelope, vote) in sorted(testimony.votes.items())
        if voter in attempt.seats.voters
        and any(b.accuser == accuser and b.charge == charge and b.opinion is opinion for b in vote.ballots)
    ]


def _had_no_say(attempt: Attempt, testimony: Testimony, charge: Charge) -> bool:
    """Whether the owner of a sum that is off may not have seen all numbers of its column, which others may have
    spoilt. Silence is no proof."""
    report = testimony.reports.get(charge.accused)
    return charge.kind is ChargeKind.WRONG_SUM and (report is None or not vouches(report, attempt.seats.members))


def vouches(report: Report, members: tuple[PeerId, ...]) -> bool:
    """Whether a report says that its author has gone beyond measuring in the attempt of these members: so it has seen
    and accepted all numbers of its column."""
    return report.phase > Phase.MEASURE and report.members == members


def _falls(attempt: Attempt, testimony: Testimony, accuser: PeerId, *, misled: bool) -> bool:
    """Whether an accusation is one that an honest peer does not raise: that would convince all honest judges, which are
    a majority."""
    charge = testimony.charges[accuser]
    if misled and not charge.kind.about_last_step:
        return False
    return not attempt.seats.is_majority(len(_votes(attempt, testimony, accuser, Opinion.GUILTY)))


def convict(attempt: Attempt, envelopes: Iterable[Envelope]) -> tuple[Ban, ...]:
    """Return the bans that signed messages of one attempt prove by themselves, at most one a peer, in roster order."""
    by_author: dict[PeerId, dict[tuple[MessageKind, int], Envelope]] = defaultdict(dict)
    bans: dict[PeerId, Ban] = {}

    def ban(offence: Offence, *proof: Envelope) -> None:
        bans.setdefault(proof[0].author, Ban(proof[0].author, offence, proof))

    for envelope in sorted(set(envelopes), key=lambda e: e.encode()):
        malformed = attempt.said.malformation(envelope) is not None
        # What no longer can be read, or is of another attempt, is compared with nothing.
        timely = envelope.attempt == attempt.seats.number or envelope.kind is MessageKind.LEAVE
        if malformed and (not timely or envelope.kind in (MessageKind.PART, MessageKind.LEAVE)):
            ban(Offence.MALFORMED, envelope)
        if not timely or (malformed and envelope.kind in (MessageKind.PART, MessageKind.LEAVE)):
            continue
        part = PartHeader.decode(envelope.body).part if envelope.kind is MessageKind.PART else 0
        first = by_author[envelope.author].setdefault((envelope.kind, part), envelope)
        if contradict(first, envelope):
            ban(Offence.EQUIVOCATION, first, envelope)
        if envelope.kind is MessageKind.LEAVE and Leave.decode(envelope.body).reason is LeaveReason.LOTTERY:
            ban(Offence.LOTTERY, envelope)
        if malformed:
            ban(Offence.MALFORMED, envelope)
    for messages in by_author.values():
        commit, reveal = messages.get((MessageKind.COMMIT, 0)), messages.get((MessageKind.REVEAL, 0))
        if commit is None or commit.author in bans:
            continue
        if reveal is not None and is_false_reveal(commit, reveal):
            ban(Offence.FALSE_REVEAL, commit, reveal)
        promised = Commit.decode(commit.body).parts
        for (kind, part), envelope in messages.items():
            checked = kind is MessageKind.PART and part < len(promised)
            if checked and promised[part] != PartHeader.decode(envelope.body).digest:
                ban(Offence.PART_MISMATCH, commit, envelope)
    return tuple(bans[peer] for peer in attempt.seats.members if peer in bans)
