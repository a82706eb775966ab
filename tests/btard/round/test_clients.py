"""Clients: members that send gradients, own no part, validate nothing, have no vote, and are audited as all others."""

from __future__ import annotations

import dataclasses
from itertools import chain

import pytest

from btard.identity import Malformed, PeerId
from btard.identity.codec import decode, encode
from btard.lab.simulation.invariants import run_checked
from btard.lab.simulation.settings import SimulateSettings, WorkloadName
from btard.lab.simulation.simulation import Simulation
from btard.lab.stress.chaos import attack_names
from btard.round.admission import admit, places, room_for_client
from btard.round.attempt.seats import Seats
from btard.round.draw import draw_audits
from btard.round.roster import MAX_FORMER, Roster
from tests.btard.round.swarm import RULES, Swarm, keys
from tests.quick import quick

PEERS = tuple(sorted(key.peer_id for key in keys(12)))
R0 = bytes(32)


def roster(members: int, clients: int, **named: object) -> Roster:
    """A roster whose last members are clients."""
    return Roster(0, PEERS[:members], frozenset(), R0, clients=PEERS[members - clients : members], **named)  # type: ignore[arg-type]


def test_a_roster_without_clients_is_what_it_was() -> None:
    plain = Roster(7, PEERS[:3], frozenset(), R0)
    assert len(plain.pack()) == 9 and Roster.unpack(plain.pack()) == plain
    # Fixed when there were no clients yet: draws must not change.
    assert plain.digest.hex() == "67d2c8770b424797b9d7a0c4603f1bca7a159d08a4172b84081cea01367aa01f"


def test_clients_survive_packing_and_change_the_digest() -> None:
    some = roster(5, 2)
    assert Roster.unpack(decode(encode(some.pack()), limit=1 << 20)) == some
    assert some.digest != roster(5, 1).digest != Roster(0, PEERS[:5], frozenset(), R0).digest


@pytest.mark.parametrize("clients", [(), (PEERS[7],), (PEERS[4], PEERS[3])], ids=["none", "strangers", "not ascending"])
def test_clients_that_no_roster_has_are_refused(clients: tuple[PeerId, ...]) -> None:
    fields = [*Roster(0, PEERS[:5], frozenset(), R0).pack(), b"".join(peer.public_key for peer in clients)]
    with pytest.raises(Malformed):
        Roster.unpack(fields)


def test_a_roster_of_clients_has_other_voters() -> None:
    some = roster(6, 2)
    assert some.voters == frozenset(PEERS[:4])
    assert some.is_majority(PEERS[:3]) and not some.is_majority(PEERS[2:6]), "clients do not count"


def test_clients_send_and_own_nothing() -> None:
    some = roster(6, 3)
    seats = Seats(RULES, some, 0, some.members, PEERS[5])
    assert set(seats.workers) == set(PEERS[:6]) and set(seats.owners) == set(PEERS[:3])
    assert seats.my_part is None and seats.partition.count == 3


def test_clients_are_targets_and_never_validators() -> None:
    some, targets = roster(8, 4), set[PeerId]()
    for number in range(200):
        audits = draw_audits(number.to_bytes(32, "big"), sorted(some.voters), some.members, 1.0, 0)
        assert {audit.validator for audit in audits} <= some.voters
        targets.update(audit.target for audit in audits)
    assert targets == set(some.members)


@pytest.mark.parametrize("count", range(4, 9))
def test_swarms_with_every_share_of_clients_agree(count: int) -> None:
    for clients in range(1, count // 2 + 1):
        swarm = Swarm(count, steps=3)
        members = swarm.genesis.members
        swarm.genesis = dataclasses.replace(swarm.genesis, clients=members[-clients:])
        swarm.run().check_agreement()
        assert all(len(peer.finished()) == 3 and not peer.stopped for peer in swarm.peers)
        last = swarm.peers[0].finished()[-1]
        assert last.roster.clients == members[-clients:], "a client stays one"


def test_at_most_half_of_the_members_are_clients() -> None:
    assert [room_for_client(members, 2) for members in range(2, 8)] == [False, False, False, True, True, True]
    full = roster(4, 2)
    assert admit(full, full.members, PEERS[4:6], R0, PEERS[4:6]) == ()
    assert len(admit(full, full.members, PEERS[4:6], R0, PEERS[5:6])) == 1, "the other one takes the place"
    assert places(full, 4) == 1


def test_a_client_that_comes_back_takes_no_place() -> None:
    some = roster(8, 2)
    without = some.successor(PEERS[:7], (), (), randomness=R0)
    assert without.former == (PEERS[7],) and without.clients == (PEERS[6],)
    named = (PEERS[7], PEERS[8])
    assert set(admit(without, without.members, named, R0, named[:1])) == set(named), "it, and a newcomer"


def test_no_more_clients_that_come_back_than_there_is_room_for() -> None:
    before = dataclasses.replace(roster(4, 2), former=PEERS[5:7])
    assert len(before.former) < MAX_FORMER
    assert admit(before, before.members, PEERS[5:7], R0, PEERS[5:7]) == ()


@pytest.mark.parametrize(("as_client", "told"), [(5, True), (3, True), (2, False), (0, False)])
def test_a_newcomer_comes_in_as_what_most_name_it(as_client: int, told: bool) -> None:
    swarm = Swarm(5, steps=1)
    newcomer = next(peer for peer in PEERS if peer not in swarm.genesis.members)
    for number, peer in enumerate(swarm.peers):
        peer.candidates = (newcomer,)
        peer.clients = (newcomer,) if number < as_client else ()
    swarm.run().check_agreement()
    following = swarm.peers[0].finished()[-1].roster
    assert newcomer in following.members
    assert following.clients == ((newcomer,) if told else ())


def played(
    attack: str, peers: int, clients: int, liars: int, *, attack_start: int = 1, steps: int = 8, seed: int = 1
) -> Simulation:
    """Run a swarm whose liars are clients first; raises Violation when anything does not hold that must."""
    settings = SimulateSettings(
        peers=peers,
        clients=clients,
        byzantine=liars,
        attack=[attack],
        attack_start=attack_start,
        steps=steps,
        seed=seed,
        cut=[],
        task=WorkloadName.NONE,
        dimension=64,
    )
    simulation = Simulation(settings)
    run_checked(simulation)
    return simulation


@pytest.mark.parametrize("attack", quick(10, sorted(attack_names()), slow=20))
def test_no_lie_of_clients_harms_the_others(attack: str) -> None:
    simulation = played(attack, peers=6, clients=3, liars=2)
    liars = {peer.peer_id for peer in simulation.peers if not peer.honest}
    assert {ban.peer.peer_id for ban in simulation.chronicle.bans} <= liars
    assert all(not peer.running for peer in simulation.honest)


def test_clients_that_flip_their_signs_are_all_banned() -> None:
    simulation = played("SIGN_FLIPPING", peers=8, clients=4, liars=3, attack_start=0, steps=60, seed=2)
    banned = set(chain.from_iterable(peer.finished()[-1].roster.banned for peer in simulation.honest))
    assert banned == {peer.peer_id for peer in simulation.peers if not peer.honest}
