"""What the logs of a run tell, and whether those who read them believe the right thing."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_READING = "tests/swarm/events/test_reading.py"
_TAIL = "tests/swarm/events/test_tail.py"

EVENTS = (
    Mutant(
        "a number in a log may be written as a word",
        "swarm/events/event.py",
        "strict=True",
        "strict=False",
        f"{_READING}::test_a_field_of_another_type_makes_the_line_no_event",
    ),
    Mutant(
        "a field that a later version adds hides the event",
        "swarm/events/event.py",
        'extra="ignore"',
        'extra="forbid"',
        f"{_READING}::test_a_field_that_a_later_version_adds_is_passed_over",
    ),
    Mutant(
        "a peer's log is read as a coordinator's",
        "swarm/events/reading.py",
        "if isinstance(first, CoordinatorStarted):",
        "if first is not None:",
        f"{_READING}::test_a_whole_log_is_read_as_whose_it_is",
    ),
    Mutant(
        "an event is logged without its time",
        "swarm/events/log.py",
        "timed = dataclasses.replace(event, time=round(time.time(), 3))",
        "timed = event",
        f"{_READING}::test_an_event_is_written_as_it_was_read",
    ),
    Mutant(
        "half a line is taken for a whole one",
        "swarm/events/tail.py",
        'end = chunk.rfind(b"\\n") + 1',
        "end = len(chunk)",
        f"{_TAIL}::test_a_tail_returns_each_whole_line_once",
    ),
    Mutant(
        "a long history is read no further than the first look",
        "swarm/events/tail.py",
        "self.behind = len(chunk) == self._most",
        "self.behind = False",
        f"{_TAIL}::test_a_long_file_takes_several_looks",
    ),
)
