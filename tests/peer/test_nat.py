"""Real peers in network namespaces: two behind NATs of their own are members as all others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from btard.deploy.local.plan import local_key
from tests.namespaces import why_not
from tests.peer.behind_nats import HIDDEN, PEERS, running

REASON = why_not()

pytestmark = [pytest.mark.slow, pytest.mark.skipif(REASON is not None, reason=REASON or "")]


def relayed(log: str) -> frozenset[str]:
    """The peers that are reached over a relay at the end of a log, by what it says of each last."""
    said = re.findall(r"(\S+) is reached (over a relay|directly again)", log)
    return frozenset(peer for peer, way in dict(said).items() if way == "over a relay")


def test_peers_that_can_dial_each_other_need_no_relay(tmp_path: Path) -> None:
    with running(tmp_path / "open", ()) as run:
        assert {peer: relayed(run.log(peer)) for peer in PEERS} == dict.fromkeys(PEERS, frozenset())


def test_two_behind_nats_take_part_over_relays(tmp_path: Path) -> None:
    with running(tmp_path / "hidden", HIDDEN) as run:
        assert all(step["members"] == len(PEERS) for step in run.events("p0", "step"))
        first, second = HIDDEN
        hidden = {local_key(1, peer).peer_id.short for peer in HIDDEN}
        assert local_key(1, second).peer_id.short in relayed(run.log(first))
        assert local_key(1, first).peer_id.short in relayed(run.log(second))
        # A circuit to a hidden peer may stand before that one has dialled; nobody else needs any.
        assert all(relayed(run.log(peer)) <= hidden for peer in PEERS if peer not in HIDDEN)


def test_clients_behind_nats_take_part(tmp_path: Path) -> None:
    with running(tmp_path / "clients", HIDDEN, "--client-mode") as run:
        assert all(step["members"] == len(PEERS) for step in run.events("p0", "step"))
        ids = {str(local_key(1, peer).peer_id) for peer in HIDDEN}
        for peer in HIDDEN:
            assert "it owns no part, validates nothing and has no vote" in run.log(peer)
        validated = {step["validates"] for peer in PEERS for step in run.events(peer, "step")} - {None}
        assert ids & validated, "clients are audited"
        assert not any(step["validates"] for peer in HIDDEN for step in run.events(peer, "step")), "and audit nobody"
