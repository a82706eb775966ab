"""From a decision to evidence that travels, and from evidence back to the decision: what a stranger checks."""

from __future__ import annotations

from btard.aggregation import finite_rows
from btard.hashing import digest
from btard.identity import Malformed, MessageKind, PeerId
from btard.round.actions import AggregateAgain, InspectRow
from btard.round.attempt.attempt import Attempt
from btard.round.attempt.seats import Seats, attempt_id_of
from btard.round.evidence.evidence import Evidence, Offence, Scene
from btard.round.failure.resolve import OFFENCES, Ban, condemns, convict, vouches
from btard.round.messages.accusations import Charge, ChargeKind, Report, Vote
from btard.round.messages.bodies import Aggregate, Commit, Scalars
from btard.round.messages.form import form_fault
from btard.round.phases.measure import column_excess, row_excess
from btard.round.phases.reveal import is_false_reveal
from btard.round.randomness import combine
from btard.round.work.rows import compare_again, inspect_row, row_length_excess
from btard.vectors.partition import from_wire
from btard.verification.projection import norm_of
from btard.verification.thresholds import LENGTH, SCALARS, SUM

_BY_SIGNATURE = frozenset(
    {Offence.EQUIVOCATION, Offence.PART_MISMATCH, Offence.MALFORMED, Offence.FALSE_REVEAL, Offence.LOTTERY}
)
_BY_ARITHMETIC = frozenset(
    {Offence.FALSE_SCALARS, Offence.NOT_FINITE, Offence.TOO_LONG, Offence.WRONG_SUM, Offence.WRONG_AGGREGATE}
)
_OF_LAST_STEP = frozenset({Offence.GRADIENT, Offence.COVER_UP})
_OF_VECTORS: dict[MessageKind, type[Commit | Scalars]] = {MessageKind.COMMIT: Commit, MessageKind.SCALARS: Scalars}
"""What members have said of their vectors."""


class Unproven(Exception):
    """Evidence that does not prove what it says; the message says why."""


def scene_of(attempt: Attempt) -> Scene:
    """Return what fixes the id of an attempt's messages."""
    seats = attempt.seats
    return Scene(seats.roster, seats.number, seats.members)


def make_evidence(ban: Ban, attempt: Attempt, previous: Attempt | None) -> Evidence:
    """Collect what proves a ban: beside the messages that decided it, whatever this peer holds that lets a stranger
    compute it again."""
    said = attempt.said
    envelopes = list(ban.envelopes)
    rows: list[tuple[PeerId, int, bytes]] = []
    aggregates: list[tuple[int, bytes]] = []
    charge = ban.charge
    past = None
    # What was signed in an incarnation that is over names another run: the votes stand for it.
    same_run = previous is not None and previous.seats.rules.run == attempt.seats.rules.run
    if charge is not None and charge.kind is ChargeKind.GRADIENT and previous is not None and same_run:
        past = scene_of(previous)
        wanted = (MessageKind.COMMIT, MessageKind.SCALARS)
        envelopes += [
            previous.said.signed[kind, charge.accused]
            for kind in wanted
            if (kind, charge.accused) in previous.said.signed
        ]
    elif charge is not None and ban.offence in _BY_ARITHMETIC:
        kinds = (MessageKind.COMMIT, MessageKind.REVEAL, MessageKind.SCALARS)
        envelopes += [envelope for (kind, _), envelope in said.signed.items() if kind in kinds]
        owner = attempt.seats.owners[charge.part]
        if (MessageKind.AGGREGATE, owner) in said.signed:
            envelopes.append(said.signed[MessageKind.AGGREGATE, owner])
        rows, aggregates = _exhibits(attempt, charge)
    unique = tuple(dict.fromkeys(envelopes))
    return Evidence(
        ban.offence, ban.peer, attempt.seats.rules, scene_of(attempt), unique, past, tuple(rows), tuple(aggregates)
    )


def _exhibits(attempt: Attempt, charge: Charge) -> tuple[list[tuple[PeerId, int, bytes]], list[tuple[int, bytes]]]:
    """Return the rows and the aggregate that the arithmetic about a charge needs; nothing where this peer does not hold
    all of it, so that the votes stand for it."""
    seats, carried = attempt.seats, attempt.carried
    part, kind = charge.part, charge.kind
    everyone, nobody = kind is ChargeKind.WRONG_AGGREGATE, kind is ChargeKind.WRONG_SUM
    wanted = seats.workers if everyone else () if nobody else (charge.accused,)
    held = {peer: carried.rows[peer, part] for peer in wanted if (peer, part) in carried.rows}
    rows = [(peer, part, bytes(row)) for peer, row in held.items()] if len(held) == len(wanted) else []
    aggregate: list[tuple[int, bytes]] = []
    if seats.owners[part] in carried.gathered:
        aggregate.append((part, bytes(carried.aggregate(part))))
    match kind:
        case ChargeKind.NOT_FINITE | ChargeKind.TOO_LONG:
            enough = bool(rows)
        case ChargeKind.WRONG_AGGREGATE:
            alone = bool(aggregate) and not finite_rows([from_wire(memoryview(aggregate[0][1]), seats.rules.wire)])[0]
            enough = alone or bool(rows and aggregate)
        case _:
            enough = bool(aggregate) and (nobody or bool(rows)) and len(attempt.said.reveals) == len(seats.members)
    return (rows, aggregate) if enough else ([], [])


def verify(evidence: Evidence) -> str:
    """Check a ban without the network.

    Every signed message names the run, and with it the rules (`StepRules.run`). What depends on the roster or on the
    members is decided by messages that carry the attempt's id (COMMIT, SCALARS, DIGEST, VOTE) alone; others
    convict by what an honest peer signs in no attempt whatsoever.

    Returns:
        What the check rests on, in words.

    Raises:
        Unproven: the evidence does not prove the offence.
    """
    for envelope in evidence.envelopes:
        if envelope.run != evidence.rules.run:
            raise Unproven("a message of another run is among the evidence")
        if not envelope.is_genuine():
            raise Unproven(f"a signature of {envelope.author} does not verify")
    scene = evidence.scene
    # Where it lied in the step before, it may have left since.
    targets = {audit.target for audit in scene.roster.audits}
    those = targets.union(scene.roster.members) if evidence.offence in _OF_LAST_STEP else scene.members
    if evidence.accused not in those:
        raise Unproven("the accused was no member of the attempt")
    if not set(scene.members) <= set(scene.roster.members) or not scene.roster.is_majority(scene.members):
        raise Unproven("the attempt had no majority of the roster")
    if evidence.offence is Offence.ELIMINATED:
        raise Unproven("where two peers contradict each other, --eliminate mutual bans both: that proves no lie")
    try:
        _check_places(evidence)
        if evidence.offence in _BY_SIGNATURE:
            return _verify_signatures(evidence)
        if evidence.offence in _BY_ARITHMETIC and _has_numbers(evidence):
            return _verify_arithmetic(evidence)
        return _verify_votes(evidence)
    except (Malformed, KeyError, IndexError, StopIteration) as error:
        raise Unproven(f"the evidence is incomplete or cannot be read: {error}") from None


def _attempt(evidence: Evidence, scene: Scene) -> Attempt:
    return Attempt(Seats(evidence.rules, scene.roster, scene.attempt, scene.members, scene.members[0]))


def _check_places(evidence: Evidence) -> None:
    """Every message belongs to the attempt; a vector that is at issue, and its numbers, to one of the step before."""
    scene, past = evidence.scene, evidence.past
    if past is not None and past.roster.step != scene.roster.step - 1:
        raise Unproven("the attempt that it is about is not of the step before")
    attempt_id = None if past is None else attempt_id_of(evidence.rules, past.roster, past.attempt, past.members)
    for envelope in evidence.envelopes:
        formless = evidence.offence is Offence.MALFORMED and form_fault(envelope) is not None
        number = envelope.attempt if formless or envelope.kind is MessageKind.LEAVE else scene.attempt
        if (envelope.step, envelope.attempt) == (scene.roster.step, number):
            continue
        form = _OF_VECTORS.get(envelope.kind)
        if form is None or past is None or (envelope.step, envelope.attempt) != (past.roster.step, past.attempt):
            raise Unproven("a message of another step or attempt is among the evidence")
        if envelope.read(form).attempt_id != attempt_id:
            raise Unproven("a message of another attempt of the step before is among the evidence")


def _verify_signatures(evidence: Evidence) -> str:
    attempt = _attempt(evidence, evidence.scene)
    if any(e.author != evidence.accused for e in evidence.envelopes):
        raise Unproven("a message of another author is among the evidence")
    bans = [ban for ban in convict(attempt, evidence.envelopes) if ban.peer == evidence.accused]
    false_reveal = evidence.offence is Offence.FALSE_REVEAL and _is_false_reveal(evidence)
    if evidence.offence not in {ban.offence for ban in bans} and not false_reveal:
        raise Unproven("the signed messages do not contradict each other or the rules")
    details = [attempt.said.malformation(envelope) for envelope in evidence.envelopes]
    detail = "; ".join(text for text in details if text)
    return f"by the peer's own signatures{': a message ' + detail if detail else ''}"


def _is_false_reveal(evidence: Evidence) -> bool:
    by_kind = {envelope.kind: envelope for envelope in evidence.envelopes}
    commit, reveal = by_kind.get(MessageKind.COMMIT), by_kind.get(MessageKind.REVEAL)
    return commit is not None and reveal is not None and is_false_reveal(commit, reveal)


def _has_numbers(evidence: Evidence) -> bool:
    """Whether the bytes that the arithmetic is about are there; the votes stand for those of a row that was lost."""
    if evidence.offence in (Offence.FALSE_SCALARS, Offence.NOT_FINITE, Offence.TOO_LONG):
        return any(author == evidence.accused for author, _, _ in evidence.rows)
    return bool(evidence.rows or evidence.aggregates)


def _verify_arithmetic(evidence: Evidence) -> str:
    """Repeat the arithmetic on bytes whose hashes are signed."""
    attempt = _attempt(evidence, evidence.scene)
    seats, said, results, carried = attempt.seats, attempt.said, attempt.results, attempt.carried
    for envelope in evidence.envelopes:
        attempt.file(envelope)
    for part, payload in [*((part, row) for _, part, row in evidence.rows), *evidence.aggregates]:
        if part >= seats.partition.count or len(payload) != seats.partition.length(part):
            raise Unproven(f"the bytes of part {part} have another length")
    for author, part, payload in evidence.rows:
        if said.commits[author].attempt_id != seats.attempt_id or said.commits[author].parts[part] != digest(payload):
            raise Unproven(f"the row of {author} is not the one that it committed to")
        carried.take((MessageKind.PART, author, part), memoryview(bytearray(payload)))
    offence = evidence.offence
    if offence in (Offence.NOT_FINITE, Offence.TOO_LONG):
        return _verify_row_form(evidence, attempt)
    part = _part_in_question(evidence)
    _take_aggregate(evidence, attempt, part)
    if offence is Offence.WRONG_AGGREGATE:
        return _verify_aggregate(evidence, attempt, part)
    if len(said.reveals) != len(seats.members):
        raise Unproven("shares of the randomness are missing")
    results.randomness = combine(seats.draw_id, (said.reveals[peer].share for peer in seats.members))
    for peer in seats.members:
        if is_false_reveal(said.signed[MessageKind.COMMIT, peer], said.signed[MessageKind.REVEAL, peer]):
            raise Unproven(f"the share of {peer} is not the one that it committed to")
    if offence is Offence.FALSE_SCALARS:
        row = carried.rows[evidence.accused, part]
        found = inspect_row(
            InspectRow(0, results.randomness, seats.partition, seats.tau, evidence.accused, part, row, carried.flat),
            seats.aggregation,
        )
        if SCALARS.acquits(row_excess(attempt, evidence.accused, part, (found.product, found.norm))):
            raise Unproven("the published product and norm are those of the row")
        claimed = said.scalars[evidence.accused]
        # That the owner of the part told everyone of this aggregate is what the voters say.
        votes = _verify_votes(evidence)
        return (
            f"by arithmetic: it published product {claimed.products[part]:.6g} and norm {claimed.norms[part]:.6g} of "
            f"part {part}, its row gives {found.product:.6g} and {found.norm:.6g}; and {votes}"
        )
    if seats.owners[part] != evidence.accused:
        raise Unproven("the accused does not own the part")
    aggregate = from_wire(carried.aggregate(part), seats.partition.wire)
    norms = [0.0] * seats.partition.count
    norms[part] = norm_of(aggregate.numpy())
    results.aggregate_norms = tuple(norms)
    excess = column_excess(attempt, part)
    if SUM.acquits(excess):
        raise Unproven("the products around the aggregate add up to zero")
    # That its owner accused nobody of a false product is what the voters say.
    votes = _verify_votes(evidence)
    return (
        f"by arithmetic: the products around its aggregate of part {part} add up to {excess:.3g} times what is "
        f"allowed; and {votes}, it proved no other's product false"
    )


def _verify_row_form(evidence: Evidence, attempt: Attempt) -> str:
    seats = attempt.seats
    for author, part, _ in evidence.rows:
        row = from_wire(attempt.carried.rows[author, part], seats.partition.wire)
        if author != evidence.accused:
            continue
        if evidence.offence is Offence.NOT_FINITE and not finite_rows([row])[0]:
            return f"by arithmetic: the row of part {part} that it committed to holds NaN or infinity"
        limit = seats.aggregation.part_norm(seats.partition.count)
        excess = row_length_excess(row, limit, seats.partition.wire)
        if evidence.offence is Offence.TOO_LONG and not LENGTH.acquits(excess):
            return f"by arithmetic: its row of part {part} is {excess:.6g} times as long as the rules allow"
    raise Unproven("the row keeps to the rules")


def _take_aggregate(evidence: Evidence, attempt: Attempt, part: int) -> None:
    payload = dict(evidence.aggregates)[part]
    signed = attempt.said.signed[MessageKind.AGGREGATE, attempt.seats.owners[part]]
    if Aggregate.decode(signed.body).digest != digest(payload):
        raise Unproven(f"the aggregate of part {part} is not the one that its owner committed to")
    attempt.carried.keep_aggregate(attempt.seats.owners[part], payload)


def _verify_aggregate(evidence: Evidence, attempt: Attempt, part: int) -> str:
    seats, carried = attempt.seats, attempt.carried
    if seats.owners[part] != evidence.accused:
        raise Unproven("the accused does not own the part")
    aggregate = from_wire(carried.aggregate(part), seats.partition.wire)
    if not finite_rows([aggregate])[0]:
        return f"by arithmetic: its aggregate of part {part} holds NaN or infinity"
    rows = tuple(carried.rows[peer, part] for peer in seats.workers)
    action = AggregateAgain(0, seats.aggregation, seats.partition, part, rows, carried.flat)
    excess = compare_again(action)
    if seats.aggregate_limits.acquits(excess):
        raise Unproven("the aggregate is the one that the rows give")
    # That everyone had committed to these rows when it aggregated is what the voters say.
    votes = _verify_votes(evidence)
    if seats.equation is None:
        words = f"its aggregate of part {part} differs from the {seats.aggregation.rule} of all rows"
    else:
        words = f"around its aggregate of part {part} the clipped deviations of all rows are off balance"
    return f"by arithmetic: {words} by {excess:.3g} times what is allowed; and {votes}"


def _charges(evidence: Evidence) -> list[tuple[PeerId, Charge]]:
    """Return the accusations of members, by accuser, that may have led to the ban."""
    reports = [e for e in evidence.envelopes if e.kind is MessageKind.REPORT and e.author in evidence.scene.members]
    found = [(envelope.author, envelope.read(Report).charge) for envelope in reports]
    charges = [(accuser, charge) for accuser, charge in found if charge is not None]
    if not charges:
        raise Unproven("no accusation is among the evidence")
    return charges


def _part_in_question(evidence: Evidence) -> int:
    offence, accused = evidence.offence, evidence.accused
    named = [c.part for _, c in _charges(evidence) if (OFFENCES.get(c.kind), c.accused) == (offence, accused)]
    if not named:
        raise Unproven("the accusation names another peer or offence")
    return named[0]


def _verify_votes(evidence: Evidence) -> str:
    """Count the signed votes of the court against its roster."""
    attempt = _attempt(evidence, evidence.scene)
    seats = attempt.seats
    votes: dict[PeerId, list[Vote]] = {}
    for envelope in evidence.envelopes:
        if envelope.kind is not MessageKind.VOTE or envelope.author not in seats.voters:
            continue
        vote = envelope.read(Vote)
        if vote.attempt_id != seats.attempt_id:
            raise Unproven("a vote of another court is among the evidence")
        votes.setdefault(envelope.author, []).append(vote)
    if evidence.offence is Offence.WRONG_SUM:
        _check_vouching(evidence)
    count = max(
        sum(
            any(condemns(vote, evidence.offence, evidence.accused, *charge) for vote in cast) for cast in votes.values()
        )
        for charge in _charges(evidence)
    )
    if not seats.is_majority(count):
        raise Unproven(f"only {count} of {len(seats.voters)} members have voted so")
    return f"by the signed votes of {count} of {len(seats.voters)} members of the roster that it names"


def _check_vouching(evidence: Evidence) -> None:
    """An owner that had not seen all numbers of its column is no liar, whatever the numbers add up to."""
    reports = [
        e.read(Report) for e in evidence.envelopes if e.kind is MessageKind.REPORT and e.author == evidence.accused
    ]
    if not any(vouches(report, evidence.scene.members) for report in reports):
        raise Unproven("the owner has not signed that it had seen all numbers of its column")
