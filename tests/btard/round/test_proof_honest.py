"""Nothing that an honest peer signs is evidence against it: not with any other message of its own, not under other
rules, not in another run, step or attempt, not with another roster, and not with all that liars add."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from btard.behaviour import Behaviour, LeaveReason, Outgoing, View
from btard.byzantine.selection import make_behaviour
from btard.byzantine.settings import BehaviourSettings
from btard.identity import Envelope, Malformed, MessageKind, PeerId
from btard.identity.envelope import STEP_KINDS
from btard.round.evidence.evidence import Evidence, Offence, Scene
from btard.round.evidence.file import from_json, to_json
from btard.round.messages.accusations import Vote
from btard.round.messages.bodies import Scalars
from btard.round.proof import Unproven, verify
from btard.round.rules import StepRules, VerificationRules
from btard.swarm.bans import BanBook
from btard.transport.memory import NetworkConditions
from btard.vocabulary import Eliminate, WireType
from tests.btard.round.overheard import Overheard, few, framed, other_rules, other_scenes, overhear
from tests.btard.round.swarm import RULES, Swarm, keys, rules_of
from tests.quick import quick

COUNT = 8
PEERS = tuple(key.peer_id for key in keys(COUNT))
LIAR = 2
Make = Callable[[], tuple[Overheard, Swarm]]


def rules(wire: WireType = WireType.FLOAT32, max_norm: float | None = None, **verification: object) -> StepRules:
    checked = VerificationRules(**{"validators": 2.0, **verification})  # type: ignore[arg-type]
    made = rules_of(COUNT, replace(RULES, wire=wire, verification=checked))
    return replace(made, aggregation=replace(made.aggregation, max_norm=max_norm))


def liar(name: str, **verification: object) -> Make:
    def make() -> tuple[Overheard, Swarm]:
        settings = {"attack_type": name, "attack_start": 1, "collude_patience": 0.0}
        behaviour = make_behaviour(BehaviourSettings.model_validate(settings), seed=bytes(32))
        heard, swarm = overhear(COUNT, {LIAR: behaviour}, rules(**verification))
        if name == "CRASH":
            behaviour.die = swarm.peers[LIAR].crash  # type: ignore[attr-defined]
        return heard, swarm

    return make


class TellsOneAlone(Behaviour):
    """Tells one owner other numbers than everybody else, so that this owner alone accuses it."""

    def scalars(self, step: int, scalars: Scalars, view: View) -> Scalars | None:
        self._victim = next(owner for owner in view.owners if owner != view.me)
        return scalars

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> Sequence[Outgoing] | None:
        if envelope.kind is not MessageKind.SCALARS or receiver != self._victim:
            return None
        true = Scalars.decode(envelope.body)
        return [Outgoing(sign(replace(true, products=tuple(-p for p in true.products)).encode()).encode())]


class ShowsNothing(Behaviour):
    """Shows nobody its momentum."""

    def shown_momentum(self, step: int, asker: PeerId, base: bytes | None) -> bytes | None:
        return None


def calm() -> tuple[Overheard, Swarm]:
    heard, swarm = overhear(COUNT, None, rules(momentum=0.5, max_norm=3.0, validators=1.0))
    swarm.genesis = replace(swarm.genesis, probation=((PEERS[5], 99),))
    return heard, swarm


def goodbye() -> tuple[Overheard, Swarm]:
    heard, swarm = overhear(COUNT, None, rules())
    swarm.network.at(0.13, lambda: swarm.peers[3].leave(LeaveReason.SHUTDOWN))
    return heard, swarm


CASES: dict[str, Make] = {
    "calm": calm,
    "rounded": lambda: overhear(COUNT, None, rules(WireType.FLOAT16), steps=2),
    "lossy": lambda: overhear(COUNT, None, rules(), steps=3, conditions=NetworkConditions((0.01, 0.5), 0.1)),
    "deaf": lambda: overhear(COUNT, None, rules(), deaf=PEERS[0]),
    "goodbye": goodbye,
    "a crash, mutual": liar("CRASH", eliminate=Eliminate.MUTUAL, validators=0.0),
    "tells one alone": lambda: overhear(COUNT, {LIAR: TellsOneAlone()}, rules(validators=0.0)),
    "shows nothing": lambda: overhear(COUNT, {LIAR: ShowsNothing()}, rules(momentum=0.5, validators=3.0), steps=12),
    # Without validators everybody has a vector to lie about, however the draws fall.
    "FRAME_OWNER": liar("FRAME_OWNER", validators=0.0),
    "EQUIVOCATE_SCALARS": liar("EQUIVOCATE_SCALARS", validators=0.0),
    "EQUIVOCATE_COMMIT": liar("EQUIVOCATE_COMMIT", validators=0.0),
    "EQUIVOCATE_REPORT": liar("EQUIVOCATE_REPORT", validators=0.0),
    "ACCUSATION_FLOOD": liar("ACCUSATION_FLOOD", validators=0.0),
    "SIGN_FLIPPING": liar("SIGN_FLIPPING", validators=3.0),
    "FALSE_ELIMINATE": liar("FALSE_ELIMINATE", eliminate=Eliminate.MUTUAL),
}

cases = pytest.mark.parametrize("name", quick(5, CASES))


@cache
def overheard(name: str) -> Overheard:
    heard, swarm = CASES[name]()
    swarm.run()
    return heard


def proven(evidence: Evidence) -> str:
    """Return what the evidence proves, empty for nothing."""
    try:
        return verify(evidence)
    except Unproven:
        return ""


def places(heard: Overheard) -> list[tuple[int, int]]:
    """The attempts to look at: all in which somebody has reported, and the last one."""
    return [*heard.disputed(), max(heard.attempts)]


@cases
def test_nothing_said_or_added_by_liars_convicts_an_honest_peer(name: str) -> None:
    heard = overheard(name)
    tried = [evidence for place in places(heard) for peer in heard.honest for evidence in framed(heard, place, peer)]
    assert len(tried) > 100
    found = [(evidence.offence, evidence.accused, proven(evidence)) for evidence in tried if proven(evidence)]
    assert found == []


def test_the_swarms_together_say_everything_that_there_is_to_say() -> None:
    kinds = {kind for name in CASES for kind in overheard(name).kinds()}
    assert kinds == STEP_KINDS
    courts = [name for name in CASES if MessageKind.VOTE in overheard(name).kinds()]
    assert {"tells one alone", "shows nothing", "FRAME_OWNER", "ACCUSATION_FLOOD"} <= set(courts)


def small(name: str) -> Iterator[Evidence]:
    """Yield evidence of one or two messages of an honest peer."""
    heard = overheard(name)
    for accused in heard.honest[:2]:
        for envelopes in few(heard, accused):
            for place in {(e.step, e.attempt) for e in envelopes if (e.step, e.attempt) in heard.attempts}:
                attempt = heard.attempts[place]
                scene = Scene(attempt.seats.roster, attempt.seats.number, attempt.seats.members)
                for offence in Offence:
                    yield Evidence(offence, accused, heard.rules, scene, envelopes)


@pytest.mark.parametrize("name", ["goodbye", "lossy", "FRAME_OWNER", "a crash, mutual"])
def test_no_message_nor_pair_of_one_author_proves_anything(name: str) -> None:
    tried, found = 0, []
    for evidence in small(name):
        tried += 1
        if proven(evidence):
            found.append((evidence.offence, [envelope.kind.name for envelope in evidence.envelopes]))
    assert tried > 1000 and found == []


@pytest.mark.parametrize("name", ["calm", "FRAME_OWNER", "a crash, mutual"])
def test_under_other_rules_it_is_of_another_run(name: str, tmp_path: Path) -> None:
    heard = overheard(name)
    book = BanBook(tmp_path, heard.rules)
    tried = 0
    for other in other_rules(heard.rules):
        assert other.run != heard.rules.run
        for evidence in framed(heard, places(heard)[0], heard.honest[0]):
            forged = replace(evidence, rules=other)
            with pytest.raises(Unproven):
                verify(forged)
            tried += 1
        with pytest.raises((Unproven, Malformed)):
            book._checked(to_json(forged), forged.accused)
        # A file may say what it likes of its run: its name follows from the rules that it brings.
        fields = json.loads(to_json(forged))
        fields["rules"]["run"] = heard.rules.run.hex()
        with pytest.raises(Malformed, match="not those of the run that it names"):
            from_json(json.dumps(fields).encode())
    assert tried > 100


@pytest.mark.parametrize("name", ["calm", "FRAME_OWNER", "tells one alone", "a crash, mutual"])
def test_under_any_other_scene_nothing_is_proven(name: str) -> None:
    heard = overheard(name)
    accused = [peer for peer in heard.honest if peer in heard.attempts[places(heard)[0]].seats.owners][:2]
    tried, found = 0, []
    for peer in accused:
        for evidence in framed(heard, places(heard)[0], peer):
            for scene in other_scenes(evidence.scene, peer):
                for past in (evidence.past, evidence.scene, None):
                    tried += 1
                    forged = replace(evidence, scene=scene, past=past)
                    if proven(forged):
                        found.append((forged.offence, scene))
    assert tried > 500 and found == []


@cases
def test_no_book_of_bans_takes_such_a_file(name: str, tmp_path: Path) -> None:
    heard = overheard(name)
    book = BanBook(tmp_path, heard.rules)
    for evidence in framed(heard, places(heard)[0], heard.honest[-1]):
        data = to_json(evidence)
        assert from_json(data) == evidence
        with pytest.raises(Unproven):
            book._checked(data, evidence.accused)


@pytest.mark.parametrize("name", ["tells one alone", "shows nothing", "FRAME_OWNER", "EQUIVOCATE_SCALARS"])
def test_no_honest_judge_finds_an_honest_peer_guilty(name: str) -> None:
    """Whatever a liar has told to whom: owners are heard first, and judges that were told another story are unsure."""
    heard = overheard(name)
    votes = [e.read(Vote) for peer in heard.honest for e in heard.said[peer].values() if e.kind is MessageKind.VOTE]
    accused = {ballot.charge.accused for vote in votes for ballot in vote.ballots if ballot.opinion.name == "GUILTY"}
    assert votes and accused.isdisjoint(heard.honest)


def test_a_record_cannot_be_taken_for_a_message_of_a_step() -> None:
    key = keys(COUNT)[0]
    step = Envelope.sign(key, run=bytes(16), step=0, kind=MessageKind.BANS, body=b"x")
    assert step.is_genuine()
    for kind in MessageKind:
        taken = replace(step, kind=kind)
        assert taken.is_genuine() is (kind is MessageKind.BANS)
    assert base64.b64encode(step._covered()).startswith(base64.b64encode(b"btard record"))
