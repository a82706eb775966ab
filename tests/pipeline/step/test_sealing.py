"""Pledges, seals and the draw that they make."""

from __future__ import annotations

from btard.identity import IdentityKey
from btard.pipeline.choices import CheckMode
from btard.pipeline.defence.recovery import Recovery
from btard.pipeline.step.lineup import Lineup
from btard.pipeline.step.sealing import draw_audits, opens, secret_chain

KEY = IdentityKey.from_seed(bytes([3]) * 32)
SEEDS = [bytes([number, number // 256]) * 16 for number in range(256)]


def test_each_attempt_uncovers_one_more_link() -> None:
    chain = secret_chain(KEY, bytes(16), 7)
    assert chain == secret_chain(KEY, bytes(16), 7) != secret_chain(KEY, bytes(16), 8)
    for attempt in (0, 1, 9):
        assert opens(chain[0], chain[attempt + 1], attempt)
        assert not opens(chain[0], chain[attempt + 2], attempt)
        assert not opens(chain[0], bytes(32), attempt)


def test_stages_are_drawn_at_the_share_and_never_for_themselves() -> None:
    lineup = Lineup(6, False)
    drawn = [draw_audits(seed, lineup, CheckMode.DRAWN, 0.25) for seed in SEEDS]
    assert 0.2 < sum(map(len, drawn)) / (6 * len(SEEDS)) < 0.3
    assert all(audited != auditor for audits in drawn for audited, auditor in audits.items())
    assert {auditor for audits in drawn for auditor in audits.values()} == set(range(6))


def test_with_duplicates_only_the_ends_are_drawn() -> None:
    lineup = Lineup(6, True, Recovery(frozenset({2}), frozenset({1, 2})))
    for seed in SEEDS[:20]:
        audits = draw_audits(seed, lineup, CheckMode.LIVE, 1.0)
        assert set(audits) == {0, 5} and 2 not in audits.values()
        assert set(draw_audits(seed, lineup, CheckMode.LIVE, 0.0, flagged=[3])) == {3}
