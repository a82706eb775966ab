"""Links by text, and to the microsecond by a virtual clock."""

from __future__ import annotations

import pytest

from btard.transport.memory import Network, NetworkConditions
from btard.transport.shaping import PRESETS, LinkConditions, Shaper
from tests.btard.round.swarm import Swarm


def test_a_link_is_read_as_it_is_written() -> None:
    assert LinkConditions.parse("100mbit") == LinkConditions(12.5e6)
    assert LinkConditions.parse("100mbit,40ms") == LinkConditions(12.5e6, 0.04)
    assert LinkConditions.parse("1.5Gbit, 40ms, 5ms, 1%") == LinkConditions(187.5e6, 0.04, 0.005, 0.01)
    assert [LinkConditions.parse(text).rate for text in PRESETS] == [1.25e9, 125e6, 62.5e6, 37.5e6, 12.5e6]


@pytest.mark.parametrize(
    "text", ["", "100", "100mb", "0mbit", "100mbit,40", "100mbit,1%", "1mbit,1ms,2ms", "1mbit,1ms,0ms,100%", "-1mbit"]
)
def test_another_text_is_no_link(text: str) -> None:
    with pytest.raises(ValueError, match="a link"):
        LinkConditions.parse(text)
    with pytest.raises(ValueError, match="a link"):
        LinkConditions.parse("1mbit,1ms,0ms,0%,0%")


def test_bytes_take_their_time_one_after_another() -> None:
    shaper = Shaper(LinkConditions(1000.0, 0.5), b"")
    assert shaper.departure(0.0, 1000) == 1.5
    assert shaper.departure(0.0, 500) == 2.0
    assert shaper.departure(1.25, 250) == 2.25
    assert shaper.departure(10.0, 0) == 10.5, "an idle link saves nothing up"


def test_jitter_and_losses_follow_from_the_seed() -> None:
    link = LinkConditions(1e6, 0.04, 0.005, 0.25)

    def arrivals(seed: bytes) -> list[float | None]:
        shaper = Shaper(link, seed)
        return [shaper.departure(float(number), 1000) for number in range(4000)]

    found = arrivals(b"a")
    assert found == arrivals(b"a") != arrivals(b"b")
    late = [when - number - 0.001 for number, when in enumerate(found) if when is not None]
    assert 0.72 < len(late) / 4000 < 0.78
    assert 0.035 <= min(late) < 0.036 and 0.044 < max(late) <= 0.045 + 1e-9


def test_what_is_lost_takes_its_time_all_the_same() -> None:
    shaper = Shaper(LinkConditions(1000.0, loss=0.5), b"seed")
    arrivals = [shaper.departure(0.0, 1000) for _ in range(20)]
    assert None in arrivals
    assert all(when == number + 1.0 for number, when in enumerate(arrivals) if when is not None)


def test_simulated_peers_have_a_link_each() -> None:
    swarm = Swarm(3, conditions=NetworkConditions(link=LinkConditions(1000.0, 0.5)))
    network, (one, other, third) = swarm.network, (peer.peer_id for peer in swarm.peers)
    arrived: list[tuple[str, float]] = []
    network.deliver_all(one, (other, third), lambda _: arrived.append(("both", network.now)), size=1000)
    network.deliver(other, one, lambda _: arrived.append(("back", network.now)), size=250)
    network.deliver(third, one, lambda _: arrived.append(("later", network.now)), 1.0, size=1000)
    network.deliver(third, one, lambda _: arrived.append(("now", network.now)), size=500)
    network.run()
    assert arrived == [("back", 0.75), ("now", 1.0), ("both", 1.5), ("both", 2.5), ("later", 2.5)]


def test_a_simulated_step_takes_as_long_as_its_bytes() -> None:
    def seconds(rate: float) -> float:
        swarm = Swarm(4, steps=1, conditions=NetworkConditions(link=LinkConditions(rate))).run()
        sent = max(peer.traffic.control_sent + peer.traffic.parts_sent for peer in swarm.peers)
        assert swarm.network.now >= sent / rate
        return swarm.network.now

    assert seconds(1e4) > seconds(1e9)


def test_without_a_link_size_costs_nothing() -> None:
    network = Network(0, NetworkConditions())
    swarm = Swarm(2)
    network.peers.update(swarm.network.peers)
    one, other = network.peers
    arrived: list[float] = []
    network.deliver(one, other, lambda _: arrived.append(network.now), size=1 << 30)
    network.run()
    assert arrived == [0.01]
