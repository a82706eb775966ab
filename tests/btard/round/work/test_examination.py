"""The heavy work of examining: which vectors and numbers a validator believes."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from btard.round.messages.accusations import Opinion
from btard.round.rules import StepRules, VerificationRules
from btard.round.work.examination import UNKNOWN, UNSEEN, Finding, examine_shown, judged, opinion_on, unlike, worst
from btard.round.work.rows import encode_parts
from btard.tensors import bytes_of
from btard.verification.thresholds import SCALARS, gradient
from btard.vocabulary import Validation
from tests.btard.round.scene import PEERS, Scene, under
from tests.btard.round.swarm import RULES


@pytest.mark.parametrize("validation", list(Validation))
def test_a_repeated_vector_is_innocent(validation: Validation) -> None:
    scene = Scene(under(validation))
    assert all(scene.found(peer) == Finding(Opinion.INNOCENT, False, 0.0) for peer in PEERS)


@pytest.mark.parametrize("validation", list(Validation))
@pytest.mark.parametrize("factor", [-1.0, 0.0, 1.5, 1e20])
def test_another_vector_is_guilty(validation: Validation, factor: float) -> None:
    scene = Scene(under(validation))
    true = scene.vectors[PEERS[1]]
    scene.vectors[PEERS[1]] = factor * true
    scene.aggregate()
    found = scene.found(PEERS[1], true)
    assert (found.opinion, found.accuse, found.accomplices) == (Opinion.GUILTY, True, ())
    assert scene.found(PEERS[2]).opinion is Opinion.INNOCENT


def test_a_vector_of_nothing_has_no_relative_distance() -> None:
    scene = Scene(under())
    zeros = torch.zeros(40)
    assert scene.found(PEERS[1], zeros) == Finding(Opinion.GUILTY, True, math.inf)


@pytest.mark.parametrize(
    "off, tolerant, accuses",
    [
        (1e-7, Opinion.INNOCENT, False),
        (0.001, Opinion.INNOCENT, False),
        (0.5, Opinion.GUILTY, True),
    ],
)
def test_tolerant_rules_accept_machines_that_round_differently(off: float, tolerant: Opinion, accuses: bool) -> None:
    for validation, expected, accusing in (
        (Validation.TOLERANT, tolerant, accuses),
        (Validation.EXACT, Opinion.GUILTY, True),
    ):
        scene = Scene(under(validation))
        true = scene.vectors[PEERS[1]]
        noise = torch.randn(40, generator=torch.Generator().manual_seed(5))
        scene.vectors[PEERS[1]] = true + off * noise / noise.norm() * true.norm()
        scene.aggregate()
        found = scene.found(PEERS[1], true)
        assert (found.opinion, found.accuse) == (expected, accusing)


@pytest.mark.parametrize(
    "relative, opinion, accuse",
    [
        (0.0, Opinion.INNOCENT, False),
        (0.0124, Opinion.INNOCENT, False),
        (0.0125, Opinion.UNSURE, False),
        (0.025, Opinion.UNSURE, False),
        (0.0251, Opinion.GUILTY, False),
        (0.05, Opinion.GUILTY, False),
        (0.0501, Opinion.GUILTY, True),
        (math.inf, Opinion.GUILTY, True),
    ],
)
def test_two_thresholds(relative: float, opinion: Opinion, accuse: bool) -> None:
    limits = gradient(accuse=0.05, convict=0.025)
    found = judged([(SCALARS, 0.1), (limits, relative)], relative, ())
    assert (found.opinion, found.accuse, found.distance) == (opinion, accuse, relative)
    lied = judged([(SCALARS, 2.1), (limits, relative)], relative, (PEERS[1],))
    assert (lied.opinion, lied.accuse, lied.accomplices) == (Opinion.GUILTY, True, (PEERS[1],))


def test_a_judge_that_measures_half_never_finds_an_accuser_false() -> None:
    rules = VerificationRules()
    assert rules.accuse >= 2 * rules.convict
    for noise in (0.5, 1.0, 2.0):
        assert opinion_on(rules.gradient, rules.accuse * 1.001 / max(1.0, noise)) is not Opinion.INNOCENT


@pytest.mark.parametrize("validation", list(Validation))
def test_false_numbers_about_a_true_vector_name_the_accomplice(validation: Validation) -> None:
    scene = Scene(under(validation))
    target = scene.attempt.seats.owners[4]
    product, norm = scene.attempt.said.scalars[target].products[1], scene.attempt.said.scalars[target].norms[1]
    scene.publish(target, 1, product + 0.01, norm)
    expected = Finding(Opinion.GUILTY, True, 0.0, (scene.attempt.seats.owners[1],))
    assert scene.found(target, scene.vectors[target]) == expected
    scene.publish(target, 1, product, norm + 0.01)
    assert scene.found(target, scene.vectors[target]) == expected


def test_numbers_that_machines_round_differently_accuse_nobody() -> None:
    scene = Scene()
    target = scene.attempt.seats.owners[4]
    product, norm = scene.attempt.said.scalars[target].products[1], scene.attempt.said.scalars[target].norms[1]
    scene.publish(target, 1, product * (1 + 1e-9), norm * (1 - 1e-9))
    assert scene.found(target) == Finding(Opinion.INNOCENT, False, 0.0)


def test_neither_own_parts_nor_newcomers_have_accomplices() -> None:
    scene = Scene()
    owner = scene.attempt.seats.owners[2]
    scene.publish(owner, 2, 0.5, 1.0)
    assert scene.found(owner) == Finding(Opinion.GUILTY, True, 0.0, ())
    trial = Scene(newcomers=(PEERS[4],))
    trial.publish(PEERS[4], 1, 0.5, 1.0)
    assert trial.found(PEERS[4]) == Finding(Opinion.GUILTY, True, 0.0, ()), "nobody holds its rows"


def test_hashes_of_another_vector_do_not_excuse_true_numbers() -> None:
    """Commit to a lie, publish the numbers of the truth: owners would object, and exact rules need no owner."""
    scene = Scene(under(Validation.EXACT))
    digests = encode_parts(-scene.vectors[PEERS[1]], 5, RULES.wire, RULES.aggregation)[1]
    scene.attempt.said.commits[PEERS[1]] = dataclasses.replace(scene.attempt.said.commits[PEERS[1]], parts=digests)
    assert scene.found(PEERS[1]).opinion is Opinion.GUILTY


TRUE = 1.0 + 0.1 * torch.randn(40, generator=torch.Generator().manual_seed(3))
INNOCENT = Finding(Opinion.INNOCENT, False, 0.0)


def hashes(vector: torch.Tensor, count: int, clip: float | None = None) -> tuple[bytes, ...]:
    return encode_parts(vector, count, RULES.wire, clipping(clip).aggregation)[1]


def clipping(clip: float | None) -> StepRules:
    return dataclasses.replace(RULES, aggregation=dataclasses.replace(RULES.aggregation, max_norm=clip))


def off_by(relative: float) -> torch.Tensor:
    noise = torch.randn(40, generator=torch.Generator().manual_seed(4))
    return TRUE + relative * noise / noise.norm() * TRUE.norm()


def shows(vector: torch.Tensor) -> bytes:
    return bytes(bytes_of(vector))


@pytest.mark.parametrize("clip", [None, 1.0])
def test_a_vector_is_known_again_in_any_number_of_parts(clip: float | None) -> None:
    lie = hashes(-TRUE, 4, clip)
    signed = (hashes(TRUE, 4, clip), lie, hashes(TRUE, 5, clip))
    assert unlike(signed, TRUE, clipping(clip)) == (lie,)
    assert unlike((), TRUE, clipping(clip)) == ()


@pytest.mark.parametrize(
    "off, opinion, accuse",
    [
        (0.001, Opinion.INNOCENT, False),
        (0.012, Opinion.INNOCENT, False),
        (0.013, Opinion.UNSURE, False),
        (0.026, Opinion.GUILTY, False),
        (0.051, Opinion.GUILTY, True),
    ],
)
def test_what_is_shown_is_measured_by_the_two_thresholds(off: float, opinion: Opinion, accuse: bool) -> None:
    sent = off_by(off)
    found = examine_shown((hashes(sent, 4), hashes(sent, 5)), shows(sent), TRUE, RULES)
    assert (found.opinion, found.accuse, found.withheld) == (opinion, accuse, False)
    assert found.distance == pytest.approx(off, rel=1e-4)


def test_vectors_are_compared_as_they_are_clipped() -> None:
    sent, rules = 1000.0 * TRUE, clipping(1.0)
    found = examine_shown((hashes(sent, 4, 1.0),), shows(sent), TRUE, rules)
    assert found.opinion is Opinion.INNOCENT, "only the length differs"
    assert examine_shown((hashes(-sent, 4, 1.0),), shows(-sent), TRUE, rules).accuse


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_shown_numbers_that_are_none_are_a_lie(number: float) -> None:
    sent = TRUE.clone()
    sent[3] = number
    assert examine_shown((hashes(sent, 4),), shows(sent), TRUE, RULES) == Finding(Opinion.GUILTY, True, math.inf)


@pytest.mark.parametrize("shown", [None, b"", shows(TRUE), shows(off_by(0.001))[:-4], shows(off_by(0.002))])
def test_what_is_not_what_was_committed_to_counts_as_withheld(shown: bytes | None) -> None:
    assert examine_shown((hashes(off_by(0.001), 4),), shown, TRUE, RULES) == UNSEEN


def test_one_vector_has_to_explain_all_attempts() -> None:
    one, other = off_by(0.001), off_by(0.002)
    for shown in (one, other):
        assert examine_shown((hashes(one, 4), hashes(other, 4)), shows(shown), TRUE, RULES) == UNSEEN


def test_the_worst_of_several_findings_decides() -> None:
    guilty = Finding(Opinion.GUILTY, True, 2.0, (PEERS[2],))
    convicted = Finding(Opinion.GUILTY, False, 1.0, (PEERS[1],))
    assert worst([INNOCENT]) == INNOCENT
    assert worst([INNOCENT, UNKNOWN]) == UNKNOWN
    assert worst([INNOCENT, UNSEEN]) == UNSEEN
    assert worst([guilty, convicted]) == Finding(Opinion.GUILTY, True, 2.0, (PEERS[1], PEERS[2]))
    assert worst([guilty, UNSEEN]) == Finding(Opinion.GUILTY, True, math.inf, (PEERS[2],)), "a proof says more"
    assert worst([convicted, UNSEEN]).withheld
