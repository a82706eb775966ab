"""Every installed behaviour in a simulated swarm: the liars get their verdict, and nobody else gets any."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from btard.behaviour import Behaviour
from btard.byzantine.installed import BEHAVIOURS_GROUP
from btard.byzantine.selection import make_behaviour
from btard.byzantine.settings import BehaviourSettings
from btard.round.actions import Stopped
from btard.round.evidence.evidence import Offence
from btard.round.proof import verify
from btard.round.rules import VerificationRules
from tests.btard.round.careful import Careful
from tests.btard.round.swarm import RULES, Swarm, seeded_gradient, suspended, verdicts

PEERS = 8
LIARS = (1, 4)
START = 1


@dataclass(frozen=True)
class Case:
    """What must become of the liars of a swarm.

    Attributes:
        offences: each liar is banned for one of these; with none, nobody is banned.
        drops: whether most name the liars as too slow, so that they are in no later roster.
        spared: how many liars may get away, where chance or luck of the order decides.
        suspends: whether liars lose their place without a ban.
        liars: their positions.
        steps: of the run.
        settings: beside ATTACK_TYPE and ATTACK_START.
        momentum: factor of worker momentum in the run.
        seed: of all draws, which choose validators and witnesses.
        clip: the longest vector that the run allows.
    """

    offences: tuple[Offence, ...] = ()
    spared: int = 0
    drops: bool = False
    suspends: bool = False
    liars: tuple[int, ...] = LIARS
    steps: int = 5
    settings: Mapping[str, object] = field(default_factory=dict)
    momentum: float = 0.0
    seed: int = 0
    clip: float | None = None


NOTHING = Case()
GRADIENT = Case((Offence.GRADIENT,), steps=14)
A_LITTLE_OFF = dataclasses.replace(GRADIENT, liars=(1, 4, 6), spared=1, steps=16)
MALFORMED = Case((Offence.MALFORMED,))
SUSPENDED = Case(suspends=True)
DROPPED = Case(drops=True)
ACCUSER = Case((Offence.FALSE_ACCUSATION,))

CASES: dict[str, Case] = {
    "NONE": NOTHING,
    "DRIFT": dataclasses.replace(NOTHING, steps=10),
    "SLOW": SUSPENDED,
    "CRASH": SUSPENDED,
    "HASTY_VALIDATOR": dataclasses.replace(ACCUSER, spared=2),
    # The vector itself.
    "SIGN_FLIPPING": GRADIENT,
    "CONSTANT_DIRECTION": GRADIENT,
    "LABEL_FLIPPING": GRADIENT,
    "LABEL_SHUFFLE": GRADIENT,
    "RANDOM_LABEL": GRADIENT,
    "DELAYED_GRADIENT": dataclasses.replace(GRADIENT, settings={"delay_steps": 3}),
    "RANDOM_NOISE": GRADIENT,
    "INNER_PRODUCT": GRADIENT,
    "EMPIRE": GRADIENT,
    "BULYAN": GRADIENT,
    "FANG_KRUM": GRADIENT,
    "FANG_TRIMMED_MEAN": GRADIENT,
    # The colluder that computes first knows no gradient but its own, whose mean is no lie.
    "ALIE": A_LITTLE_OFF,
    "LITTLE": A_LITTLE_OFF,
    "MIN_MAX": A_LITTLE_OFF,
    "MIN_SUM": A_LITTLE_OFF,
    # The one that is copied sends the truth, and so does the first, which knows only itself.
    "MIMIC": dataclasses.replace(A_LITTLE_OFF, spared=2),
    "ROP": GRADIENT,
    "WRONG_SEED": GRADIENT,
    "COPY_GRADIENT": GRADIENT,
    "SYBIL_CROWD": dataclasses.replace(GRADIENT, spared=1),
    "SYBIL_SLEEPER": GRADIENT,
    "SHIELDING_VALIDATOR": dataclasses.replace(GRADIENT, steps=16),
    # The first vector of a chain is built on zeros, which -1000 times are zeros.
    "OTHER_MOMENTUM": Case(suspends=True, steps=14, momentum=0.9),
    "WITHHOLD_MOMENTUM": Case(suspends=True, steps=14, momentum=0.9),
    # What it keeps from its validator another voter gets, and passes on.
    "WITHHOLD_FROM_SOME": Case(steps=14, momentum=0.9),
    "NAN_ROW": Case((Offence.NOT_FINITE,)),
    # Parts.
    "PART_MISMATCH": Case((Offence.PART_MISMATCH,)),
    "CORRUPTED_PART": SUSPENDED,
    "OVERSIZED_PART": SUSPENDED,
    "WITHHOLD_PART": NOTHING,
    "REFUSE_PART": SUSPENDED,
    # Its products are about another row than the one that it commits to.
    "EDGE_OF_CLIP": Case((Offence.FALSE_SCALARS, Offence.GRADIENT), clip=1.0),
    # Aggregates.
    "WRONG_AGGREGATE": Case((Offence.WRONG_SUM, Offence.WRONG_AGGREGATE), steps=12),
    "NAN_AGGREGATE": Case((Offence.WRONG_AGGREGATE,)),
    # A product that balances the others may be larger than any vector could give.
    "SELF_COVER": Case((Offence.FALSE_SCALARS, Offence.GRADIENT, Offence.MALFORMED), steps=20),
    "SMALL_SHIFT": Case((Offence.FALSE_SCALARS, Offence.GRADIENT), steps=12),
    "WITHIN_TOLERANCE": NOTHING,
    "COLLUDER_COVER": Case((Offence.COVER_UP, Offence.GRADIENT), steps=12, seed=1),
    "AGGREGATE_TWO_FACED": NOTHING,
    "EQUIVOCATE_AGGREGATE": Case((Offence.EQUIVOCATION,)),
    "LARGER_PART": SUSPENDED,
    "WITHHOLD_AGGREGATE": SUSPENDED,
    # Scalars.
    "FALSE_PRODUCT": Case((Offence.FALSE_SCALARS,)),
    "FALSE_NORM": Case((Offence.FALSE_SCALARS,)),
    "FRAME_OWNER": Case((Offence.FALSE_SCALARS,)),
    "TOLERATED_LIES": Case((Offence.FALSE_ACCUSATION, Offence.GRADIENT)),
    "BEYOND_BOUND": MALFORMED,
    "FALSE_DOUBTS": NOTHING,
    "EQUIVOCATE_SCALARS": Case((Offence.EQUIVOCATION,)),
    # Randomness.
    "FALSE_REVEAL": Case((Offence.FALSE_REVEAL,)),
    "NO_REVEAL": SUSPENDED,
    "LATE_REVEAL": NOTHING,
    "EARLY_REVEAL": NOTHING,
    # The first one to commit has lent its share, and is honest.
    "COPY_COMMITMENT": Case((Offence.FALSE_REVEAL,), spared=1),
    "EQUIVOCATE_REVEAL": Case((Offence.FALSE_REVEAL, Offence.EQUIVOCATION)),
    # Court.
    "FALSE_ACCUSATION": ACCUSER,
    "ACCUSATION_FLOOD": ACCUSER,
    "QUARREL": ACCUSER,
    "DENY_SHOWN": Case(suspends=True, steps=14, momentum=0.9),
    "FALSE_ELIMINATE": SUSPENDED,
    # It shows nobody what it sent in the attempt that it has made fail.
    "GAMBLER": Case((Offence.FALSE_ACCUSATION, Offence.GRADIENT), steps=20),
    # One that is drawn for another has nobody that minds.
    "LAZY_VALIDATOR": Case((Offence.FALSE_OPENING,), steps=14),
    "PERJURY": NOTHING,
    "EQUIVOCATE_REPORT": Case((Offence.EQUIVOCATION,)),
    "EQUIVOCATE_VOTE": Case((Offence.EQUIVOCATION, Offence.FALSE_ACCUSATION)),
    "LATE_VOTE": ACCUSER,
    "PAPER_FLOOD": MALFORMED,
    "FORGED_ATTACHMENT": MALFORMED,
    # Messages.
    "EQUIVOCATE_COMMIT": Case((Offence.EQUIVOCATION, Offence.PART_MISMATCH, Offence.FALSE_REVEAL), seed=1),
    "WRONG_COMMIT_LENGTH": MALFORMED,
    "WRONG_WEIGHT": MALFORMED,
    "MALFORMED_BODY": MALFORMED,
    "EMPTY_LISTS": MALFORMED,
    "GARBAGE": NOTHING,
    "FORGERY": NOTHING,
    "REPLAY": NOTHING,
    "SILENCE": SUSPENDED,
    "HALF_SILENCE": NOTHING,
    "LATE_COMMIT": NOTHING,
    "FLOOD": Case(seed=0),  # else one of them is drawn as a witness, and has no request left
    "IDLE_GRADIENT": NOTHING,
    # Membership.
    "STALE_STATE": SUSPENDED,
    "POISONED_STATE": NOTHING,
    "FALSE_DOOR": NOTHING,
    "NAME_STRANGERS": NOTHING,
    "FORGED_EVIDENCE": NOTHING,
    # It signed the true digest for itself, and shows it when the others complain.
    "REFUSE_BAN": Case((Offence.EQUIVOCATION,)),
    "EQUIVOCATE_DIGEST": DROPPED,
    "DRAWN_AND_GONE": GRADIENT,
    "UNDEAD": Case((Offence.EQUIVOCATION, Offence.PART_MISMATCH, Offence.FALSE_REVEAL), seed=1),
}


def behaviour(name: str, case: Case, number: int, **settings: object) -> Behaviour:
    """Return the behaviour of a peer that attacks from START on."""
    given = {"attack_start": START, "collude_patience": 0.0, "collude_at": f"memory:{name}"} | dict(case.settings)
    values = BehaviourSettings.model_validate(given | settings | {"attack_type": name})
    return make_behaviour(values, seed=bytes([case.seed, number]))


def swarm_of(behaviours: dict[int, Behaviour], case: Case) -> Swarm:
    """Return a swarm with two validators a step."""
    verification = VerificationRules(validators=2.0, momentum=case.momentum)
    aggregation = dataclasses.replace(RULES.aggregation, max_norm=case.clip)
    rules = dataclasses.replace(RULES, verification=verification, aggregation=aggregation)
    swarm = Swarm(PEERS, steps=case.steps, seed=case.seed, behaviours=behaviours, rules=rules, peer_type=Careful)
    for peer in swarm.peers:
        peer.trainer.spoiled = lambda batch, parameters: -seeded_gradient(batch, parameters)
    return swarm


def check(swarm: Swarm, case: Case) -> None:
    """Assert the invariants, and the case's verdict."""
    swarm.check_agreement()
    liars = {swarm.peers[i].peer_id for i in case.liars}
    finished = [peer for peer in swarm.honest if len(peer.finished()) == case.steps]
    assert finished == swarm.honest, [peer.stopped for peer in swarm.honest]
    for peer in finished:
        found = verdicts(peer)
        assert {verdict.peer for verdict in found} <= liars, "an honest peer is banned"
        for verdict in found:
            assert verdict.evidence.accused == verdict.peer
            assert verify(verdict.evidence)
        assert {verdict.evidence.offence for verdict in found} <= set(case.offences)
        roster = peer.finished()[-1].roster
        assert roster.banned == {verdict.peer for verdict in found}
        if case.offences:
            assert len(found) >= len(liars) - case.spared
        gone = suspended(peer)
        assert gone <= liars
        if case.suspends:
            assert len(gone & liars) >= len(liars) - case.spared
            assert not gone & set(roster.members), "nobody is named as a candidate here"
        elif case.drops:
            assert liars.isdisjoint(roster.members), "they have made the others wait for nothing"
        elif not case.offences:
            assert not gone and not any(isinstance(event, Stopped) for p in swarm.peers for event in p.history)


def test_every_installed_behaviour_has_a_case() -> None:
    ours = {entry.name for entry in entry_points(group=BEHAVIOURS_GROUP) if entry.module.startswith("btard.byzantine.")}
    assert ours == CASES.keys()


@pytest.mark.parametrize("name", sorted(CASES))
def test_verdict(name: str) -> None:
    case = CASES[name]
    swarm = swarm_of({i: behaviour(name, case, number=i) for i in case.liars}, case)
    check(swarm.run(), case)
    liars = [peer.behaviour for i, peer in enumerate(swarm.peers) if i in swarm.liars]
    assert all(not liar.attacks(START - 1) for liar in liars)


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_behaviour_carries_its_name(name: str) -> None:
    made = make_behaviour(BehaviourSettings(attack_type=name), seed=b"")
    assert made.name == name
    assert (type(made).__module__.startswith("btard.byzantine.")) is (name != "NONE")


def _companies() -> Iterator[tuple[str, ...]]:
    """Yield all behaviours in companies for runs of the same rules, in which one peer is honest."""
    names = sorted(set(CASES) - {"CRASH", "SYBIL_CROWD"}, key=lambda name: (_rules(name), name))
    for _, alike in itertools.groupby(names, key=_rules):
        rest = list(alike)
        while rest:
            yield tuple(rest[: PEERS - 1])
            del rest[: PEERS - 1]


def _rules(name: str) -> tuple[float, float]:
    return CASES[name].momentum, CASES[name].clip or 0.0


@pytest.mark.parametrize("names", _companies(), ids=" ".join)
def test_before_its_schedule_nobody_lies(names: tuple[str, ...]) -> None:
    case = Case(liars=(), steps=3, momentum=CASES[names[0]].momentum, clip=CASES[names[0]].clip)
    early = {i: behaviour(name, case, attack_start=10**6, number=i) for i, name in enumerate(names)}
    swarm = swarm_of(early, case).run()
    check(swarm, case)
    assert all(len(peer.finished()) == case.steps for peer in swarm.peers)
    vectors = {bytes(peer.finished()[-1].flat) for peer in swarm.peers}
    honest = Swarm(PEERS, steps=3, seed=swarm.seed, rules=swarm.rules).run()
    assert vectors == {bytes(honest.peers[0].finished()[-1].flat)}


def test_the_guide_lists_every_behaviour() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "writing-a-behaviour.md").read_text()
    assert [name for name in CASES if f"`{name}`" not in guide] == []


def test_every_misbehaviour_has_a_number_and_is_tried() -> None:
    root = Path(__file__).parents[2]
    guide = (root / "docs" / "writing-a-behaviour.md").read_text().split("## Misbehaviours by number")[1]
    rows = re.findall(r"^\| (\d+) \| [^|]+ \| ([^|]+) \|$", guide, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 52))
    installed = set(entry_points(group=BEHAVIOURS_GROUP).names)
    tried = [re.findall(r"`([^`]+)`", names) for _, names in rows]
    assert all(tried)
    unknown = [name for names in tried for name in names if name not in installed and not (root / name).is_file()]
    assert unknown == []
    assert CASES.keys() - {"NONE"} <= {name for names in tried for name in names}
