"""Gates: which budget pays for which stream, and what is kept of peers that have gone."""

from __future__ import annotations

from btard.identity import IdentityKey
from btard.transport.libp2p.gate import Gates
from btard.transport.libp2p.settings import Counters, Limits

ONE, TWO, THREE = (IdentityKey.from_seed(bytes([i]) * 32).peer_id for i in range(3))


async def test_members_have_gates_of_their_own_and_strangers_share_two() -> None:
    gates = Gates(Limits(), Counters())
    assert gates.of(ONE, asks=False) is not gates.of(TWO, asks=False)
    gates.is_member = lambda peer: peer == ONE
    assert gates.of(ONE, asks=True) is gates.of(ONE, asks=False)
    assert gates.of(TWO, asks=True) is gates.of(THREE, asks=True)
    assert gates.of(TWO, asks=False) is gates.of(THREE, asks=False)
    assert len({gates.of(ONE, asks=True), gates.of(TWO, asks=True), gates.of(TWO, asks=False)}) == 3


async def test_a_former_member_is_forgotten_once_it_has_paid() -> None:
    gates = Gates(Limits(work_burst_seconds=0.1), Counters())
    debtor, honest = gates.of(ONE, asks=False), gates.of(TWO, asks=False)
    debtor.spend(10.0)
    gates.forget()
    assert (gates.of(ONE, asks=False), gates.of(TWO, asks=False)) == (debtor, honest)
    gates.is_member = lambda peer: False
    gates.forget()
    gates.is_member = None
    assert gates.of(ONE, asks=False) is debtor
    assert gates.of(TWO, asks=False) is not honest


async def test_peers_beyond_their_bursts_share_a_part_of_a_core() -> None:
    limits = Limits(work_share=0.05, work_burst_seconds=0.25, crowd_share=0.1)
    counters = Counters()
    gates = Gates(limits, counters)
    crowd = [gates.of(IdentityKey.from_seed(bytes([9, i]) * 16).peer_id, asks=False) for i in range(20)]
    for gate in crowd:
        gate.spend(1.25)
    assert counters.pauses == 20
    alone, last = crowd[0].debt, crowd[-1].debt
    assert 19 < alone <= 20  # one second at a twentieth of a core
    assert 199 < last <= 200  # ten times as long, since twenty share a tenth
