"""From a decision to evidence that travels, and from evidence back to the decision: what a stranger checks."""

from __future__ import annotations

import torch

from btard.aggregation import finite_rows
from btard.hashing import digest
from btard.identity import Malformed, MessageKind, PeerId
from btard.round.accusations import Ballot, Charge, ChargeKind, Opinion, Report, Vote
from btard.round.actions import AggregateAgain, InspectRow
from btard.round.attempt import Attempt
from btard.round.evidence import Evidence, Offence, Scene
from btard.round.form import form_fault
from btard.round.measure import column_sum, column_tolerance, is_false
from btard.round.messages import Aggregate
from btard.round.partition import from_wire
from btard.round.randomness import combine
from btard.round.reveal import is_false_reveal
from btard.round.rules import Eliminate
from btard.round.settle import OFFENCES, Ban, convict
from btard.round.work import imbalance, inspect_row, is_too_long

_BY_SIGNATURE = frozenset(
    {Offence.EQUIVOCATION, Offence.PART_MISMATCH, Offence.MALFORMED, Offence.FALSE_REVEAL, Offence.LOTTERY}
)
_BY_ARITHMETIC = frozenset(
    {Offence.FALSE_SCALARS, Offence.NOT_FINITE, Offence.TOO_LONG, Offence.WRONG_SUM, Offence.WRONG_AGGREGATE}
)


class Unproven(Exception):
    """Evidence that does not prove what it says; the message says why."""


def scene_of(attempt: Attempt) -> Scene:
    """Return what fixes the context of an attempt's messages."""
    return Scene(attempt.roster, attempt.number, attempt.members)


def make_evidence(ban: Ban, attempt: Attempt, record: Attempt | None) -> Evidence:
    """Collect what proves a ban: beside the messages that decided it, whatever this peer holds that lets a stranger
    compute it again."""
    envelopes = list(ban.envelopes)
    rows: list[tuple[PeerId, int, bytes]] = []
    aggregates: list[tuple[int, bytes]] = []
    charge = ban.charge
    past = None
    if charge is not None and charge.kind in (ChargeKind.GRADIENT, ChargeKind.WITHHELD) and record is not None:
        past = scene_of(record)
        wanted = (MessageKind.COMMIT, MessageKind.SCALARS)
        envelopes += [record.signed[kind, charge.accused] for kind in wanted if (kind, charge.accused) in record.signed]
    elif charge is not None and ban.offence in _BY_ARITHMETIC:
        kinds = (MessageKind.COMMIT, MessageKind.REVEAL, MessageKind.SCALARS)
        envelopes += [envelope for (kind, _), envelope in attempt.signed.items() if kind in kinds]
        owner = attempt.owners[charge.part]
        if (MessageKind.AGGREGATE, owner) in attempt.signed:
            envelopes.append(attempt.signed[MessageKind.AGGREGATE, owner])
        if owner in attempt.gathered:
            aggregates.append((charge.part, bytes(attempt.partition.view(attempt.flat, charge.part))))
        everyone = charge.kind is ChargeKind.WRONG_AGGREGATE
        for peer in attempt.workers if everyone else (charge.accused,):
            row = attempt.rows.get((peer, charge.part))
            if row is not None and charge.kind is not ChargeKind.WRONG_SUM:
                rows.append((peer, charge.part, bytes(row)))
    unique = tuple(dict.fromkeys(envelopes))
    return Evidence(
        ban.offence, ban.peer, attempt.rules, scene_of(attempt), unique, past, tuple(rows), tuple(aggregates)
    )


def verify(evidence: Evidence) -> str:
    """Check a ban without the network.

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
    if evidence.accused not in scene.members:
        raise Unproven("the accused was no member of the attempt")
    if not set(scene.members) <= set(scene.roster.members) or not scene.roster.is_majority(scene.members):
        raise Unproven("the attempt had no majority of the roster")
    try:
        if evidence.offence in _BY_SIGNATURE:
            return _verify_signatures(evidence)
        if evidence.offence is Offence.ELIMINATED:
            return _verify_elimination(evidence)
        if evidence.offence in _BY_ARITHMETIC and _has_numbers(evidence):
            return _verify_arithmetic(evidence)
        return _verify_votes(evidence)
    except (Malformed, KeyError, IndexError, StopIteration) as error:
        raise Unproven(f"the evidence is incomplete or cannot be read: {error}") from None


def _attempt(evidence: Evidence, scene: Scene) -> Attempt:
    return Attempt(evidence.rules, scene.roster, scene.attempt, scene.members, scene.members[0], parameters=bytes(32))


def _verify_signatures(evidence: Evidence) -> str:
    scene = evidence.scene
    attempt = _attempt(evidence, scene)
    if any((e.step, e.author) != (scene.roster.step, evidence.accused) for e in evidence.envelopes):
        raise Unproven("a message of another step or author is among the evidence")
    formless = evidence.offence is Offence.MALFORMED and all(form_fault(e) for e in evidence.envelopes)
    if not formless and any(e.attempt != scene.attempt for e in evidence.envelopes if e.kind is not MessageKind.LEAVE):
        raise Unproven("a message of another attempt is among the evidence")
    bans = [ban for ban in convict(attempt, evidence.envelopes) if ban.peer == evidence.accused]
    false_reveal = evidence.offence is Offence.FALSE_REVEAL and _is_false_reveal(evidence)
    if evidence.offence not in {ban.offence for ban in bans} and not false_reveal:
        raise Unproven("the signed messages do not contradict each other or the rules")
    details = [attempt.malformation(envelope) for envelope in evidence.envelopes]
    detail = "; ".join(text for text in details if text)
    return f"by the peer's own signatures{': a message ' + detail if detail else ''}"


def _is_false_reveal(evidence: Evidence) -> bool:
    by_kind = {envelope.kind: envelope for envelope in evidence.envelopes}
    commit, reveal = by_kind.get(MessageKind.COMMIT), by_kind.get(MessageKind.REVEAL)
    return commit is not None and reveal is not None and is_false_reveal(commit, reveal)


def _verify_elimination(evidence: Evidence) -> str:
    scene = evidence.scene
    if evidence.rules.verification.eliminate is not Eliminate.MUTUAL:
        raise Unproven("the rules of the run eliminate nobody")
    here = (scene.roster.step, scene.attempt)
    said = [e for e in evidence.envelopes if e.kind is MessageKind.REPORT and e.author in scene.members]
    reports = [e for e in said if (e.step, e.attempt) == here]
    named = {(e.author, peer) for e in reports for peer, _ in Report.decode(e.body).complaints}
    if not any(evidence.accused in pair for pair in named):
        raise Unproven("no report names a dispute of the accused")
    return "by the rule --eliminate mutual: two peers contradict each other, and both go; it proves no lie"


def _has_numbers(evidence: Evidence) -> bool:
    """Whether the bytes that the arithmetic is about are there; the votes stand for those of a row that was lost."""
    if evidence.offence in (Offence.FALSE_SCALARS, Offence.NOT_FINITE, Offence.TOO_LONG):
        return any(author == evidence.accused for author, _, _ in evidence.rows)
    return bool(evidence.rows or evidence.aggregates)


def _verify_arithmetic(evidence: Evidence) -> str:
    """Repeat the arithmetic on bytes whose hashes are signed."""
    attempt = _attempt(evidence, evidence.scene)
    for envelope in evidence.envelopes:
        if (envelope.step, envelope.attempt) == (attempt.roster.step, attempt.number):
            attempt.file(envelope)
    for part, payload in [*((part, row) for _, part, row in evidence.rows), *evidence.aggregates]:
        if part >= attempt.partition.count or len(payload) != attempt.partition.length(part):
            raise Unproven(f"the bytes of part {part} have another length")
    for author, part, payload in evidence.rows:
        if attempt.commits[author].context != attempt.context or attempt.commits[author].parts[part] != digest(payload):
            raise Unproven(f"the row of {author} is not the one that it committed to")
        attempt.rows[author, part] = memoryview(bytearray(payload))
    offence = evidence.offence
    if offence in (Offence.NOT_FINITE, Offence.TOO_LONG):
        return _verify_row_form(evidence, attempt)
    charge = _charge(evidence)
    part = charge.part
    if charge.accused != evidence.accused:
        raise Unproven("the accusation names another peer")
    _take_aggregate(evidence, attempt, part)
    if offence is Offence.WRONG_AGGREGATE:
        return _verify_aggregate(evidence, attempt, part)
    if len(attempt.reveals) != len(attempt.members):
        raise Unproven("shares of the randomness are missing")
    attempt.randomness = combine(attempt.context, (attempt.reveals[peer].share for peer in attempt.members))
    for peer in attempt.members:
        if is_false_reveal(attempt.signed[MessageKind.COMMIT, peer], attempt.signed[MessageKind.REVEAL, peer]):
            raise Unproven(f"the share of {peer} is not the one that it committed to")
    if offence is Offence.FALSE_SCALARS:
        row = attempt.rows[evidence.accused, part]
        found = inspect_row(
            InspectRow(0, attempt.randomness, attempt.partition, attempt.tau, evidence.accused, part, row, attempt.flat)
        )
        if not is_false(attempt, evidence.accused, part, (found.product, found.norm)):
            raise Unproven("the published product and norm are those of the row")
        claimed = attempt.scalars[evidence.accused]
        # That the owner of the part told everyone of this aggregate is what the voters say.
        votes = _verify_votes(evidence)
        return (
            f"by arithmetic: it published product {claimed.products[part]:.6g} and norm {claimed.norms[part]:.6g} of "
            f"part {part}, its row gives {found.product:.6g} and {found.norm:.6g}; and {votes}"
        )
    if attempt.owners[part] != evidence.accused:
        raise Unproven("the accused does not own the part")
    aggregate = from_wire(attempt.partition.view(attempt.flat, part), attempt.partition.wire)
    norms = [0.0] * attempt.partition.count
    norms[part] = float(torch.linalg.vector_norm(aggregate, dtype=torch.float64))
    attempt.aggregate_norms = tuple(norms)
    total, tolerance = column_sum(attempt, part), column_tolerance(attempt, part)
    if abs(total) <= tolerance:
        raise Unproven("the products around the aggregate add up to zero")
    # That its owner accused nobody of a false product is what the voters say.
    votes = _verify_votes(evidence)
    return (
        f"by arithmetic: the products around its aggregate of part {part} add up to {total:.6g}, where {tolerance:.2g} "
        f"is allowed; and {votes}, it proved no other's product false"
    )


def _verify_row_form(evidence: Evidence, attempt: Attempt) -> str:
    for author, part, _ in evidence.rows:
        row = from_wire(attempt.rows[author, part], attempt.partition.wire)
        if author != evidence.accused:
            continue
        if evidence.offence is Offence.NOT_FINITE and not finite_rows([row])[0]:
            return f"by arithmetic: the row of part {part} that it committed to holds NaN or infinity"
        length = float(torch.linalg.vector_norm(row, dtype=torch.float64))
        if evidence.offence is Offence.TOO_LONG and is_too_long(
            length, attempt.rules.aggregation, attempt.partition.count
        ):
            return f"by arithmetic: its row of part {part} has the norm {length:.6g}, which the rules do not allow"
    raise Unproven("the row keeps to the rules")


def _take_aggregate(evidence: Evidence, attempt: Attempt, part: int) -> None:
    owner = attempt.owners[part]
    payload = dict(evidence.aggregates)[part]
    signed = {e.author: e for e in evidence.envelopes if e.kind is MessageKind.AGGREGATE}
    if Aggregate.decode(signed[owner].body).digest != digest(payload):
        raise Unproven(f"the aggregate of part {part} is not the one that its owner committed to")
    attempt.partition.view(attempt.flat, part)[:] = payload


def _verify_aggregate(evidence: Evidence, attempt: Attempt, part: int) -> str:
    if attempt.owners[part] != evidence.accused:
        raise Unproven("the accused does not own the part")
    aggregate = from_wire(attempt.partition.view(attempt.flat, part), attempt.partition.wire)
    if not finite_rows([aggregate])[0]:
        return f"by arithmetic: its aggregate of part {part} holds NaN or infinity"
    rows = tuple(attempt.rows[peer, part] for peer in attempt.workers)
    action = AggregateAgain(0, attempt.partition, attempt.tau, part, rows, attempt.flat)
    excess = imbalance(action, attempt.rules.aggregation)
    if excess <= 1.0:
        raise Unproven("the aggregate is the fixed point of the rows")
    # That everyone had committed to these rows when it aggregated is what the voters say.
    votes = _verify_votes(evidence)
    return (
        f"by arithmetic: around its aggregate of part {part} the clipped deviations of all rows are off balance by "
        f"{excess:.3g} times what is allowed; and {votes}"
    )


def _charge(evidence: Evidence) -> Charge:
    for envelope in evidence.envelopes:
        if envelope.kind is MessageKind.REPORT:
            charge = Report.decode(envelope.body).charge
            if charge is not None:
                return charge
    raise Unproven("no accusation is among the evidence")


def _verify_votes(evidence: Evidence) -> str:
    """Count the signed votes of the court against its roster."""
    attempt = _attempt(evidence, evidence.scene)
    charge = _charge(evidence)
    accuser = next(e.author for e in evidence.envelopes if e.kind is MessageKind.REPORT)
    voters = set()
    for envelope in evidence.envelopes:
        if envelope.kind is not MessageKind.VOTE or envelope.author not in attempt.voters:
            continue
        vote = Vote.decode(envelope.body)
        in_place = (envelope.step, envelope.attempt) == (attempt.roster.step, attempt.number)
        if not in_place or vote.context != attempt.context:
            raise Unproven("a vote of another court is among the evidence")
        if any(_supports(evidence, ballot, accuser, charge) for ballot in vote.ballots):
            voters.add(envelope.author)
    if not attempt.is_majority(len(voters)):
        raise Unproven(f"only {len(voters)} of {len(attempt.voters)} members have voted so")
    return f"by the signed votes of {len(voters)} of {len(attempt.voters)} members"


def _supports(evidence: Evidence, ballot: Ballot, accuser: PeerId, charge: Charge) -> bool:
    if (ballot.accuser, ballot.charge) != (accuser, charge):
        return False
    if evidence.offence is Offence.FALSE_ACCUSATION:
        return evidence.accused == accuser and ballot.opinion is Opinion.INNOCENT
    if evidence.offence is Offence.COVER_UP:
        return evidence.accused in ballot.accomplices
    named = evidence.accused == charge.accused and OFFENCES[charge.kind] is evidence.offence
    return named and ballot.opinion is Opinion.GUILTY
