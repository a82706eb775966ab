"""Bugs in how peers that cannot dial each other talk over a third, and in what clients may."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_RELAYS = "tests/btard/transport/libp2p/test_relays.py"
_CLIENTS = "tests/btard/round/test_clients.py"
_RELAYING = "btard/transport/libp2p/relaying.py"

RELAYS: tuple[Mutant, ...] = (
    Mutant(
        "a peer that cannot be dialled is not tried over others",
        "btard/transport/libp2p/transport.py",
        "ways.append(asyncio.ensure_future(self._relays.connect(peer, timeout_seconds)))",
        "pass",
        f"{_RELAYS}::test_hidden_peers_answer_questions_over_a_third",
    ),
    Mutant(
        "a peer may speak to a relay before the circuit is joined",
        _RELAYING,
        'raise StreamViolation("speaks before the circuit is joined")',
        "continue",
        f"{_RELAYS}::test_a_peer_that_speaks_too_soon_is_cut_off",
    ),
    Mutant(
        "strangers have as many circuits as they like",
        _RELAYING,
        "self._limits.stranger_circuits if stranger else",
        "self._limits.circuits if stranger else",
        f"{_RELAYS}::test_strangers_have_few_circuits_together",
    ),
    Mutant(
        "it is said at every stream that a relay is needed",
        "btard/transport/libp2p/relays.py",
        "elif relay is not None and peer not in self._relayed:",
        "elif relay is not None:",
        f"{_RELAYS}::test_hidden_peers_talk_over_a_third",
    ),
    Mutant(
        "a client owns a part",
        "btard/round/attempt/seats.py",
        "peer for peer in self.workers if peer not in roster.clients",
        "self.workers",
        f"{_CLIENTS}::test_clients_send_and_own_nothing",
    ),
    Mutant(
        "a client votes",
        "btard/round/roster.py",
        "return self.established.difference(self.clients)",
        "return self.established",
        f"{_CLIENTS}::test_a_roster_of_clients_has_other_voters",
    ),
    Mutant(
        "more than half of the members may be clients",
        "btard/round/admission.py",
        "return 2 * (clients + 1) <= members + 1",
        "return True",
        f"{_CLIENTS}::test_at_most_half_of_the_members_are_clients",
    ),
    Mutant(
        "a door takes in any number of clients",
        "swarm/door/door.py",
        "(knock.client and not self._takes_clients, Reply.TOO_MANY_CLIENTS),",
        "",
        "tests/swarm/door/test_door.py::test_a_client_is_taken_in_while_there_is_room_for_one",
    ),
    Mutant(
        "a first roster has any number of clients",
        "coordinator/run/welcome.py",
        "[: wanted // 2]",
        "",
        "tests/coordinator/run/test_welcome.py::test_at_most_half_of_the_first_roster_are_clients",
    ),
    Mutant(
        "a client that comes in is a full member",
        "btard/round/phases/agree.py",
        "        clients=clients,\n",
        "",
        f"{_CLIENTS}::test_a_newcomer_comes_in_as_what_most_name_it",
    ),
    Mutant(
        "a client that comes back takes the place of a newcomer",
        "btard/round/roster.py",
        "self.established - established",
        "self.voters - established",
        f"{_CLIENTS}::test_a_client_that_comes_back_takes_no_place",
    ),
)
