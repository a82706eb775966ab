"""Bugs at the moments in which a process, its p2pd or a stream dies, and in what it finds when it starts again."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_KEPT = "tests/peer/keeping/test_checkpoints.py"

RESTARTS: tuple[Mutant, ...] = (
    Mutant(
        "what is sent on a stream that breaks just then is lost",
        "btard/transport/libp2p/outgoing.py",
        "return False  # it broke under the head: the whole goes over another stream",
        "return True",
        "tests/btard/transport/libp2p/test_streams.py::test_a_stream_that_breaks_under_a_head_is_replaced",
    ),
    Mutant(
        "the start of a peer whose p2pd dies meanwhile hangs",
        "btard/transport/libp2p/node.py",
        "        ended = await daemon.wait()\n        task.cancel()",
        "        await asyncio.Event().wait()",
        "tests/btard/transport/libp2p/test_node.py::test_a_daemon_that_dies_while_joining_is_told",
    ),
    Mutant(
        "a search in the DHT that fails ends the peer",
        "btard/transport/libp2p/dht.py",
        "except Exception as error:  # hivemind asserts",
        "except ZeroDivisionError as error:  # hivemind asserts",
        "tests/btard/transport/libp2p/test_node.py::test_a_search_that_fails_ends_nothing",
    ),
    Mutant(
        "a state of a lost past that is being written stays",
        "peer/keeping/checkpoints.py",
        "        await self.close()\n        for later in",
        "        for later in",
        f"{_KEPT}::test_a_lost_past_that_is_being_written_goes",
    ),
    Mutant(
        "what is kept changes while others look at it",
        "peer/keeping/checkpoints.py",
        "await asyncio.to_thread(self._write_file, kept)\n            self._note_written(kept)",
        "await asyncio.to_thread(self.keep, kept)",
        f"{_KEPT}::test_what_is_kept_changes_only_between_looks",
    ),
    Mutant(
        "a fault in the work beside the training ends it for good",
        "swarm/tending.py",
        "        except Exception:\n",
        "        except ZeroDivisionError:\n",
        "tests/swarm/test_tending.py::test_what_fails_is_told_and_begins_again",
    ),
    Mutant(
        "a key has its name before it is on the disk",
        "btard/identity/keys.py",
        'unfinished = path.with_name(f".{path.name}.{os.getpid()}")\n        unfinished.unlink(missing_ok=True)',
        "unfinished = path",
        "tests/btard/identity/test_keys.py::test_a_key_has_its_name_once_it_is_on_the_disk",
    ),
    Mutant(
        "reports are lost with the peer that has made them",
        "peer/keeping/reports.py",
        "self._file.append(self._line(report))",
        "pass",
        "tests/peer/keeping/test_reports.py::test_a_killed_peer_knows_what_it_has_reported",
    ),
    Mutant(
        "the file of reports grows without end",
        "peer/keeping/reports.py",
        "if self._lines >= 2 * MAX_KEPT:",
        "if False:",
        "tests/peer/keeping/test_reports.py::test_the_file_is_bounded",
    ),
    Mutant(
        "reports of steps that are lost stay beside the new ones",
        "peer/keeping/reports.py",
        "while self._kept and self._kept[-1].step >= report.step:",
        "while False:",
        "tests/peer/keeping/test_reports.py::test_steps_that_were_lost_are_reported_anew",
    ),
    Mutant(
        "a name that no machine can have ends a peer that starts again",
        "btard/transport/libp2p/discover.py",
        "    except UnicodeError:\n        raise _NotFound",
        "    except ZeroDivisionError:\n        raise _NotFound",
        "tests/btard/transport/libp2p/test_discover.py::test_what_is_no_name_of_a_machine_is_told",
    ),
    Mutant(
        "a place that most have voted for is not to be had by all that have",
        "btard/reunion/reunion.py",
        "return tally[0] if tally is not None and self._may_follow(number, tally[0]) else None",
        "return None",
        "tests/btard/reunion/test_reunion.py::test_a_place_that_most_have_voted_for_is_to_be_had",
    ),
)
