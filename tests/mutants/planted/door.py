"""Bugs in how newcomers find a run and are admitted."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

DOOR_TESTS = "tests/peer/test_door.py"

DOOR: tuple[Mutant, ...] = (
    Mutant(
        "a manifest of any stranger's is taken beside those of the named peers",
        "peer/joining.py",
        "    _refuse_different(told)\n    envelope",
        "    envelope",
        "tests/peer/test_joining.py::test_named_peers_of_two_runs",
    ),
    Mutant(
        "the first named peer that answers is believed, without the others",
        "peer/joining.py",
        "if len(told) == len(named) or loop.time() > deadline:",
        "if told or loop.time() > deadline:",
        "tests/peer/test_joining.py::test_a_named_peer_that_comes_late_is_heard_too",
    ),
    Mutant(
        "any signed message is taken for a manifest",
        "peer/joining.py",
        "if envelope.kind is not MessageKind.MANIFEST:",
        "if False:",
        "tests/peer/test_joining.py::test_what_is_no_manifest_is_none",
    ),
    Mutant(
        "a roster of anybody's is taken for the coordinator's",
        "peer/rosters.py",
        "if envelope.author != self._coordinator:",
        "if False:",
        "tests/peer/test_rosters.py::test_what_is_not_the_coordinators_roster_hides_nothing",
    ),
    Mutant(
        "an older roster takes the place of a newer one",
        "peer/rosters.py",
        "envelope.step <= self._newest[0].step",
        "False",
        "tests/peer/test_rosters.py::test_nobody_goes_back_behind_what_was_seen",
    ),
    Mutant(
        "who knocks is named without having answered a call",
        "peer/door.py",
        "for peer, c in self._callers.items() if c.waits_since is not None]",
        "for peer, c in self._callers.items()]",
        f"{DOOR_TESTS}::test_who_answers_when_called_back_waits",
    ),
    Mutant(
        "any answer to a call is the right one",
        "peer/door.py",
        "return None if answer == manifest else",
        "return None if answer else",
        f"{DOOR_TESTS}::test_only_the_manifest_of_this_run_is_the_right_answer",
    ),
    Mutant(
        "who does not answer is called again at once, for ever",
        "peer/door.py",
        "now + 2**caller.failures",
        "now",
        f"{DOOR_TESTS}::test_who_does_not_answer_never_waits_and_is_called_less_and_less",
    ),
    Mutant(
        "keys that are not connected are dialled",
        "peer/door.py",
        "and (connected is None or peer in connected)",
        "",
        f"{DOOR_TESTS}::test_only_who_is_connected_is_called_and_who_is_gone_is_forgotten",
    ),
    Mutant(
        "a door keeps any number of keys",
        "peer/door.py",
        "if len(self._callers) >= MOST_AT_DOOR else None",
        "if False else None",
        f"{DOOR_TESTS}::test_a_crowd_is_kept_within_bounds",
    ),
    Mutant(
        "who stays of a crowd follows from the keys alone",
        "peer/door.py",
        'tagged_digest("btard door", self._secret, peer)',
        'tagged_digest("btard door", peer)',
        f"{DOOR_TESTS}::test_two_doors_keep_others_of_the_same_crowd",
    ),
    Mutant(
        "who stays of a crowd never changes",
        "peer/door.py",
        "if now - self._secret_since > _SECRET_LIFETIME:",
        "if False:",
        f"{DOOR_TESTS}::test_who_stays_of_a_crowd_changes_so_nobody_is_kept_out_for_ever",
    ),
    Mutant(
        "a flood of new keys is taken in at any rate",
        "peer/door.py",
        "if self._allowance < 1:",
        "if False:",
        f"{DOOR_TESTS}::test_new_keys_are_taken_in_at_a_rate_and_who_waits_is_always_heard",
    ),
    Mutant(
        "all at the door are called at the same time",
        "peer/door.py",
        "for peer in due[:free]:",
        "for peer in due:",
        f"{DOOR_TESTS}::test_few_are_called_at_a_time",
    ),
    Mutant(
        "who has failed comes before who was never called",
        "peer/door.py",
        "(self._callers[peer].failures, self._random.random())",
        "(-self._callers[peer].failures, self._random.random())",
        f"{DOOR_TESTS}::test_a_mute_crowd_does_not_stand_before_an_honest_newcomer",
    ),
    Mutant(
        "a banned key may wait at the door",
        "peer/door.py",
        "(sender in self._banned, Reply.BANNED),",
        "(False, Reply.BANNED),",
        f"{DOOR_TESTS}::test_who_is_not_taken_in_is_told_why",
    ),
    Mutant(
        "who was left out is named without knocking again",
        "peer/neighbours.py",
        "        self._door.forget(peer)\n",
        "",
        "tests/peer/test_neighbours.py::test_who_was_left_out_is_named_ten_steps_later_if_it_has_knocked_again",
    ),
    Mutant(
        "the DHT node keeps records of any author",
        "peer/neighbours.py",
        "return peer in self._named or peer in self._members or self._door.is_guest(peer)",
        "return True",
        "tests/peer/test_neighbours.py::test_the_dht_serves_members_named_peers_and_who_is_at_the_door",
    ),
    Mutant(
        "all of a crowd at the door may fill the DHT",
        "peer/door.py",
        "sum(other.is_guest for other in self._callers.values()) < MOST_GUESTS",
        "True",
        f"{DOOR_TESTS}::test_few_of_a_crowd_may_use_the_dht",
    ),
    Mutant(
        "a newcomer knocks at one door only",
        "peer/knocking.py",
        "for door in doors if door != self._transport.peer_id}",
        "for door in sorted(doors)[:1] if door != self._transport.peer_id}",
        "tests/peer/test_knocking.py::test_all_doors_are_knocked_at_and_an_open_one_is_left_in_peace",
    ),
    Mutant(
        "the first roster counts peers that are gone again",
        "coordinator/welcome.py",
        "return chosen if all(there) else ()",
        "return chosen",
        "tests/coordinator/test_welcome.py::test_who_goes_at_the_last_moment_is_not_counted",
    ),
)
